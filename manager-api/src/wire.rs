//! The queue format of python-socketio ≥ 5.14: one JSON object per message.
//!
//! Read leniently, written exactly (`pubsub_manager.py`; recorded examples in `tests/vectors`). This module alone knows the format.
//!
//! What python-socketio has no word for travels in one extra field of an `emit`, which it ignores:
//! `"sio": {"v": 1, "except": [rooms], "volatile": true, "ack_timeout_ms": n}`. A `callback` says who answered in `"sio": {"v": 1, "client": sid}`; one whose arguments hold binary carries
//! `"binary": true` and its arguments in the form that `emit` uses for binary; python-socketio cannot send or read such answers at all.

mod decode;
mod encode;

pub use decode::{DecodeError, decode};
pub use encode::encode;

use bytes::Bytes;

use crate::HostId;

/// Recognises, without parsing, the messages that one process wrote itself.
#[derive(Clone, Debug)]
pub struct OwnMark {
    suffix: Vec<u8>,
}

impl OwnMark {
    /// Makes the mark of `host_id`.
    pub fn new(host_id: &HostId) -> Self {
        Self {
            suffix: encode::host_suffix(host_id),
        }
    }

    /// Tells whether [`encode`] made this message for this host, and it is no callback.
    ///
    /// A callback carries the host it is meant for, so it must never be taken for an own message.
    pub fn is_on(&self, message: &Bytes) -> bool {
        message.ends_with(&self.suffix) && !message.starts_with(encode::CALLBACK_PREFIX)
    }
}

#[cfg(test)]
mod tests;
