//! Engine.IO packets in text, as polling clients send them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| engine_io::fuzzing::packets(text));
