//! Text that is not the UTF-8 it should be, because of the program that wrote it.

const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";
/// How much of a text is looked at.
const LOOKED_AT: usize = 64;

/// Takes the byte order mark off UTF-8.
///
/// # Errors
///
/// What to do, if this is the beginning of UTF-16 or UTF-32, with or without its mark.
pub(crate) fn without_mark(text: &[u8]) -> Result<&[u8], &'static str> {
    if let Some(rest) = text.strip_prefix(UTF8_MARK) {
        return Ok(rest);
    }
    let is_marked = text.starts_with(b"\xff\xfe") || text.starts_with(b"\xfe\xff") || text.starts_with(b"\0\0\xfe\xff");
    if is_marked || is_every_second_byte_zero(text) {
        return Err("UTF-16 or UTF-32, not UTF-8 text; convert it, for example with: iconv -f UTF-16 -t UTF-8");
    }
    Ok(text)
}

/// So is text of Latin letters in UTF-16 and UTF-32, and no JSON nor text of people in UTF-8.
fn is_every_second_byte_zero(text: &[u8]) -> bool {
    let pairs = text[..text.len().min(LOOKED_AT)].chunks_exact(2);
    let is_zero = |at: usize| pairs.clone().all(|pair| pair[at] == 0);
    pairs.len() > 1 && (is_zero(0) || is_zero(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(to_bytes).collect()
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_and_other_encodings_are_named() {
        for (text, rest) in [
            (&b"\xef\xbb\xbf{}"[..], &b"{}"[..]),
            (b"{}", b"{}"),
            (b"", b""),
            (b"\0", b"\0"),
            (b"\xff", b"\xff"),
        ] {
            assert_eq!(without_mark(text), Ok(rest), "{}", text.escape_ascii());
        }
        for text in ["\u{feff}hi", "hi", "{\"event\":\"a\"}"] {
            for bytes in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)] {
                assert!(without_mark(&bytes).is_err(), "{}", bytes.escape_ascii());
            }
            let utf32: Vec<u8> = text
                .chars()
                .flat_map(|letter| u32::from(letter).to_be_bytes())
                .collect();
            assert!(without_mark(&utf32).is_err(), "{}", utf32.escape_ascii());
        }
    }
}
