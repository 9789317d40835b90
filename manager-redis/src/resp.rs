//! The length of a reply in RESP2 or RESP3, found without copying it. The `redis` crate reads the values.

use memchr::memchr;
use redis::{RedisError, RedisResult, Value};

/// Bytes that are not a reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed;

/// The maximum length of a line, in bytes; an error text is a line.
const MAX_LINE: usize = 64 << 10;
/// The maximum number of elements of a reply; expected replies have at most a dozen.
const MAX_ELEMENTS: usize = 4096;

/// Returns the length of the reply at the start of `buffer`, or `None` while it is incomplete.
pub(crate) fn reply_len(buffer: &[u8], max_len: usize) -> Result<Option<usize>, Malformed> {
    let mut at = 0;
    let mut num_pending = 1;
    while num_pending > 0 {
        let Some((line, next)) = line(buffer, at)? else {
            return Ok(None);
        };
        num_pending -= 1;
        at = next;
        match line.first() {
            Some(b'+' | b'-' | b':' | b'_' | b'#' | b',' | b'(') => {}
            Some(b'$' | b'=' | b'!') => at += bulk_len(&line[1..])?,
            Some(b'*' | b'~' | b'>') => num_pending += number(&line[1..])?.unwrap_or(0),
            Some(b'%') => num_pending += number(&line[1..])?.unwrap_or(0).saturating_mul(2),
            _ => return Err(Malformed),
        }
        if num_pending > MAX_ELEMENTS || at > max_len {
            return Err(Malformed);
        }
    }
    Ok(Some(at).filter(|len| *len <= buffer.len()))
}

/// Converts one complete reply into a value, or into the error that it is.
pub(crate) fn value(reply: &[u8]) -> RedisResult<Value> {
    redis::parse_redis_value(reply)?.extract_error()
}

/// Converts one complete error reply into an error.
pub(crate) fn error(reply: &[u8]) -> RedisError {
    match value(reply) {
        Err(error) => error,
        Ok(_) => (redis::ErrorKind::Parse, "an error that is none").into(),
    }
}

/// Reads the digits before the next line end: the number and the index after it, or `None` while incomplete.
pub(crate) fn length_line(buffer: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let Some((digits, next)) = line(buffer, 0)? else {
        return Ok(None);
    };
    Ok(Some((number(digits)?.ok_or(Malformed)?, next)))
}

/// Returns the line at `at` and the index after it.
pub(crate) fn line(buffer: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = buffer.get(at..).unwrap_or_default();
    match memchr(b'\n', &rest[..rest.len().min(MAX_LINE)]) {
        Some(end) if end > 0 && rest[end - 1] == b'\r' => Ok(Some((&rest[..end - 1], at + end + 1))),
        Some(_) => Err(Malformed),
        None if rest.len() >= MAX_LINE => Err(Malformed),
        None => Ok(None),
    }
}

/// Returns the number of bytes after the header of a bulk string, its line end included.
fn bulk_len(digits: &[u8]) -> Result<usize, Malformed> {
    Ok(number(digits)?.map_or(0, |len| len + 2))
}

/// Reads a length; `None` is the null of RESP2, -1.
pub(crate) fn number(digits: &[u8]) -> Result<Option<usize>, Malformed> {
    if digits == b"-1" {
        return Ok(None);
    }
    // Twelve digits are more than Redis allows and far from overflow.
    if digits.is_empty() || digits.len() > 12 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed);
    }
    let add = |sum: u64, digit: &u8| sum * 10 + u64::from(digit - b'0');
    let number = digits.iter().fold(0, add);
    usize::try_from(number).map(Some).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [&[u8]; 9] = [
        b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        b"%2\r\n$4\r\nrole\r\n$7\r\nreplica\r\n$7\r\nmodules\r\n~1\r\n_\r\n",
        b"+OK\r\n",
        b"-ERR no\r\n",
        b":12\r\n",
        b"$-1\r\n",
        b"$2\r\n\r\n\r\n",
        b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
        b"*3\r\n$6\r\nmaster\r\n:5\r\n*1\r\n*3\r\n+a\r\n+b\r\n+c\r\n",
    ];

    #[test]
    fn the_end_of_a_reply_is_found_and_no_sooner() {
        for reply in WHOLE {
            let mut followed = reply.to_vec();
            followed.extend_from_slice(b":1\r\n");
            assert_eq!(reply_len(&followed, 1000), Ok(Some(reply.len())));
            for end in 0..reply.len() {
                assert_eq!(reply_len(&reply[..end], 1000), Ok(None));
            }
        }
    }

    #[test]
    fn any_error_reply_is_an_error() {
        assert_eq!(error(b"-NOPERM no\r\n").code(), Some("NOPERM"));
        for reply in [&b"-\r\n"[..], b"- \r\n", b"-\xff\r\n"] {
            assert!(!error(reply).to_string().is_empty());
        }
    }

    #[test]
    fn what_is_not_a_reply_is_malformed_and_nothing_grows() {
        let endless = [b'+'; MAX_LINE];
        let nonsense: [&[u8]; 9] = [
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\r\n",
            b"\n",
            b"$x\r\n",
            b"$-2\r\n",
            b"$99999999999999999999\r\n",
            b"$1001\r\n",
            b"*99999\r\n",
            &endless,
        ];
        for bytes in nonsense {
            assert_eq!(reply_len(bytes, 1000), Err(Malformed));
        }
    }
}
