//! Decoding of the responses of Node's servers.
//!
//! A response is JSON or MessagePack, told apart by the first byte. MessagePack becomes JSON text and attachments first, so
//! that the rest is written once.

use std::borrow::Cow;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::cluster::{ClientDetails, ClusterResponse, ResponsePart, SocketInfo};
use manager_api::message::{Callback, CallbackAddress, Envelope, Message};
use manager_api::topics::Entry;
use manager_api::{HostId, NamespaceName, Payload, Room, Sid};
use msgpack::{Limits, Reader};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::request_id::RequestId;

/// Limits of one response; a list of clients is cut there, and marked as truncated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseLimits {
    /// Ids of clients and names of rooms.
    pub(crate) max_names: usize,
    pub(crate) max_attachments: usize,
}

/// The process that the responses are for.
pub(crate) struct Requester<'a> {
    pub(crate) host_id: &'a HostId,
    /// Its id on the wire.
    pub(crate) uid: &'a str,
    pub(crate) namespace: &'a NamespaceName,
    pub(crate) limits: ResponseLimits,
}

/// The fields of a response, those of the classic adapter and of `data` of the others in one.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request_id: Option<Cow<'a, str>>,
    client_count: Option<u64>,
    #[serde(borrow)]
    sockets: Option<&'a RawValue>,
    #[serde(borrow)]
    packet: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Socket<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    rooms: Vec<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    handshake: Option<Handshake>,
}

#[derive(Deserialize)]
struct Handshake {
    /// When the client connected, in milliseconds since 1970.
    issued: Option<f64>,
}

/// Reads a response of the classic adapter, in which no server names itself: `unnamed` stands for it. Empty for one to
/// another process, and for one that cannot be read.
pub(crate) fn classic(message: &[u8], requester: &Requester<'_>, unnamed: impl FnOnce() -> HostId) -> Vec<Envelope> {
    let envelopes = || {
        let (json, attachments) = to_json(message, requester.limits.max_attachments)?;
        let fields: Fields<'_> = serde_json::from_str(&json).ok()?;
        let id = RequestId::parse(fields.request_id.as_deref()?, requester.uid)?;
        let output = fields.data;
        let response = Response {
            server: unnamed(),
            attachments,
            output,
            fields,
        };
        Some(response.into_envelopes(id, requester))
    };
    envelopes().unwrap_or_default()
}

/// Reads a whole response `{type, data, uid, nsp}` of the other adapters, as [`classic`] does.
pub(crate) fn cluster(message: &[u8], requester: &Requester<'_>) -> Vec<Envelope> {
    let envelopes = || {
        let (json, attachments) = to_json(message, requester.limits.max_attachments)?;
        let fields: Fields<'_> = serde_json::from_str(&json).ok()?;
        let server = HostId::from(fields.uid.as_deref()?);
        Some(of_data(fields.data?.get(), attachments, server, requester))
    };
    envelopes().unwrap_or_default()
}

/// Reads the `data` of a response, of which the other fields were read.
pub(crate) fn of_data(json: &str, attachments: Vec<Bytes>, server: HostId, requester: &Requester<'_>) -> Vec<Envelope> {
    let envelopes = || {
        let fields: Fields<'_> = serde_json::from_str(json).ok()?;
        let id = RequestId::parse(fields.request_id.as_deref()?, requester.uid)?;
        let output = fields.packet;
        let response = Response {
            server,
            attachments,
            output,
            fields,
        };
        Some(response.into_envelopes(id, requester))
    };
    envelopes().unwrap_or_default()
}

/// Returns a message as JSON text, and its attachments.
pub(crate) fn to_json(message: &[u8], max_attachments: usize) -> Option<(Cow<'_, str>, Vec<Bytes>)> {
    if message.first() == Some(&b'{') {
        return Some((std::str::from_utf8(message).ok()?.into(), Vec::new()));
    }
    let mut reader = Reader::new(message, Limits::new(max_attachments, message.len()));
    let json = reader.optional_json().ok()??;
    Some((json.into(), reader.finish().ok()?))
}

/// Returns the `data` of an entry of a stream as JSON text and attachments: it is JSON, or MessagePack as base64.
/// Without data it is an empty object; `None` if it is damaged.
pub(crate) fn entry_data(entry: &Entry, max_attachments: usize) -> Option<(Cow<'_, str>, Vec<Bytes>)> {
    let data = entry.get("data").map_or(&[][..], |data| data);
    match data.first() {
        None => Some(("{}".into(), Vec::new())),
        Some(b'{') => to_json(data, max_attachments),
        Some(_) => {
            let bytes = BASE64_STANDARD.decode(data).ok()?;
            let (json, attachments) = to_json(&bytes, max_attachments)?;
            Some((json.into_owned().into(), attachments))
        }
    }
}

struct Response<'a> {
    server: HostId,
    attachments: Vec<Bytes>,
    /// The output of a handler of an event for servers.
    output: Option<&'a RawValue>,
    fields: Fields<'a>,
}

impl Response<'_> {
    fn into_envelopes(self, id: RequestId, requester: &Requester<'_>) -> Vec<Envelope> {
        match id {
            RequestId::Broadcast { ack, report, receipt } => match self.fields.client_count {
                Some(count) => [report, receipt]
                    .into_iter()
                    .flatten()
                    .map(|id| self.envelope(requester, id, ResponsePart::Count(count), false))
                    .collect(),
                None => ack.and_then(|ack| self.callback(ack, requester)).into_iter().collect(),
            },
            RequestId::Sockets(id) => {
                let Some((sockets, is_truncated)) = self.sockets(requester.limits) else {
                    return Vec::new();
                };
                vec![self.envelope(requester, id, ResponsePart::Sockets(sockets), is_truncated)]
            }
            RequestId::Count(id) => {
                let Some(sockets) = self.elements() else {
                    return Vec::new();
                };
                let part = ResponsePart::Count(sockets.len() as u64);
                vec![self.envelope(requester, id, part, false)]
            }
            RequestId::Event(id) => {
                let output = self.output.map(|output| output.get().to_owned());
                let payload = output.and_then(|output| self.payload(&output));
                vec![self.envelope(requester, id, ResponsePart::Event(payload), false)]
            }
        }
    }

    fn envelope(&self, requester: &Requester<'_>, id: u64, part: ResponsePart, is_truncated: bool) -> Envelope {
        let response = ClusterResponse {
            to: requester.host_id.clone(),
            id,
            part,
            number: 0,
            is_last: true,
            is_truncated,
        };
        Envelope {
            host_id: Some(self.server.clone()),
            message: Message::Response(response),
            mark: None,
        }
    }

    /// Returns an acknowledgement; Node passes on its first argument only.
    fn callback(&self, ack: u64, requester: &Requester<'_>) -> Option<Envelope> {
        let payload = match self.fields.packet {
            Some(argument) => self.payload(argument.get())?,
            None => Payload::empty(),
        };
        Some(Envelope {
            host_id: Some(requester.host_id.clone()),
            message: Message::Callback(Callback {
                address: CallbackAddress {
                    room: None,
                    namespace: requester.namespace.clone(),
                    id: ack,
                },
                payload,
                client: None,
            }),
            mark: None,
        })
    }

    /// Returns one argument, with the attachments of the response.
    fn payload(&self, argument: &str) -> Option<Payload> {
        Payload::with_attachments(format!("[{argument}]").into(), self.attachments.clone()).ok()
    }

    fn elements(&self) -> Option<Vec<&RawValue>> {
        serde_json::from_str(self.fields.sockets?.get()).ok()
    }

    /// Returns clients, and whether the limit has cut them. Those that cannot be read are left out.
    fn sockets(&self, limits: ResponseLimits) -> Option<(Vec<SocketInfo>, bool)> {
        let (mut sockets, mut names_left) = (Vec::new(), limits.max_names);
        for element in self.elements()? {
            let Ok(socket) = serde_json::from_str::<Socket<'_>>(element.get()) else {
                continue;
            };
            let Some(left) = names_left.checked_sub(1 + socket.rooms.len()) else {
                return Some((sockets, true));
            };
            names_left = left;
            sockets.push(socket.into());
        }
        Some((sockets, false))
    }
}

impl From<Socket<'_>> for SocketInfo {
    fn from(socket: Socket<'_>) -> Self {
        let rooms = socket.rooms.iter().filter_map(|room| Room::from_json(room.get()));
        Self {
            id: Sid::from(&*socket.id),
            rooms: rooms.collect(),
            details: ClientDetails {
                data: socket.data.map(|data| data.get().into()),
                connected_for: socket.handshake.and_then(|handshake| time_since(handshake.issued?)),
                transport: None,
            },
        }
    }
}

/// Returns the time since a number of milliseconds since 1970; zero if that is in the future.
fn time_since(milliseconds: f64) -> Option<Duration> {
    let since = Duration::try_from_secs_f64(milliseconds / 1_000.0).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    Some(now.saturating_sub(since))
}
