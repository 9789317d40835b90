//! The queue format of python-socketio ≥ 5.14: one JSON object per message.
//!
//! Read leniently, written exactly (`pubsub_manager.py`; recorded examples in `tests/vectors`). Only this module knows
//! the format.
//!
//! Features that python-socketio lacks use one extra field of an `emit`, which it ignores: `"sio": {"v": 1, "except":
//! [rooms], "volatile": true, "compress": false, "null": true, "ack_timeout_ms": n, "report": id, "receipt": id, "key": text,
//! "sent_us": n, "traceparent": text}`. Extensions of another version are ignored, the rest of the message is used. `sent_us` is the time of the
//! publish in microseconds since 1970, `traceparent` the [trace](crate::trace), `key` the
//! [key](crate::IdempotencyKey) by which repeats are dropped: malformed ones are ignored and counted. `null` marks a lone null as an argument: without it, a
//! lone null is how python-socketio writes an event without arguments. A `callback` names the client that acknowledged
//! in `"sio": {"v": 1, "client": sid}`; one whose arguments hold binary has `"binary": true` and its arguments in the
//! form that `emit` uses for binary; python-socketio can neither send nor read such callbacks.
//!
//! Messages between our servers have methods that python-socketio does not know and therefore ignores, each with
//! `"sio": {"v": 1, …}`; one of another version is skipped:
//!
//! - `sio_hello`, `sio_here`, `sio_bye` of servers, `sio_seek` of emitters: presence, see [`cluster`](crate::cluster);
//! - `sio_members`: `change` (`join`, `leave`, `disconnect`, `close`) and `rooms` (for the first two; else empty), of
//!   the clients selected by `namespace`, `room`, `skip_sid` and `sio.except`;
//! - `sio_ask`: the request `id` of kind `ask` (`servers`, `rooms`, `sockets`, `count`, `event`), with `sio.timeout_ms`;
//!   `rooms` lists at most `sio.limit` rooms of `namespace` whose names start with `prefix`;
//!   `sockets` and `count` select clients as `sio_members` does, `sockets` at most `sio.limit` of them; `event` has the
//!   `event`'s name and its `data` in the form of an `emit`, and no `id` if no response is expected;
//! - `sio_answer`: the response of kind `answer` (`present`, `rooms`, `sockets`, `count`, `event`, `asked`, `left`) to the
//!   request `id` of the host `to`, of which this is the part `sio.part`, the last one if `sio.last`. An `emit` with
//!   `sio.report` requests `asked` and `left`, one with `sio.receipt` a `count` of the clients it was handed to; `present`
//!   carries the `server`'s status.
//!
//! A message that a bridge has brought from another fleet has its [mark](crate::message::Mark) in one more field:
//! `"sio_bridge": "<32 hexadecimal digits>"`.

mod decode;
mod encode;
mod messenger;
mod sketch;

pub use decode::{DecodeError, DecodeLimits, decode, decode_within};
pub use encode::encode;
pub use messenger::Python;
pub use sketch::Sketch;

use bytes::Bytes;

use crate::HostId;

/// A mark that recognises, without parsing, the messages that one process encoded itself.
#[derive(Clone, Debug)]
pub struct OwnMark {
    suffix: Vec<u8>,
}

impl OwnMark {
    /// Creates the mark of `host_id`.
    pub fn new(host_id: &HostId) -> Self {
        Self {
            suffix: encode::host_suffix(host_id),
        }
    }

    /// Returns whether [`encode()`] wrote this message for this host, and it is not a callback.
    ///
    /// A callback carries the host it is addressed to, so it must never count as an own message.
    pub fn is_on(&self, message: &Bytes) -> bool {
        message.ends_with(&self.suffix) && !message.starts_with(encode::CALLBACK_PREFIX)
    }
}

/// Returns, without parsing, whether [`encode()`] wrote this message as a presence message.
pub fn is_presence(message: &Bytes) -> bool {
    encode::PRESENCE_PREFIXES
        .iter()
        .any(|prefix| message.starts_with(prefix))
}

#[cfg(test)]
mod tests;
