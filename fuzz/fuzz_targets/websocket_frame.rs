//! WebSocket frames: cut anywhere, they are read as they are in one piece, and never hold more than the limit.
//!
//! The first byte chooses whether compression was agreed on, the second where the input is cut.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [choices, cut, frames @ ..] = data else { return };
    engine_io::fuzzing::frames(frames, usize::from(*cut), choices & 1 == 1);
});
