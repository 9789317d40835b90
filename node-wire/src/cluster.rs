//! Encoding for the adapters that are based on `ClusterAdapter` of `socket.io-adapter`: sharded and streams.
//!
//! A message is `{type, data, uid, nsp}`; its topic decides whether that is JSON, MessagePack, or the fields of an entry
//! of a stream.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::Room;
use manager_api::topics::Entry;

use crate::classic::flags;
use crate::format::{Format, Json, MsgPack};
use crate::outgoing::{Clients, Kind, Outgoing, except_of, rooms_of, timeout_of};
use crate::request_id::RequestId;

/// The id of emitters, which servers do not count as one of them.
pub(crate) const EMITTER: &str = "emitter";

/// Types of messages.
const BROADCAST: u64 = 3;
const SOCKETS_JOIN: u64 = 4;
const SOCKETS_LEAVE: u64 = 5;
const DISCONNECT_SOCKETS: u64 = 6;
const FETCH_SOCKETS: u64 = 7;
const SERVER_SIDE_EMIT: u64 = 9;

/// Writes a whole message, with the id `uid` as its sender.
pub(crate) fn message<F: Format>(outgoing: &Outgoing, uid: &str) -> Bytes {
    let mut out = F::default();
    out.map(4, |out| {
        out.member_uint("type", type_of(&outgoing.kind));
        out.key("data");
        data(out, &outgoing.kind, uid);
        out.member_text("uid", sender(outgoing, uid));
        out.member_text("nsp", outgoing.namespace.as_str());
    });
    out.into_vec().into()
}

/// Writes the entry of a stream; `sender` is the id that it names.
pub(crate) fn entry(outgoing: &Outgoing, sender: &'static str, uid: &str) -> Entry {
    let data = match outgoing.has_binary() {
        false => data_of::<Json>(outgoing, uid),
        true => BASE64_STANDARD.encode(data_of::<MsgPack>(outgoing, uid)).into_bytes(),
    };
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    let fields = [
        ("uid", Bytes::from_static(sender.as_bytes())),
        ("nsp", text(outgoing.namespace.as_str())),
        ("type", text(&type_of(&outgoing.kind).to_string())),
        ("data", data.into()),
    ];
    Entry::from_iter(fields)
}

fn data_of<F: Format>(outgoing: &Outgoing, uid: &str) -> Vec<u8> {
    let mut out = F::default();
    data(&mut out, &outgoing.kind, uid);
    out.into_vec()
}

/// Returns the sender: a process of which nothing is expected need not be told from others.
fn sender<'a>(outgoing: &Outgoing, uid: &'a str) -> &'a str {
    if outgoing.expects_response() { uid } else { EMITTER }
}

fn type_of(kind: &Kind) -> u64 {
    match kind {
        Kind::Broadcast { .. } => BROADCAST,
        Kind::Join(..) => SOCKETS_JOIN,
        Kind::Leave(..) => SOCKETS_LEAVE,
        Kind::Disconnect { .. } => DISCONNECT_SOCKETS,
        Kind::FetchSockets(..) => FETCH_SOCKETS,
        Kind::ServerEvent(_) => SERVER_SIDE_EMIT,
    }
}

fn data<F: Format>(out: &mut F, kind: &Kind, uid: &str) {
    match kind {
        Kind::Broadcast { emit, request } => out.map(2 + u32::from(request.is_some()), |out| {
            out.key("packet");
            out.map(2, |out| {
                out.member_uint("type", 2);
                out.key("data");
                out.event(emit.event.as_str(), &emit.payload);
            });
            request_id(out, *request, uid);
            out.key("opts");
            out.map(3, |out| {
                out.member_rooms("rooms", rooms_of(emit).iter());
                out.member_rooms("except", except_of(emit).iter());
                flags(out, emit, request.map(|_| timeout_of(emit)));
            });
        }),
        Kind::Join(clients, rooms) | Kind::Leave(clients, rooms) => change(out, clients, rooms),
        Kind::Disconnect { clients, closes } => out.map(2, |out| {
            options(out, clients);
            out.key("close");
            out.bool(*closes);
        }),
        Kind::FetchSockets(clients, request) => out.map(2, |out| {
            options(out, clients);
            request_id(out, Some(*request), uid);
        }),
        Kind::ServerEvent(event) => out.map(1 + u32::from(event.request.is_some()), |out| {
            request_id(out, event.request, uid);
            out.key("packet");
            out.event(event.name.as_str(), &event.payload);
        }),
    }
}

fn change<F: Format>(out: &mut F, clients: &Clients, rooms: &[Room]) {
    out.map(2, |out| {
        options(out, clients);
        out.member_rooms("rooms", rooms.iter());
    });
}

fn request_id<F: Format>(out: &mut F, request: Option<RequestId>, uid: &str) {
    if let Some(request) = request {
        out.member_text("requestId", &request.to_text(uid));
    }
}

fn options<F: Format>(out: &mut F, clients: &Clients) {
    out.key("opts");
    out.map(3, |out| {
        out.member_rooms("rooms", clients.rooms.iter());
        out.member_rooms("except", clients.except.iter());
        out.key("flags");
        out.map(0, |_| {});
    });
}
