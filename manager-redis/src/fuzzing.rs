//! The parsers, for `fuzz/`.

use crate::resp;

/// Reads a reply.
pub fn reply(buffer: &[u8]) {
    let _ = resp::length_line(buffer);
    let Ok(Some(length)) = resp::reply_len(buffer, 1 << 16) else {
        return;
    };
    assert_eq!(resp::reply_len(&buffer[..length], 1 << 16), Ok(Some(length)));
    let _ = resp::value(&buffer[..length]);
}
