//! One packet of text: parsing it never panics, and what it unpacks to is no longer than the text.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| engine_io::fuzzing::packet(text));
