//! The parsers, for `fuzz/`.

use crate::packet::Packet;
use crate::websocket::frame::{Decoder, Front};

/// The longest message of a frame here.
const MAX: usize = 1 << 16;

/// Reads a payload of packets.
pub fn packets(payload: &str) {
    for text in payload.split('\u{1e}') {
        let _ = Packet::parse(text);
    }
}

/// Reads frames from bytes that arrive in `pieces`, and returns what each was, in words.
pub fn frames(pieces: &[&[u8]]) -> Vec<String> {
    let (mut decoder, mut buffer, mut seen) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            let used = match decoder.next(&mut buffer, MAX) {
                Ok(Front::Event(event, used)) => {
                    seen.push(format!("{event:?}"));
                    used
                }
                Ok(Front::Incomplete(_)) => break,
                Err(violation) => {
                    seen.push(format!("{violation:?}"));
                    return seen;
                }
            };
            buffer.drain(..used);
        }
    }
    seen
}
