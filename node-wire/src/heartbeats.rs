//! The servers of the adapter for streams before its version 0.3, which are known by their heartbeats only.
//!
//! Everything is an entry of the stream there: heartbeats, requests, responses. An emitter reads the stream from the
//! age at which a server without a heartbeat counts as dead, up to an entry of its own; then it knows every server.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::message::Envelope;
use manager_api::topics::Entry;
use manager_api::{Error, ErrorKind, HostId, NamespaceName};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::EMITTER;
use crate::response::{self, Requester};

/// The age at which a server without a heartbeat counts as dead: the default of the adapter.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Servers that are kept; the heartbeats of further ones are ignored.
const MAX_SERVERS: usize = 1_024;

/// Types of messages.
const FETCH_SOCKETS_RESPONSE: &[u8] = b"8";
const SERVER_SIDE_EMIT_RESPONSE: &[u8] = b"10";
const BROADCAST_CLIENT_COUNT: &[u8] = b"11";
const BROADCAST_ACK: &[u8] = b"12";
const ADAPTER_CLOSE: &[u8] = b"13";
/// Of no message: servers pass over it.
const MARK: &[u8] = b"0";

/// The servers of a namespace, as far as the stream was read.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// When the latest message of each server was read.
    last_seen: HashMap<HostId, Instant>,
    /// Whether the own mark was read.
    is_current: bool,
}

/// Returns the entry by which a process knows that it has read all earlier ones.
pub(crate) fn mark(namespace: &NamespaceName, uid: &str) -> Entry {
    let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Entry::from_iter([
        ("uid", Bytes::from_static(EMITTER.as_bytes())),
        ("nsp", text(namespace.as_str())),
        ("type", Bytes::from_static(MARK)),
        ("data", text(&format!("{{\"mark\":\"{uid}\"}}"))),
    ])
}

/// Returns the servers that are alive, once the stream was read up to the mark.
pub(crate) async fn servers(live: &mut watch::Receiver<Live>) -> Result<Vec<HostId>, Error> {
    let live = live.wait_for(|live| live.is_current).await;
    let live = live.map_err(|_| Error::new(ErrorKind::Closed, "the subscription to the stream has ended"))?;
    let alive = live.last_seen.iter().filter(|(_, seen)| seen.elapsed() < TIMEOUT);
    Ok(alive.map(|(server, _)| server.clone()).collect())
}

/// Reads an entry of the stream: records what it tells of its server, and returns what it holds for this process.
pub(crate) fn read(entry: &Entry, requester: &Requester<'_>, beats: &watch::Sender<Live>) -> Vec<Envelope> {
    if entry.get("nsp").is_none_or(|nsp| nsp != requester.namespace.as_str()) {
        return Vec::new();
    }
    let (Some(uid), Some(kind)) = (text(entry, "uid"), entry.get("type")) else {
        return Vec::new();
    };
    let data = entry.get("data");
    if uid == EMITTER {
        let is_mark = |data: &Bytes| data == &format!("{{\"mark\":\"{}\"}}", requester.uid);
        if &**kind == MARK && data.is_some_and(is_mark) {
            beats.send_modify(|live| live.is_current = true);
        }
        return Vec::new();
    }
    let server = HostId::from(uid);
    // No task has to be woken for that.
    beats.send_if_modified(|live| {
        live.record(&server, &**kind == ADAPTER_CLOSE);
        false
    });
    match &**kind {
        FETCH_SOCKETS_RESPONSE | SERVER_SIDE_EMIT_RESPONSE | BROADCAST_CLIENT_COUNT | BROADCAST_ACK => {
            let data = data.and_then(|data| decoded(data, requester));
            data.map_or(Vec::new(), |(json, attachments)| {
                response::of_data(&json, attachments, server, requester)
            })
        }
        // Heartbeats, and what is for servers.
        _ => Vec::new(),
    }
}

/// Returns `data` as JSON text and attachments: it is JSON, or MessagePack as base64.
fn decoded(data: &Bytes, requester: &Requester<'_>) -> Option<(String, Vec<Bytes>)> {
    let bytes = match data.first()? {
        b'{' => data.to_vec(),
        _ => BASE64_STANDARD.decode(data).ok()?,
    };
    let (json, attachments) = response::to_json(&bytes, requester.limits)?;
    Some((json.into_owned(), attachments))
}

fn text<'a>(entry: &'a Entry, field: &str) -> Option<&'a str> {
    std::str::from_utf8(entry.get(field)?).ok()
}

impl Live {
    fn record(&mut self, server: &HostId, has_closed: bool) {
        if has_closed {
            self.last_seen.remove(server);
            return;
        }
        let now = Instant::now();
        if self.last_seen.len() >= MAX_SERVERS {
            self.last_seen.retain(|_, seen| seen.elapsed() < TIMEOUT);
        }
        if self.last_seen.len() < MAX_SERVERS || self.last_seen.contains_key(server) {
            self.last_seen.insert(server.clone(), now);
        }
    }
}
