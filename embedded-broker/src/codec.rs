//! The codec: commands from bytes, replies to bytes; the formats themselves are the business of `redis-protocol`.
//!
//! A command is measured before it is decoded: clients send flat arrays of bulk strings and nothing else, so what nests
//! or exceeds a limit is refused by its header, before a recursive decoder sees it and before its body is waited for.

use std::fmt;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2;
use redis_protocol::resp3;

use crate::limits::Limits;

/// Digits of a length, its sign included, that are still read: more than any limit needs.
const MAX_LENGTH_DIGITS: usize = 12;

/// Commands that may come as a line of text: those of health checks. No others: a browser can be made to send lines here, and they must
/// publish nothing.
const LINES: [&[u8]; 3] = [b"PING", b"INFO", b"QUIT"];
/// Bytes of such a line, its end included.
const MAX_LINE_BYTES: usize = 64;

/// Why a connection is closed: the bytes are not a command, or one over a limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProtocolError(String);

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A command's arguments, its name first, and how many bytes it took.
pub(crate) type Command<'a> = (Vec<&'a [u8]>, usize);

/// Takes the first command off `input`; `None` while it is incomplete.
///
/// # Errors
///
/// When the bytes can never become a command within the limits.
pub(crate) fn decode<'a>(input: &'a [u8], limits: &Limits) -> Result<Option<Command<'a>>, ProtocolError> {
    if input.first().is_some_and(|first| *first != b'*') {
        return decode_line(input);
    }
    let Some(num_bytes) = measure(input, limits)? else {
        return Ok(None);
    };
    let command = &input[..num_bytes];
    let frame = resp2::decode::decode_range(command).map_err(|error| ProtocolError(error.to_string()))?;
    let Some((resp2::types::RangeFrame::Array(items), _)) = frame else {
        return Err(ProtocolError("a command is an array of bulk strings".into()));
    };
    let args = items.iter().map(|item| match item {
        resp2::types::RangeFrame::BulkString((start, end)) => Ok(&command[*start..*end]),
        _ => Err(ProtocolError("a command is an array of bulk strings".into())),
    });
    Ok(Some((args.collect::<Result<_, _>>()?, num_bytes)))
}

/// Takes a command off that is a line of text, as health checks send it; an empty line is an empty command.
fn decode_line(input: &[u8]) -> Result<Option<Command<'_>>, ProtocolError> {
    let looked_at = &input[..input.len().min(MAX_LINE_BYTES)];
    let end = looked_at.iter().position(|byte| *byte == b'\n');
    let line = looked_at[..end.unwrap_or(looked_at.len())].trim_ascii();
    let begins = |command: &&[u8]| {
        let beginning = command.get(..line.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(line))
    };
    let command = LINES.iter().find(|command| begins(command));
    match (command, end) {
        (Some(_), Some(end)) if line.is_empty() => Ok(Some((Vec::new(), end + 1))),
        (Some(command), Some(end)) if command.len() == line.len() => Ok(Some((vec![line], end + 1))),
        (Some(_), None) if looked_at.len() < MAX_LINE_BYTES => Ok(None),
        _ => Err(expected(b'*', input[0])),
    }
}

fn expected(kind: u8, first: u8) -> ProtocolError {
    let (kind, first) = (char::from(kind), first.escape_ascii());
    ProtocolError(format!("expected '{kind}', got '{first}'"))
}

/// How many bytes the first command takes, `None` while that many are not there yet.
fn measure(input: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
    let Some((num_args, mut at)) = header(input, 0, b'*')? else {
        return Ok(None);
    };
    if num_args > limits.max_args {
        return Err(ProtocolError(format!(
            "a command has at most {} arguments",
            limits.max_args
        )));
    }
    for _ in 0..num_args {
        let Some((num_bytes, body)) = header(input, at, b'$')? else {
            return Ok(None);
        };
        at = body.saturating_add(num_bytes).saturating_add(2);
        if at > limits.max_frame_bytes {
            return Err(ProtocolError(format!(
                "a command has at most {} bytes",
                limits.max_frame_bytes
            )));
        }
        if input.len() < at {
            return Ok(None);
        }
        if &input[at - 2..at] != b"\r\n" {
            return Err(ProtocolError("a bulk string is longer than it says".into()));
        }
    }
    Ok(Some(at))
}

/// Reads `<kind><number>\r\n` at `at`: the number, and where the next byte is.
fn header(input: &[u8], at: usize, kind: u8) -> Result<Option<(usize, usize)>, ProtocolError> {
    let Some((&first, rest)) = input.get(at..).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    if first != kind {
        return Err(expected(kind, first));
    }
    let digits = &rest[..rest.len().min(MAX_LENGTH_DIGITS)];
    let Some(num_digits) = digits.iter().position(|byte| *byte == b'\r') else {
        let too_long = digits.len() == MAX_LENGTH_DIGITS;
        return if too_long {
            Err(ProtocolError("invalid length".into()))
        } else {
            Ok(None)
        };
    };
    match rest.get(num_digits + 1) {
        None => return Ok(None),
        Some(b'\n') => {}
        Some(_) => return Err(ProtocolError("invalid length".into())),
    }
    let number = number(&digits[..num_digits]).ok_or_else(|| ProtocolError("invalid length".into()))?;
    Ok(Some((number, at + num_digits + 3)))
}

fn number(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_usize, |number, digit| {
        let digit = usize::from(digit.checked_sub(b'0').filter(|digit| *digit <= 9)?);
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The version of the protocol a client asked for with HELLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    Resp2,
    Resp3,
}

/// A value sent to a client, in terms of either version.
#[derive(Debug, Clone)]
pub(crate) enum Reply<'a> {
    Simple(&'static str),
    Error(&'a str),
    Integer(usize),
    Bulk(&'a [u8]),
    Null,
    Array(Vec<Reply<'a>>),
    /// An array in RESP2, where keys and values alternate.
    Map(Vec<(Reply<'a>, Reply<'a>)>),
    /// Out of band in RESP3, an array in RESP2.
    Push(Vec<Reply<'a>>),
}

/// Appends the encoded reply.
pub(crate) fn encode(out: &mut BytesMut, reply: &Reply<'_>, version: Version) {
    let num_entries_of_map = if version == Version::Resp3 { 1 } else { 2 };
    match (reply, version) {
        (Reply::Array(items), _) | (Reply::Push(items), Version::Resp2) => encode_items(out, b'*', items, version),
        (Reply::Push(items), Version::Resp3) => encode_items(out, b'>', items, version),
        (Reply::Map(pairs), _) => {
            let kind = if version == Version::Resp3 { b'%' } else { b'*' };
            encode_header(out, kind, pairs.len() * num_entries_of_map);
            for (key, value) in pairs {
                encode(out, key, version);
                encode(out, value, version);
            }
        }
        (scalar, Version::Resp2) => encode_resp2(out, scalar),
        (scalar, Version::Resp3) => encode_resp3(out, scalar),
    }
}

/// Encodes one message for subscribers into a buffer of its own, which all its receivers share.
pub(crate) fn encode_push(items: Vec<Reply<'_>>, version: Version) -> Bytes {
    let mut out = BytesMut::new();
    encode(&mut out, &Reply::Push(items), version);
    out.freeze()
}

fn encode_items(out: &mut BytesMut, kind: u8, items: &[Reply<'_>], version: Version) {
    encode_header(out, kind, items.len());
    for item in items {
        encode(out, item, version);
    }
}

/// What an array, a push or a map starts with; the codec would want the whole tree of frames for it.
fn encode_header(out: &mut BytesMut, kind: u8, len: usize) {
    use std::fmt::Write as _;
    write!(out, "{}{len}\r\n", char::from(kind)).expect("a buffer that grows takes every header");
}

fn encode_resp2(out: &mut BytesMut, reply: &Reply<'_>) {
    use resp2::types::BorrowedFrame as Frame;
    let frame = match reply {
        Reply::Simple(text) => Frame::SimpleString(text.as_bytes()),
        Reply::Error(text) => Frame::Error(text),
        Reply::Integer(number) => Frame::Integer(integer(*number)),
        Reply::Bulk(bytes) => Frame::BulkString(bytes),
        _ => Frame::Null,
    };
    resp2::encode::extend_encode_borrowed(out, &frame, false).expect("a buffer that grows takes every frame");
}

fn encode_resp3(out: &mut BytesMut, reply: &Reply<'_>) {
    use resp3::types::BorrowedFrame as Frame;
    let attributes = None;
    let frame = match reply {
        Reply::Simple(text) => Frame::SimpleString {
            data: text.as_bytes(),
            attributes,
        },
        Reply::Error(data) => Frame::SimpleError { data, attributes },
        Reply::Integer(number) => Frame::Number {
            data: integer(*number),
            attributes,
        },
        Reply::Bulk(data) => Frame::BlobString { data, attributes },
        _ => Frame::Null,
    };
    resp3::encode::complete::extend_encode_borrowed(out, &frame, false).expect("a buffer that grows takes every frame");
}

fn integer(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(input: &[u8]) -> Result<Option<Command<'_>>, ProtocolError> {
        decode(
            input,
            &Limits {
                max_frame_bytes: 100,
                max_args: 4,
                ..Limits::default()
            },
        )
    }

    #[test]
    fn a_command_is_taken_off_when_it_is_complete() {
        let input = b"*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n*1\r\n";
        for cut in 0..22 {
            assert_eq!(args(&input[..cut]), Ok(None), "{cut} bytes");
        }
        assert_eq!(args(input), Ok(Some((vec![&b"PING"[..], b"hi"], 22))));
    }

    #[test]
    fn what_can_never_be_a_command_is_refused_by_its_first_bytes() {
        let refused: [&[u8]; 10] = [
            b"GET / HTTP/1.1\r\n",
            b"*1\r\n*1\r\n*1\r\n",
            b"*5\r\n",
            b"*-1\r\n",
            b"*\r\n",
            b"*1x\r\n",
            b"*999999999999999999999",
            b"*1\r\n$101\r\n",
            b"*2\r\n$60\r\n",
            b"*1\r\n$1\r\nabc",
        ];
        for input in refused {
            let whole = [input, &[b'a'; 70][..]].concat();
            assert!(args(&whole).is_err(), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn the_same_reply_in_both_versions() {
        let reply = Reply::Map(vec![
            (Reply::Bulk(b"n"), Reply::Integer(3)),
            (
                Reply::Simple("x"),
                Reply::Array(vec![Reply::Null, Reply::Error("ERR no")]),
            ),
        ]);
        let mut out = BytesMut::new();
        encode(&mut out, &reply, Version::Resp2);
        assert_eq!(&out[..], b"*4\r\n$1\r\nn\r\n:3\r\n+x\r\n*2\r\n$-1\r\n-ERR no\r\n");
        out.clear();
        encode(&mut out, &reply, Version::Resp3);
        assert_eq!(&out[..], b"%2\r\n$1\r\nn\r\n:3\r\n+x\r\n*2\r\n_\r\n-ERR no\r\n");
        assert_eq!(
            &encode_push(vec![Reply::Bulk(b"m")], Version::Resp2)[..],
            b"*1\r\n$1\r\nm\r\n"
        );
        assert_eq!(
            &encode_push(vec![Reply::Bulk(b"m")], Version::Resp3)[..],
            b">1\r\n$1\r\nm\r\n"
        );
    }

    #[test]
    fn no_bytes_make_it_panic_or_take_more_than_there_is() {
        let seed = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\n\r\n$1\r\n";
        let alphabet = b"*$+-:0123456789\r\n\0a\xff";
        let mut state = 42_u32;
        let mut random = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..100_000 {
            let mut input = seed.to_vec();
            for _ in 0..1 + random(4) {
                let at = random(input.len());
                input[at] = alphabet[random(alphabet.len())];
            }
            input.truncate(1 + random(input.len()));
            if let Ok(Some((args, num_bytes))) = args(&input) {
                assert!(num_bytes <= input.len() && args.len() <= 4, "{}", input.escape_ascii());
            }
        }
    }
}
