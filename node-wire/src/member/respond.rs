//! The responses of this server to requests of Node's.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::cluster::{ClusterResponse, ResponsePart, SocketInfo};
use manager_api::message::Callback;
use manager_api::topics::Entry;
use manager_api::{NamespaceName, Payload};

use super::pending::{Pending, PendingRequests, Wanted};
use crate::cluster::entry_of;
use crate::format::{Format, Json, MsgPack};
use crate::kinds::{classic, cluster};

/// A response to be encoded.
pub(crate) struct Responding {
    pub(crate) namespace: NamespaceName,
    /// The id of the server that waits for it.
    pub(crate) uid: String,
    pub(crate) request_id: String,
    pub(crate) response: Response,
}

/// What it holds.
pub(crate) enum Response {
    ClientCount(u64),
    /// The first argument of an acknowledgement is all that Node passes on.
    Ack(Payload),
    Sockets(Vec<SocketInfo>),
    Sids(Vec<SocketInfo>),
    Rooms(Vec<SocketInfo>),
    Output(Option<Payload>),
}

impl Responding {
    /// Takes a part of a response of the hub; returns the response once it is complete.
    pub(crate) fn of_part(response: ClusterResponse, requests: &PendingRequests) -> Option<Self> {
        let ClusterResponse { id, part, is_last, .. } = response;
        match part {
            ResponsePart::Recipients(clients) => Self::of_recipients(id, clients.len() as u64, is_last, requests),
            // Of a bridge, to which the servers of another fleet have told numbers.
            ResponsePart::Count(clients) => Self::of_recipients(id, clients, is_last, requests),
            ResponsePart::Sockets(sockets) => {
                requests.with(id, |pending| match &mut pending.wanted {
                    Wanted::Sockets(all) | Wanted::Sids(all) | Wanted::Rooms(all) => all.extend(sockets),
                    _ => {}
                });
                let mut pending = is_last.then(|| requests.remove(id))??;
                let wanted = std::mem::replace(&mut pending.wanted, Wanted::Output);
                let response = match wanted {
                    Wanted::Sids(all) => Response::Sids(all),
                    Wanted::Rooms(all) => Response::Rooms(all),
                    Wanted::Sockets(all) => Response::Sockets(all),
                    _ => return None,
                };
                Some(Self::to(&pending, response))
            }
            ResponsePart::Event(payload) => {
                let pending = requests.remove(id)?;
                Some(Self::to(&pending, Response::Output(payload)))
            }
            _ => None,
        }
    }

    /// Adds to the number of recipients of an event; returns the response once it is complete.
    ///
    /// A server names its recipients in parts. A bridge may name some and count others, which counts the same: Node's
    /// servers want to know how many acknowledgements to wait for.
    fn of_recipients(id: u64, clients: u64, is_last: bool, requests: &PendingRequests) -> Option<Self> {
        requests.with(id, |pending| {
            let Wanted::Acks { count } = &mut pending.wanted else {
                return None;
            };
            *count = count.saturating_add(clients);
            let count = *count;
            is_last.then(|| Self::to(pending, Response::ClientCount(count)))
        })?
    }

    /// Takes an acknowledgement of a client of this server.
    pub(crate) fn of_callback(callback: Callback, requests: &PendingRequests) -> Option<Self> {
        let Callback { address, payload, .. } = callback;
        requests.with(address.id, |pending| Self::to(pending, Response::Ack(payload)))
    }

    fn to(pending: &Pending, response: Response) -> Self {
        Self {
            namespace: pending.namespace.clone(),
            uid: pending.uid.clone(),
            request_id: pending.request_id.clone(),
            response,
        }
    }

    /// Returns whether it holds binary, which JSON cannot carry.
    pub(crate) fn has_binary(&self) -> bool {
        match &self.response {
            Response::Ack(payload) | Response::Output(Some(payload)) => !payload.attachments().is_empty(),
            _ => false,
        }
    }

    /// Writes it for the classic adapter: acknowledgements are MessagePack.
    pub(crate) fn classic(&self) -> Bytes {
        match &self.response {
            Response::Ack(_) => self.classic_in::<MsgPack>(),
            _ if self.has_binary() => self.classic_in::<MsgPack>(),
            _ => self.classic_in::<Json>(),
        }
    }

    fn classic_in<F: Format>(&self) -> Bytes {
        let mut out = F::default();
        let (kind, output) = match &self.response {
            Response::ClientCount(_) => (Some(classic::BROADCAST_CLIENT_COUNT), None),
            Response::Ack(payload) => (Some(classic::BROADCAST_ACK), first(payload)),
            Response::Output(payload) => (Some(classic::SERVER_SIDE_EMIT), payload.as_ref().and_then(first)),
            _ => (None, None),
        };
        let is_empty = output.is_none() && matches!(self.response, Response::Ack(_) | Response::Output(_));
        out.map(2 + u32::from(kind.is_some()) - u32::from(is_empty), |out| {
            if let Some(kind) = kind {
                out.member_uint("type", kind);
            }
            out.member_text("requestId", &self.request_id);
            let key = if kind == Some(classic::SERVER_SIDE_EMIT) {
                "data"
            } else {
                "packet"
            };
            self.content(out, key, output);
        });
        out.into_vec().into()
    }

    /// Returns the type of the response of the other adapters.
    pub(crate) fn cluster_type(&self) -> u64 {
        match &self.response {
            Response::ClientCount(_) => cluster::BROADCAST_CLIENT_COUNT,
            Response::Ack(_) => cluster::BROADCAST_ACK,
            Response::Output(_) => cluster::SERVER_SIDE_EMIT_RESPONSE,
            Response::Sockets(_) | Response::Sids(_) | Response::Rooms(_) => cluster::FETCH_SOCKETS_RESPONSE,
        }
    }

    /// Writes it for the other adapters, with the id of this server.
    pub(crate) fn cluster<F: Format>(&self, uid: &str) -> Bytes {
        let mut out = F::default();
        out.map(4, |out| {
            out.member_uint("type", self.cluster_type());
            out.key("data");
            self.cluster_data(out);
            out.member_text("uid", uid);
            out.member_text("nsp", self.namespace.as_str());
        });
        out.into_vec().into()
    }

    /// Writes it as the entry of a stream.
    pub(crate) fn entry(&self, uid: &str) -> Entry {
        let data = match self.has_binary() {
            false => self.data_of::<Json>(),
            true => BASE64_STANDARD.encode(self.data_of::<MsgPack>()).into_bytes(),
        };
        entry_of(uid, &self.namespace, self.cluster_type(), data)
    }

    fn data_of<F: Format>(&self) -> Vec<u8> {
        let mut out = F::default();
        self.cluster_data(&mut out);
        out.into_vec()
    }

    /// Writes its `data` for the other adapters.
    pub(crate) fn cluster_data<F: Format>(&self, out: &mut F) {
        let output = match &self.response {
            Response::Ack(payload) | Response::Output(Some(payload)) => first(payload),
            _ => None,
        };
        let is_empty = output.is_none() && matches!(self.response, Response::Ack(_) | Response::Output(_));
        out.map(2 - u32::from(is_empty), |out| {
            out.member_text("requestId", &self.request_id);
            self.content(out, "packet", output);
        });
    }

    fn content<F: Format>(&self, out: &mut F, key: &str, output: Option<(&str, &Payload)>) {
        match &self.response {
            Response::ClientCount(count) => out.member_uint("clientCount", *count),
            Response::Sockets(sockets) => {
                out.key("sockets");
                write_list(out, sockets, write_socket);
            }
            Response::Sids(sockets) => {
                out.key("sockets");
                write_list(out, sockets, |out, socket| out.text(socket.id.as_str()));
            }
            Response::Rooms(sockets) => {
                let rooms: std::collections::BTreeSet<_> = sockets.iter().flat_map(|socket| &socket.rooms).collect();
                out.member_rooms("rooms", rooms.into_iter());
            }
            Response::Ack(_) | Response::Output(_) => {
                // Without an argument the member is left out, which is `undefined`.
                if let Some((json, payload)) = output {
                    out.key(key);
                    out.json(json, payload.attachments());
                }
            }
        }
    }
}

/// Returns the JSON text of the first argument.
fn first(payload: &Payload) -> Option<(&str, &Payload)> {
    payload.arguments().first().map(|first| (first.get(), payload))
}

fn write_list<F: Format, T>(out: &mut F, items: &[T], write: impl Fn(&mut F, &T)) {
    let len = u32::try_from(items.len()).unwrap_or(u32::MAX);
    out.list(len, |out| {
        for item in items {
            out.element();
            write(out, item);
        }
    });
}

/// Writes a client as Node's servers describe theirs.
fn write_socket<F: Format>(out: &mut F, socket: &SocketInfo) {
    out.map(4, |out| {
        out.member_text("id", socket.id.as_str());
        out.key("handshake");
        out.map(9, |out| handshake(out, socket));
        out.member_rooms("rooms", socket.rooms.iter());
        out.key("data");
        out.json(socket.details.data.as_deref().unwrap_or("{}"), &[]);
    });
}

/// Writes the members of a handshake, of which only the times are known.
fn handshake<F: Format>(out: &mut F, socket: &SocketInfo) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let issued = now.saturating_sub(socket.details.connected_for.unwrap_or_default());
    let issued = u64::try_from(issued.as_millis()).unwrap_or(u64::MAX);
    for empty in ["headers", "query", "auth"] {
        out.key(empty);
        out.map(0, |_| {});
    }
    for unknown in ["address", "url"] {
        out.member_text(unknown, "");
    }
    for unknown in ["xdomain", "secure"] {
        out.key(unknown);
        out.bool(false);
    }
    let time = i64::try_from(issued).ok().and_then(msgpack::date::iso);
    out.member_text("time", &time.unwrap_or_default());
    out.member_uint("issued", issued);
}
