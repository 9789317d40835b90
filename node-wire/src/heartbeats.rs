//! The servers of the adapters for streams before version 0.3 and for PostgreSQL, which are known by their heartbeats only.
//!
//! Everything goes one way there: heartbeats, requests, responses. A process reads the stream from the age at which a
//! server without a heartbeat counts as dead, up to an entry of its own; then it knows every server. Notifications have
//! no past: a process asks all servers for their heartbeats, as one that has started does, and gives them time to respond.

use std::borrow::Cow;
use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use manager_api::message::Envelope;
use manager_api::topics::Entry;
use manager_api::{Error, ErrorKind, HostId, NamespaceName};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::cluster::entry_of;
use crate::kinds::cluster::{
    ADAPTER_CLOSE, BROADCAST_ACK, BROADCAST_CLIENT_COUNT, FETCH_SOCKETS_RESPONSE, HEARTBEAT, INITIAL_HEARTBEAT, MARK,
    SERVER_SIDE_EMIT_RESPONSE,
};
use crate::outgoing::EMITTER;
use crate::response::{self, Requester, entry_data, to_json};

/// The age at which a server without a heartbeat counts as dead: the default of the adapter.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The interval of heartbeats: the default of the adapter.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// The longest wait for an entry that the broker has accepted.
const MARK_WITHIN: Duration = Duration::from_secs(10);

/// The servers of a namespace, as far as the stream was read.
#[derive(Debug, Default)]
pub(crate) struct Live {
    /// When the latest message of each server was read.
    last_seen: HashMap<HostId, Instant>,
    /// From when on every server is known: that of the own mark, or some time after servers were asked.
    pub(crate) current_at: Option<Instant>,
    /// How many servers have requested heartbeats.
    pub(crate) num_hellos: u64,
}

/// Returns the entry by which a process knows that it has read all earlier ones.
pub(crate) fn mark(namespace: &NamespaceName, uid: &str) -> Entry {
    entry_of(EMITTER, namespace, MARK, marked(uid))
}

fn marked(uid: &str) -> String {
    format!("{{\"mark\":\"{uid}\"}}")
}

/// Returns the heartbeat of a server.
pub(crate) fn heartbeat(namespace: &NamespaceName, uid: &str, kind: u64) -> Entry {
    entry_of(uid, namespace, kind, Bytes::new())
}

/// Returns the other servers that are alive, once the stream was read up to the mark, or those that were asked have had
/// time to respond.
///
/// # Errors
///
/// [`ErrorKind::Timeout`] if that is not read in time, although it was accepted.
pub(crate) async fn servers(live: &mut watch::Receiver<Live>) -> Result<Vec<HostId>, Error> {
    let current_at = timeout(MARK_WITHIN, live.wait_for(|live| live.current_at.is_some()))
        .await
        .map(|live| live.map(|live| live.current_at.unwrap_or_else(Instant::now)))
        .map_err(|_| {
            let text = "the entries of the stream do not arrive: does the login have the right +xread?";
            Error::new(ErrorKind::Timeout, text)
        })?;
    let ended = || Error::new(ErrorKind::Closed, "the subscription to the servers has ended");
    sleep_until(current_at.map_err(|_| ended())?).await;
    let live = live.borrow();
    let alive = live.last_seen.iter().filter(|(_, seen)| seen.elapsed() < TIMEOUT);
    Ok(alive.map(|(server, _)| server.clone()).collect())
}

/// What a message tells of its sender.
struct Heard<'a> {
    uid: &'a str,
    kind: u64,
    /// Whether it is the mark of this process.
    is_mark: bool,
}

/// Reads an entry of the stream: records what it tells of its server, and returns what it holds for requests of this
/// process.
pub(crate) fn read(
    entry: &Entry,
    requester: &Requester<'_>,
    beats: &watch::Sender<Live>,
    max_servers: usize,
) -> Vec<Envelope> {
    if entry.get("nsp").is_none_or(|nsp| nsp != requester.namespace.as_str()) {
        return Vec::new();
    }
    let text = |name| entry.get(name).and_then(|value| std::str::from_utf8(value).ok());
    let (Some(uid), Some(Ok(kind))) = (text("uid"), text("type").map(str::parse::<u64>)) else {
        return Vec::new();
    };
    let is_mark = kind == MARK && text("data") == Some(&marked(requester.uid));
    let Some(server) = record(&Heard { uid, kind, is_mark }, requester, beats, max_servers) else {
        return Vec::new();
    };
    let data = entry_data(entry, requester.limits.max_attachments);
    data.map_or(Vec::new(), |(json, attachments)| {
        response::of_data(&json, attachments, server, requester)
    })
}

/// As [`read`], of a whole message `{type, data, uid, nsp}`.
pub(crate) fn read_message(
    message: &Bytes,
    requester: &Requester<'_>,
    beats: &watch::Sender<Live>,
    max_servers: usize,
) -> Vec<Envelope> {
    let envelopes = || {
        let (json, attachments) = to_json(message, requester.limits.max_attachments)?;
        let fields: Message<'_> = serde_json::from_str(&json).ok()?;
        if fields.nsp != requester.namespace.as_str() {
            return None;
        }
        let heard = Heard {
            uid: &fields.uid,
            kind: fields.kind,
            is_mark: false,
        };
        let server = record(&heard, requester, beats, max_servers)?;
        Some(response::of_data(fields.data?.get(), attachments, server, requester))
    };
    envelopes().unwrap_or_default()
}

/// A whole message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type")]
    kind: u64,
    #[serde(borrow)]
    uid: Cow<'a, str>,
    #[serde(borrow)]
    nsp: Cow<'a, str>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// Records what a message tells of its sender; returns the server if it is a response.
fn record(
    heard: &Heard<'_>,
    requester: &Requester<'_>,
    beats: &watch::Sender<Live>,
    max_servers: usize,
) -> Option<HostId> {
    if heard.uid == EMITTER {
        let is_hello = heard.kind == INITIAL_HEARTBEAT;
        beats.send_if_modified(|live| {
            live.num_hellos += u64::from(is_hello);
            if heard.is_mark {
                live.current_at = Some(Instant::now());
            }
            is_hello || heard.is_mark
        });
        return None;
    }
    if heard.uid == requester.uid {
        return None;
    }
    let server = HostId::from(heard.uid);
    beats.send_if_modified(|live| live.record(&server, heard.kind, max_servers));
    let is_response = matches!(
        heard.kind,
        FETCH_SOCKETS_RESPONSE | SERVER_SIDE_EMIT_RESPONSE | BROADCAST_CLIENT_COUNT | BROADCAST_ACK
    );
    // The others are heartbeats, and what is for servers.
    is_response.then_some(server)
}

impl Live {
    /// Records that a server has sent something to the others.
    pub(crate) fn heard(&mut self, server: &HostId, max: usize) {
        self.record(server, HEARTBEAT, max);
    }

    /// Records a message of a server, of which `max` are kept; returns whether others are to be told.
    fn record(&mut self, server: &HostId, kind: u64, max: usize) -> bool {
        if kind == ADAPTER_CLOSE {
            self.last_seen.remove(server);
            return false;
        }
        if self.last_seen.len() >= max {
            self.last_seen.retain(|_, seen| seen.elapsed() < TIMEOUT);
        }
        if self.last_seen.len() < max || self.last_seen.contains_key(server) {
            self.last_seen.insert(server.clone(), Instant::now());
        }
        let is_hello = kind == INITIAL_HEARTBEAT;
        self.num_hellos += u64::from(is_hello);
        is_hello
    }
}
