//! A packet on its way out: encoded once, shared by all its recipients.

use std::sync::Arc;

use bytes::Bytes;

/// One or more messages (a text and its attachments) that leave together.
///
/// Encoded once; a clone is a reference-counted handle of eight bytes.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<()>);

impl Outgoing {
    /// Creates a text message.
    pub fn text(text: &str) -> Self {
        Self::build(
            text.len(),
            |buffer| buffer.extend_from_slice(text.as_bytes()),
            &[],
        )
    }

    /// Creates a binary message.
    pub fn binary(data: Bytes) -> Self {
        let _ = data;
        unimplemented!()
    }

    /// Creates a text message followed by binary messages.
    ///
    /// `write` appends the text to a buffer that holds head room already, and changes nothing before it; it must write
    /// UTF-8. `capacity` is a guess of its length in bytes.
    ///
    /// # Panics
    /// If `write` shortens the buffer.
    pub fn build(capacity: usize, write: impl FnOnce(&mut Vec<u8>), attachments: &[Bytes]) -> Self {
        let _ = (capacity, write, attachments);
        unimplemented!()
    }
}
