//! Messages of the broker: read and written.

use std::hint::black_box;

use anyhow::{Result, ensure};
use bytes::Bytes;
use manager_api::message::Envelope;
use manager_api::wire;

use crate::hot_path::Operation;

/// The message that python-socketio writes for an event of 128 bytes to one room.
fn message() -> Bytes {
    let text = "x".repeat(128);
    let message = format!(
        "{{\"method\":\"emit\",\"event\":\"m\",\"data\":[\"{text}\"],\"namespace\":\"/\",\"room\":\"lobby\",\"skip_sid\":null,\
         \"callback\":null,\"binary\":false,\"host_id\":\"0123456789abcdef0123456789abcdef\"}}"
    );
    message.into()
}

/// Decodes one message.
#[derive(Debug)]
pub struct Decode {
    message: Bytes,
}

impl Decode {
    /// Makes the message.
    #[expect(clippy::new_without_default, reason = "what is made is not a neutral value")]
    pub fn new() -> Self {
        Self { message: message() }
    }

    /// Returns the message.
    pub fn message(&self) -> &Bytes {
        &self.message
    }
}

impl Operation for Decode {
    fn run(&mut self) -> Result<()> {
        let envelope = wire::python::decode(black_box(&self.message))?;
        ensure!(black_box(envelope).host_id.is_some(), "the message lost its publisher");
        Ok(())
    }
}

/// Encodes one message.
#[derive(Debug)]
pub struct Encode {
    envelope: Envelope,
    len: usize,
}

impl Encode {
    /// Makes the message.
    ///
    /// # Panics
    ///
    /// If the message cannot be decoded, which would be a fault of the decoder.
    #[expect(clippy::new_without_default, reason = "what is made is not a neutral value")]
    pub fn new() -> Self {
        let envelope = wire::python::decode(&message()).expect("a valid message");
        let len = wire::python::encode(&envelope).len();
        Self { envelope, len }
    }

    /// Returns the message as it is encoded.
    pub fn encoded(&self) -> Bytes {
        wire::python::encode(&self.envelope)
    }
}

impl Operation for Encode {
    fn run(&mut self) -> Result<()> {
        let encoded = black_box(wire::python::encode(black_box(&self.envelope)));
        ensure!(encoded.len() == self.len, "the message changed its length");
        Ok(())
    }
}
