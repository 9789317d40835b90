//! Encoding for the adapters that are based on `ClusterAdapter` of `socket.io-adapter`: sharded and streams.
//!
//! A message is `{type, data, uid, nsp}`; its topic decides whether that is JSON, MessagePack, or the fields of an entry
//! of a stream.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::topics::Entry;
use manager_api::{NamespaceName, Room};

use crate::classic::flags;
use crate::format::{Format, Json, MARK, MsgPack};
use crate::kinds::cluster::{
    BROADCAST, DISCONNECT_SOCKETS, FETCH_SOCKETS, SERVER_SIDE_EMIT, SOCKETS_JOIN, SOCKETS_LEAVE,
};
use crate::outgoing::{Clients, Kind, Outgoing, Sender, except_of, rooms_of, timeout_of};
use crate::request_id::RequestId;

/// Writes a whole message, which names the process so.
pub(crate) fn message<F: Format>(outgoing: &Outgoing, sender: Sender<'_>, name: &str) -> Bytes {
    let mut out = F::default();
    out.map(4 + u32::from(outgoing.mark.is_some()), |out| {
        out.member_mark(outgoing.mark);
        out.member_uint("type", type_of(&outgoing.kind));
        out.key("data");
        data(out, &outgoing.kind, sender.uid);
        out.member_text("uid", name);
        out.member_text("nsp", outgoing.namespace.as_str());
    });
    out.into_vec().into()
}

/// Writes the entry of a stream. A request of an emitter names none, because older servers would wait for responses of
/// the process that it names.
pub(crate) fn entry(outgoing: &Outgoing, sender: Sender<'_>) -> Entry {
    let data = match outgoing.has_binary() {
        false => data_of::<Json>(outgoing, sender.uid),
        true => BASE64_STANDARD
            .encode(data_of::<MsgPack>(outgoing, sender.uid))
            .into_bytes(),
    };
    let mut entry = entry_of(sender.name(false), &outgoing.namespace, type_of(&outgoing.kind), data);
    if let Some(mark) = outgoing.mark {
        entry.push(MARK, mark.to_string());
    }
    entry
}

/// Creates the entry of a stream.
pub(crate) fn entry_of(uid: &str, namespace: &NamespaceName, kind: u64, data: impl Into<Bytes>) -> Entry {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Entry::from_iter([
        ("uid", text(uid)),
        ("nsp", text(namespace.as_str())),
        ("type", text(&kind.to_string())),
        ("data", data.into()),
    ])
}

fn data_of<F: Format>(outgoing: &Outgoing, uid: &str) -> Vec<u8> {
    let mut out = F::default();
    data(&mut out, &outgoing.kind, uid);
    out.into_vec()
}

pub(crate) fn type_of(kind: &Kind) -> u64 {
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
