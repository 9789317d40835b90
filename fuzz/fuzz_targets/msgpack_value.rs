//! Values in MessagePack: what is read is written, and read again as the same.
#![no_main]

use bytes::Bytes;
use msgpack::{Limits, Reader};

const LIMITS: Limits = Limits::new(10, 1_000);

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let _ = Reader::new(input, LIMITS).skip();
    let Some((json, attachments)) = read(input) else {
        return;
    };
    serde_json::from_str::<serde::de::IgnoredAny>(&json).expect("what is read is JSON");
    let mut written = Vec::new();
    msgpack::write_json(&mut written, &json, &attachments);
    assert_eq!(read(&written), Some((json, attachments)), "what was written");
});

fn read(input: &[u8]) -> Option<(String, Vec<Bytes>)> {
    let mut reader = Reader::new(input, LIMITS);
    let json = reader.optional_json().ok()?.unwrap_or_else(|| "null".to_owned());
    Some((json, reader.finish().ok()?))
}
