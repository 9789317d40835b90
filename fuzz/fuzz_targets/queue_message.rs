//! Messages from the broker.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use manager_api::wire::python::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = decode(&Bytes::copy_from_slice(data)) else {
        return;
    };
    let written = encode(&envelope);
    let again = decode(&written).expect("what we write can be read");
    assert_eq!(encode(&again), written, "reading loses nothing that is written");
});
