//! The queue format of python-socketio ≥ 5.14: one JSON object per message.
//!
//! Read leniently, written exactly (`pubsub_manager.py`; recorded examples in `tests/vectors`). This module alone knows the format.
//!
//! What python-socketio has no word for travels in one extra field of an `emit`, which it ignores:
//! `"sio": {"v": 1, "except": [rooms], "volatile": true, "compress": false, "null": true, "ack_timeout_ms": n, "report": id}`. Extensions
//! of another version are ignored, the rest of the message counts. `null` says that a lone null is an argument: without it, it is how
//! python-socketio writes that there is none. A `callback` says who answered in `"sio": {"v": 1, "client": sid}`; one whose arguments hold
//! binary carries `"binary": true` and its arguments in the form that `emit` uses for binary; python-socketio cannot send or read such
//! answers at all.
//!
//! What servers of ours say to each other has methods that python-socketio does not know and therefore ignores, each with
//! `"sio": {"v": 1, …}`; one of another version is passed over:
//!
//! - `sio_hello`, `sio_here`, `sio_bye` of servers, `sio_seek` of emitters: who is there;
//! - `sio_members`: `change` (`join`, `leave`, `disconnect`, `close`) and `rooms` (for the first two; else empty), of the clients of `namespace`, `room`,
//!   `skip_sid` and `sio.except`;
//! - `sio_ask`: the question `id` about `ask` (`servers`, `sockets`, `count`, `event`), with `sio.timeout_ms`; `sockets` and `count` are
//!   about clients, given as in `sio_members`, `sockets` about `sio.limit` of them at most; `event` has the `event`'s name and its `data` in
//!   the form of an `emit`, and no `id` if nobody waits for an answer;
//! - `sio_answer`: to the question `id` of the host `to`, `answer` (`present`, `sockets`, `count`, `event`, `asked`, `left`), of which this is
//!   the part `sio.part`, the last one if `sio.last`. An `emit` with `sio.report` asks for `asked` and `left`.

mod decode;
mod encode;
mod sketch;

pub use decode::{DecodeError, DecodeLimits, decode, decode_within};
pub use encode::encode;
pub use sketch::Sketch;

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

/// Tells, without parsing, whether [`encode`] made this message to say which servers there are.
pub fn is_presence(message: &Bytes) -> bool {
    encode::PRESENCE_PREFIXES
        .iter()
        .any(|prefix| message.starts_with(prefix))
}

#[cfg(test)]
mod tests;
