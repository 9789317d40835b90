//! The extension permessage-deflate (RFC 7692), without context takeover: nothing is kept from one
//! message to the next.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use http::{HeaderMap, HeaderValue, header};

use crate::websocket::violation::Violation;

/// The name of the extension.
const NAME: &str = "permessage-deflate";

/// The end of each message, which is left out on the wire.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Longer messages are sent as they are: compressing one would block the thread for tens of
/// milliseconds.
const LONGEST: usize = 1024 * 1024;

/// The final blocks that a message may have, each of which makes the library start anew; messages
/// packed by zlib have none.
const FINAL_BLOCKS: usize = 16;

/// The first buffer that a message is unpacked into; it doubles from there.
const FIRST_BUFFER: usize = 4096;

// The state is large (some 300 KiB, and 43 KiB) and used for one message at a time, so the
// connections of a thread share it.
thread_local! {
    static COMPRESS: RefCell<Compress> = RefCell::new(Compress::new(Compression::fast(), false));
    static DECOMPRESS: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// Returns the response to the first offer that can be accepted.
pub(crate) fn negotiate(headers: &HeaderMap) -> Option<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(accept)
        .map(HeaderValue::from_static)
}

/// Accepts one offer, without context takeover on both sides, which needs no consent.
fn accept(offer: &str) -> Option<&'static str> {
    let mut parts = offer.split(';').map(str::trim);
    if parts.next() != Some(NAME) {
        return None;
    }
    let mut seen = Vec::new();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| {
            (name.trim_end(), Some(value.trim().trim_matches('"')))
        });
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        let valid = match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => true,
            ("client_max_window_bits", Some(bits)) => window_bits(bits).is_some(),
            // The library cannot promise a smaller window.
            ("server_max_window_bits", Some(bits)) => window_bits(bits) == Some(15),
            _ => false,
        };
        if !valid {
            return None;
        }
    }
    Some(if seen.contains(&"server_max_window_bits") {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    })
}

/// Reads the size of a window; `None` if it is not a valid one.
fn window_bits(text: &str) -> Option<u8> {
    let bits = text.parse().ok().filter(|bits| (8..=15).contains(bits))?;
    (!text.starts_with(['0', '+'])).then_some(bits)
}

/// Packs the payload of a message, unless that gains nothing.
pub(crate) fn compress(payload: &[u8]) -> Option<Vec<u8>> {
    if payload.len() > LONGEST {
        return None;
    }
    COMPRESS.with_borrow_mut(|state| {
        state.reset();
        // Output that does not fit gains nothing.
        let mut packed = Vec::with_capacity(payload.len() + TAIL.len());
        state.compress_vec(payload, &mut packed, FlushCompress::Sync).ok()?;
        let complete = state.total_in() == payload.len() as u64 && packed.len() < packed.capacity();
        let length = packed.strip_suffix(&TAIL)?.len();
        packed.truncate(length);
        (complete && length < payload.len()).then_some(packed)
    })
}

/// Unpacks the payload of a message that may be `max` bytes long.
pub(crate) fn decompress(payload: &[u8], max: usize) -> Result<Vec<u8>, Violation> {
    DECOMPRESS.with_borrow_mut(|state| {
        state.reset(false);
        let mut unpacking = Unpacking {
            state,
            unpacked: Vec::with_capacity(FIRST_BUFFER.min(max.saturating_add(1))),
            max,
            final_blocks: 0,
        };
        unpacking.feed(payload)?;
        unpacking.feed(&TAIL)?;
        Ok(unpacking.unpacked)
    })
}

/// A message that is being unpacked.
struct Unpacking<'a> {
    /// The library's state.
    state: &'a mut Decompress,
    /// The bytes unpacked so far.
    unpacked: Vec<u8>,
    /// How long the message may be, in bytes.
    max: usize,
    /// The final blocks that were read.
    final_blocks: usize,
}

impl Unpacking<'_> {
    /// Unpacks all of the input.
    fn feed(&mut self, mut input: &[u8]) -> Result<(), Violation> {
        loop {
            let (taken, length) = (self.state.total_in(), self.unpacked.len());
            let status = self
                .state
                .decompress_vec(input, &mut self.unpacked, FlushDecompress::Sync)
                .map_err(|_| Violation::NotDeflate)?;
            let taken = (self.state.total_in() - taken) as usize;
            input = &input[taken..];
            if self.unpacked.len() > self.max {
                return Err(Violation::TooLong);
            }
            if status == Status::StreamEnd {
                self.end_block()?;
            } else if self.unpacked.len() == self.unpacked.capacity() {
                self.grow();
                continue;
            } else if taken == 0 && self.unpacked.len() == length && !input.is_empty() {
                return Err(Violation::NotDeflate);
            }
            if input.is_empty() {
                return Ok(());
            }
        }
    }

    /// Starts the library anew after a final block, which is allowed and need not be the last
    /// block.
    fn end_block(&mut self) -> Result<(), Violation> {
        self.final_blocks += 1;
        if self.final_blocks > FINAL_BLOCKS {
            return Err(Violation::NotDeflate);
        }
        self.state.reset(false);
        Ok(())
    }

    /// Doubles the buffer, up to one byte over the limit: enough to see that it is exceeded.
    fn grow(&mut self) {
        let length = self.unpacked.len();
        self.unpacked.reserve(length.min((self.max - length).saturating_add(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_is_unpacked_up_to_the_limit() {
        for length in [1000, FIRST_BUFFER - 1, FIRST_BUFFER, FIRST_BUFFER + 1, 300_000] {
            let text = b"abc".repeat(length).split_off(2 * length);
            let packed = compress(&text).unwrap();
            for max in [length, length + 1, usize::MAX] {
                assert!(decompress(&packed, max) == Ok(text.clone()), "{length} of {max}");
            }
            assert_eq!(decompress(&packed, length - 1), Err(Violation::TooLong));
        }
    }

    #[test]
    fn what_gains_nothing_or_takes_too_long_is_not_packed() {
        assert_eq!(compress(b"abc"), None);
        assert_eq!(compress(&vec![0; LONGEST + 1]), None);
    }

    #[test]
    fn a_message_that_fails_leaves_no_trace() {
        let packed = compress(&[b'x'; 2000]).unwrap();
        for cut in 0..packed.len() {
            // Some of these are messages, too.
            let _ = decompress(&packed[cut..], 1000);
            assert!(decompress(&packed, 2000).is_ok());
        }
    }
}
