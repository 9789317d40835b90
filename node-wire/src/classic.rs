//! Encoding for the classic adapter, `createAdapter` of `@socket.io/redis-adapter`.
//!
//! Events are MessagePack; requests are JSON, which their receivers know by its first byte, or MessagePack where they
//! hold an event for clients or binary.

use manager_api::Room;
use manager_api::message::{Emit, Mark};

use crate::format::{Format, Json, MsgPack};
use crate::kinds::classic::{BROADCAST, REMOTE_DISCONNECT, REMOTE_FETCH, REMOTE_JOIN, REMOTE_LEAVE, SERVER_SIDE_EMIT};
use crate::outgoing::{Clients, Kind, Outgoing, Sender, ServerEvent, except_of, rooms_of, timeout_of};
use crate::request_id::RequestId;

/// Writes a message.
pub(crate) fn encode(outgoing: &Outgoing, sender: Sender<'_>) -> Vec<u8> {
    let (uid, mark) = (sender.uid, outgoing.mark);
    match &outgoing.kind {
        Kind::Broadcast { emit, request: None } => broadcast(emit, sender, mark),
        Kind::Broadcast {
            emit,
            request: Some(request),
        } => broadcast_with_ack(emit, *request, uid, mark),
        Kind::Join(clients, rooms) => change(REMOTE_JOIN, (clients, rooms), sender, mark),
        Kind::Leave(clients, rooms) => change(REMOTE_LEAVE, (clients, rooms), sender, mark),
        Kind::Disconnect { clients, closes } => disconnect(clients, *closes, sender, mark),
        Kind::FetchSockets(clients, request) => fetch_sockets(clients, *request, uid, mark),
        Kind::ServerEvent(event) if outgoing.has_binary() => server_event::<MsgPack>(event, sender, mark),
        Kind::ServerEvent(event) => server_event::<Json>(event, sender, mark),
    }
}

/// Writes `[uid, packet, options]`, and a mark behind them: receivers take the first three.
fn broadcast(emit: &Emit, sender: Sender<'_>, mark: Option<Mark>) -> Vec<u8> {
    let mut out = MsgPack::default();
    out.list(3 + u32::from(mark.is_some()), |out| {
        out.text(sender.name(false));
        packet(out, emit);
        // The order of `@socket.io/redis-emitter`.
        out.map(3, |out| {
            out.member_rooms("rooms", rooms_of(emit).iter());
            flags(out, emit, None);
            out.member_rooms("except", except_of(emit).iter());
        });
        if let Some(mark) = mark {
            out.text(&mark.to_string());
        }
    });
    out.into_vec()
}

fn broadcast_with_ack(emit: &Emit, request: RequestId, uid: &str, mark: Option<Mark>) -> Vec<u8> {
    let mut out = MsgPack::default();
    out.map(5 + u32::from(mark.is_some()), |out| {
        out.member_mark(mark);
        out.member_text("uid", uid);
        out.member_text("requestId", &request.to_text(uid));
        out.member_uint("type", BROADCAST);
        out.key("packet");
        packet(out, emit);
        out.key("opts");
        out.map(3, |out| {
            out.member_rooms("rooms", rooms_of(emit).iter());
            out.member_rooms("except", except_of(emit).iter());
            flags(out, emit, Some(timeout_of(emit)));
        });
    });
    out.into_vec()
}

fn packet(out: &mut MsgPack, emit: &Emit) {
    out.map(3, |out| {
        out.member_uint("type", 2);
        out.key("data");
        out.event(emit.event.as_str(), &emit.payload);
        out.member_text("nsp", emit.namespace.as_str());
    });
}

/// Writes the flags of an event, as a member of its options.
pub(crate) fn flags<F: Format>(out: &mut F, emit: &Emit, timeout: Option<u64>) {
    let len = u32::from(emit.volatile) + u32::from(emit.is_uncompressed) + u32::from(timeout.is_some());
    out.key("flags");
    out.map(len, |out| {
        if emit.volatile {
            out.key("volatile");
            out.bool(true);
        }
        if emit.is_uncompressed {
            out.key("compress");
            out.bool(false);
        }
        if let Some(timeout) = timeout {
            out.member_uint("timeout", timeout);
        }
    });
}

fn change(kind: u64, (clients, rooms): (&Clients, &[Room]), sender: Sender<'_>, mark: Option<Mark>) -> Vec<u8> {
    let mut out = Json::default();
    out.map(3, |out| {
        out.member_mark(mark);
        server_id(out, sender);
        out.member_uint("type", kind);
        options(out, clients);
        out.member_rooms("rooms", rooms.iter());
    });
    out.into_vec()
}

fn disconnect(clients: &Clients, closes: bool, sender: Sender<'_>, mark: Option<Mark>) -> Vec<u8> {
    let mut out = Json::default();
    out.map(3, |out| {
        out.member_mark(mark);
        server_id(out, sender);
        out.member_uint("type", REMOTE_DISCONNECT);
        options(out, clients);
        out.key("close");
        out.bool(closes);
    });
    out.into_vec()
}

fn fetch_sockets(clients: &Clients, request: RequestId, uid: &str, mark: Option<Mark>) -> Vec<u8> {
    let mut out = Json::default();
    out.map(4, |out| {
        out.member_mark(mark);
        out.member_text("uid", uid);
        out.member_text("requestId", &request.to_text(uid));
        out.member_uint("type", REMOTE_FETCH);
        options(out, clients);
    });
    out.into_vec()
}

fn server_event<F: Format>(event: &ServerEvent, sender: Sender<'_>, mark: Option<Mark>) -> Vec<u8> {
    let request = event.request;
    let mut out = F::default();
    let len = 3 + u32::from(request.is_some()) + u32::from(mark.is_some());
    out.map(len, |out| {
        out.member_mark(mark);
        out.member_text("uid", sender.name(request.is_some()));
        if let Some(request) = request {
            out.member_text("requestId", &request.to_text(sender.uid));
        }
        out.member_uint("type", SERVER_SIDE_EMIT);
        out.key("data");
        out.event(event.name.as_str(), &event.payload);
    });
    out.into_vec()
}

/// Writes the id of a server; emitters leave it out in these requests.
fn server_id(out: &mut Json, sender: Sender<'_>) {
    if sender.is_server {
        out.member_text("uid", sender.uid);
    }
}

fn options(out: &mut Json, clients: &Clients) {
    out.key("opts");
    out.map(2, |out| {
        out.member_rooms("rooms", clients.rooms.iter());
        out.member_rooms("except", clients.except.iter());
    });
}
