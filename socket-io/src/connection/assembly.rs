//! A packet whose attachments are still coming.

use bytes::Bytes;
use engine_io::ProtocolError;

use crate::config::Config;

pub(super) struct Assembly {
    text: String,
    attachments: Vec<Bytes>,
    num_attachments: usize,
    bytes_left: usize,
}

impl Assembly {
    pub(super) fn start(text: &str, num_attachments: usize, limits: &Config) -> Result<Box<Self>, ProtocolError> {
        if num_attachments > limits.max_attachments {
            return Err(ProtocolError::new("too many attachments"));
        }
        Ok(Box::new(Self {
            text: text.to_owned(),
            attachments: Vec::with_capacity(num_attachments),
            num_attachments,
            bytes_left: limits.max_attachment_bytes,
        }))
    }

    /// Adds an attachment; `true` if it was the last.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<bool, ProtocolError> {
        let too_large = ProtocolError::new("the attachments of a packet are too large");
        self.bytes_left = self.bytes_left.checked_sub(bytes.len()).ok_or(too_large)?;
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(self.attachments.len() == self.num_attachments)
    }

    pub(super) fn finish(self) -> (String, Vec<Bytes>) {
        (self.text, self.attachments)
    }
}
