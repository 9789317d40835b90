//! WebSocket frames, cut where the network cuts them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (cut, data) = input;
    let whole = engine_io::fuzzing::frames(&[data]);
    let (front, back) = data.split_at(usize::from(cut).min(data.len()));
    assert_eq!(engine_io::fuzzing::frames(&[front, back]), whole);
});
