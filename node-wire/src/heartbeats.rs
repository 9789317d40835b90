//! The servers of the adapter for streams before its version 0.3, which are known by their heartbeats only.
//!
//! Everything is an entry of the stream there: heartbeats, requests, responses. A process reads the stream from the
//! age at which a server without a heartbeat counts as dead, up to an entry of its own; then it knows every server.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use manager_api::message::Envelope;
use manager_api::topics::Entry;
use manager_api::{Error, ErrorKind, HostId, NamespaceName};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::cluster::entry_of;
use crate::kinds::cluster::{
    ADAPTER_CLOSE, BROADCAST_ACK, BROADCAST_CLIENT_COUNT, FETCH_SOCKETS_RESPONSE, INITIAL_HEARTBEAT, MARK,
    SERVER_SIDE_EMIT_RESPONSE,
};
use crate::outgoing::EMITTER;
use crate::response::{self, Requester, entry_data};

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
    /// Whether the own mark was read.
    pub(crate) is_current: bool,
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

/// Returns the other servers that are alive, once the stream was read up to the mark.
///
/// # Errors
///
/// [`ErrorKind::Timeout`] if that is not read in time, although it was accepted.
pub(crate) async fn servers(live: &mut watch::Receiver<Live>) -> Result<Vec<HostId>, Error> {
    let live = timeout(MARK_WITHIN, live.wait_for(|live| live.is_current))
        .await
        .map_err(|_| {
            let text = "the entries of the stream do not arrive: does the login have the right +xread?";
            Error::new(ErrorKind::Timeout, text)
        })?;
    let live = live.map_err(|_| Error::new(ErrorKind::Closed, "the subscription to the stream has ended"))?;
    let alive = live.last_seen.iter().filter(|(_, seen)| seen.elapsed() < TIMEOUT);
    Ok(alive.map(|(server, _)| server.clone()).collect())
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
    if uid == EMITTER {
        if kind == MARK && text("data") == Some(&marked(requester.uid)) {
            beats.send_modify(|live| live.is_current = true);
        }
        return Vec::new();
    }
    if uid == requester.uid {
        return Vec::new();
    }
    let server = HostId::from(uid);
    beats.send_if_modified(|live| live.record(&server, kind, max_servers));
    match kind {
        FETCH_SOCKETS_RESPONSE | SERVER_SIDE_EMIT_RESPONSE | BROADCAST_CLIENT_COUNT | BROADCAST_ACK => {
            let data = entry_data(entry, requester.limits.max_attachments);
            data.map_or(Vec::new(), |(json, attachments)| {
                response::of_data(&json, attachments, server, requester)
            })
        }
        // Heartbeats, and what is for servers.
        _ => Vec::new(),
    }
}

impl Live {
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
