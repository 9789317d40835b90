//! A packet whose attachments are still to come.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine_io::{HeldBytes, ProtocolError, Socket};
use tokio::time::{Sleep, sleep};

use crate::config::Config;

pub(super) struct Assembly {
    text: String,
    attachments: Vec<Bytes>,
    num_attachments: usize,
    bytes_left: usize,
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    /// Counts what is here, from the moment on in which there is something to wait for.
    held: Option<HeldBytes>,
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
            timeout: limits.attachment_timeout,
            timer: None,
            held: None,
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

    /// Counts what is here as held; an error if that is too much, for which the connection was closed.
    pub(super) fn count(&mut self, socket: &Socket) -> Result<(), ProtocolError> {
        let bytes = self.text.len() + self.attachments.iter().map(Bytes::len).sum::<usize>();
        self.held.get_or_insert_with(|| socket.hold()).set(bytes)
    }

    /// Ready when the attachments have taken longer than they may.
    ///
    /// Time begins with the first call. Attachments that came with their packet are complete before it, and cost no timer.
    pub(super) fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeout = self.timeout;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(timeout)));
        timer.as_mut().poll(cx)
    }
}
