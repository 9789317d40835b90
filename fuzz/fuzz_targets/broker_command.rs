//! Commands of a Redis client to the embedded broker.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| embedded_broker::fuzzing::command(data));
