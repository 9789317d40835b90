//! Encoding of messages to bytes.

mod cluster;

use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;

use crate::cluster::{ClusterResponse, ResponsePart};
use crate::message::{Callback, Emit, Envelope, Message, Target};
use crate::{HostId, NamespaceName, Payload, Room, Sid};

/// The prefix of every callback that we write, and of no other message.
pub(super) const CALLBACK_PREFIX: &[u8] = b"{\"method\":\"callback\"";

/// The prefixes of presence messages.
pub(super) const PRESENCE_PREFIXES: [&[u8]; 4] = [
    b"{\"method\":\"sio_hello\"",
    b"{\"method\":\"sio_seek\"",
    b"{\"method\":\"sio_here\"",
    b"{\"method\":\"sio_bye\"",
];

/// The version of our extension fields.
pub(in crate::wire::python) const EXTENSION_VERSION: u64 = 1;

/// The member that holds the [mark](crate::message::Mark) of a bridge.
const BRIDGE_MEMBER: &str = "sio_bridge";

/// Encodes a message as python-socketio would, with extensions only where they are used.
pub fn encode(envelope: &Envelope) -> Bytes {
    let mut out = Writer(Vec::with_capacity(192 + payload_size(&envelope.message)));
    match &envelope.message {
        Message::Emit(emit) => out.emit(emit),
        Message::Callback(callback) => {
            out.callback(callback, envelope.host_id.as_ref());
            return out.0.into();
        }
        Message::Disconnect { sid, namespace } => {
            out.method("disconnect");
            out.member("sid", sid.as_str());
            out.member("namespace", namespace.as_str());
        }
        Message::EnterRoom { sid, room, namespace } => out.membership("enter_room", sid, room, namespace),
        Message::LeaveRoom { sid, room, namespace } => out.membership("leave_room", sid, room, namespace),
        Message::CloseRoom { room, namespace } => {
            out.method("close_room");
            out.key("room");
            out.room(room);
            out.member("namespace", namespace.as_str());
        }
        Message::Request(request) => out.request(request),
        Message::Response(response) => out.response(response),
        Message::Members { clients, change } => out.members(clients, change),
        presence @ (Message::Hello | Message::Seek | Message::Present | Message::Bye) => {
            out.presence(presence.method());
        }
    }
    if let Some(mark) = &envelope.mark {
        out.key(BRIDGE_MEMBER);
        write!(out.0, "\"{mark}\"").expect("writing to memory");
    }
    match &envelope.host_id {
        Some(host_id) => out.0.extend_from_slice(&host_suffix(host_id)),
        None => out.0.push(b'}'),
    }
    out.0.into()
}

/// Returns the suffix of every message of a host, except callbacks.
pub(super) fn host_suffix(host_id: &HostId) -> Vec<u8> {
    let mut out = Writer(Vec::new());
    out.member("host_id", host_id.as_str());
    out.0.push(b'}');
    out.0
}

fn payload_size(message: &Message) -> usize {
    match message {
        Message::Emit(emit) => emit.payload.size() * 3 / 2,
        Message::Callback(callback) => callback.payload.size() * 3 / 2,
        Message::Response(ClusterResponse {
            part: ResponsePart::Sockets(sockets),
            ..
        }) => sockets.len() * 128,
        _ => 0,
    }
}

/// Returns a time in milliseconds; one that exceeds 64 bits is written as the maximum, because receivers cannot read
/// more digits.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

struct Writer(Vec<u8>);

impl Writer {
    fn emit(&mut self, emit: &Emit) {
        self.method("emit");
        self.member("event", emit.event.as_str());
        self.arguments("data", &emit.payload);
        self.raw(if emit.payload.attachments().is_empty() {
            ",\"binary\":false"
        } else {
            ",\"binary\":true"
        });
        self.recipients(&emit.namespace, &emit.target, &emit.skip);
        self.key("callback");
        match &emit.callback {
            None => self.raw("null"),
            Some(address) => {
                self.raw("[");
                self.optional_room(address.room.as_ref());
                self.raw(",");
                self.string(address.namespace.as_str());
                write!(self.0, ",{}]", address.id).expect("writing to memory");
            }
        }
        self.extensions(emit);
    }

    fn recipients(&mut self, namespace: &NamespaceName, target: &Target, skip: &[Sid]) {
        self.member("namespace", namespace.as_str());
        self.key("room");
        self.target(target);
        self.key("skip_sid");
        self.skip(skip);
    }

    fn callback(&mut self, callback: &Callback, host_id: Option<&HostId>) {
        self.method("callback");
        self.member("host_id", host_id.map_or("", HostId::as_str));
        self.key("sid");
        self.optional_room(callback.address.room.as_ref());
        self.member("namespace", callback.address.namespace.as_str());
        write!(self.0, ",\"id\":{}", callback.address.id).expect("writing to memory");
        self.arguments("args", &callback.payload);
        if !callback.payload.attachments().is_empty() {
            self.raw(",\"binary\":true");
        }
        if let Some(client) = &callback.client {
            self.begin_extensions();
            self.member("client", client.as_str());
            self.raw("}");
        }
        self.raw("}");
    }

    fn membership(&mut self, method: &str, sid: &Sid, room: &Room, namespace: &NamespaceName) {
        self.method(method);
        self.member("sid", sid.as_str());
        self.key("room");
        self.room(room);
        self.member("namespace", namespace.as_str());
    }

    fn extensions(&mut self, emit: &Emit) {
        let is_null = emit.payload.is_null();
        let is_plain = emit.except.is_empty() && !emit.volatile && !emit.is_uncompressed && !is_null;
        let is_unobserved = emit.sent.is_none() && emit.trace.is_none();
        let has_no_id = emit.ack_timeout.is_none() && emit.report.is_none() && emit.receipt.is_none();
        if is_plain && has_no_id && is_unobserved && emit.key.is_none() {
            return;
        }
        self.begin_extensions();
        if !emit.except.is_empty() {
            self.key("except");
            self.list(&emit.except, Self::room);
        }
        if emit.volatile {
            self.raw(",\"volatile\":true");
        }
        if emit.is_uncompressed {
            self.raw(",\"compress\":false");
        }
        if is_null {
            self.raw(",\"null\":true");
        }
        if let Some(timeout) = emit.ack_timeout {
            write!(self.0, ",\"ack_timeout_ms\":{}", milliseconds(timeout)).expect("writing to memory");
        }
        if let Some(request) = emit.report {
            write!(self.0, ",\"report\":{request}").expect("writing to memory");
        }
        if let Some(request) = emit.receipt {
            write!(self.0, ",\"receipt\":{request}").expect("writing to memory");
        }
        if let Some(key) = &emit.key {
            self.member("key", key.as_str());
        }
        if let Some(sent) = emit.sent.and_then(|sent| sent.duration_since(UNIX_EPOCH).ok()) {
            write!(self.0, ",\"sent_us\":{}", sent.as_micros()).expect("writing to memory");
        }
        if let Some(trace) = &emit.trace {
            write!(self.0, ",\"traceparent\":\"{trace}\"").expect("writing to memory");
        }
        self.raw("}");
    }

    fn begin_extensions(&mut self) {
        self.key("sio");
        write!(self.0, "{{\"v\":{EXTENSION_VERSION}").expect("writing to memory");
    }

    fn target(&mut self, target: &Target) {
        match (target, target.single()) {
            (Target::Everyone, _) => self.raw("null"),
            (_, Some(room)) => self.room(room),
            (Target::Rooms(rooms), None) => self.list(rooms, Self::room),
        }
    }

    fn skip(&mut self, skip: &[Sid]) {
        match skip {
            [] => self.raw("null"),
            [sid] => self.string(sid.as_str()),
            sids => self.list(sids, |out, sid| out.string(sid.as_str())),
        }
    }

    /// Writes arguments alone, or with attachments: `[arguments, base64, base64, …]`.
    fn arguments(&mut self, key: &str, payload: &Payload) {
        self.key(key);
        if payload.attachments().is_empty() {
            return self.0.extend_from_slice(payload.json_bytes());
        }
        self.raw("[");
        self.0.extend_from_slice(payload.json_bytes());
        for attachment in payload.attachments() {
            self.raw(",\"");
            let start = self.0.len();
            let len = base64::encoded_len(attachment.len(), true).expect("an attachment fits memory");
            self.0.resize(start + len, 0);
            BASE64_STANDARD
                .encode_slice(attachment, &mut self.0[start..])
                .expect("the buffer has the encoded length");
            self.raw("\"");
        }
        self.raw("]");
    }

    fn method(&mut self, name: &str) {
        self.raw("{\"method\":\"");
        self.raw(name);
        self.raw("\"");
    }

    fn member(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    fn key(&mut self, key: &str) {
        self.raw(",\"");
        self.raw(key);
        self.raw("\":");
    }

    fn optional_room(&mut self, room: Option<&Room>) {
        match room {
            Some(room) => self.room(room),
            None => self.raw("null"),
        }
    }

    fn room(&mut self, room: &Room) {
        if room.is_number() {
            self.raw(room.as_str())
        } else {
            self.string(room.as_str())
        }
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        for (i, item) in items.iter().enumerate() {
            self.raw(if i == 0 { "[" } else { "," });
            write(self, item);
        }
        self.raw(if items.is_empty() { "[]" } else { "]" });
    }

    fn string(&mut self, text: &str) {
        serde_json::to_writer(&mut self.0, text).expect("a string is JSON");
    }

    fn raw(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }
}
