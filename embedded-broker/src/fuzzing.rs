//! The parser, for `fuzz/`.

use crate::{Limits, codec};

/// Reads a command.
pub fn command(input: &[u8]) {
    if let Ok(Some((arguments, length))) = codec::decode(input, &Limits::default()) {
        let again = codec::decode(&input[..length], &Limits::default());
        assert_eq!(again, Ok(Some((arguments, length))));
    }
}
