//! Socket.IO packets: a text and its attachments.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&str, Vec<Vec<u8>>)| {
    let (text, attachments) = input;
    socket_io::fuzzing::packet(text, attachments);
});
