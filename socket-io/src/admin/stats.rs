//! The counters of a server, in the words of the Admin UI.

use std::time::{SystemTime, UNIX_EPOCH};

use engine_io::{CloseReason, Metrics};
use manager_api::Payload;
use serde_json::{Value, json};

use super::feed::AdminFeed;
use crate::server::Server;

/// Counters as they were told last: the page adds up what came since.
pub(super) struct Stats {
    sent: Metrics,
    hostname: String,
}

impl Stats {
    pub(super) fn new() -> Self {
        Self {
            sent: Metrics::default(),
            hostname: gethostname::gethostname().to_string_lossy().into_owned(),
        }
    }

    /// Returns what is to be told now.
    pub(super) fn next(&mut self, server: &Server, feed: &AdminFeed) -> Payload {
        let now = server.engine().metrics();
        let events = since(&self.sent, &now);
        self.sent = now;
        let server_id = feed.options.server_id.as_deref();
        let stats = json!({
            "serverId": server_id.unwrap_or(server.core.hub.host_id().as_str()),
            "hostname": self.hostname,
            "pid": std::process::id(),
            "uptime": feed.began.elapsed().as_secs_f64(),
            "clientsCount": now.open_sessions,
            "pollingClientsCount": now.polling_sessions,
            "aggregatedEvents": events,
            "namespaces": namespaces(server),
        });
        Payload::new(&stats).expect("strings and numbers are JSON")
    }
}

/// Counts the clients of each namespace that the application named, and of all others together: how many of these there are is the clients'
/// choice, and the page would go on counting those that are gone.
fn namespaces(server: &Server) -> Vec<Value> {
    let registry = server.core.hub.registry();
    let entry = |name: &str, count: usize| json!({"name": name, "socketsCount": count});
    let names = server.namespaces.names();
    let counts: Vec<_> = names.iter().map(|name| registry.num_clients(name)).collect();
    let mut entries: Vec<_> = names
        .iter()
        .zip(&counts)
        .map(|(name, count)| entry(name.as_str(), *count))
        .collect();
    if server.namespaces.admits_unnamed() {
        let (num_clients, _) = registry.size();
        entries.push(entry("*", num_clients.saturating_sub(counts.iter().sum())));
    }
    entries
}

/// Returns what was counted in the meantime, as of this second.
fn since(before: &Metrics, now: &Metrics) -> Vec<Value> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let timestamp = time.as_secs() * 1_000;
    let plain = [
        ("rawConnection", before.opened, now.opened),
        ("packetsIn", before.messages_in, now.messages_in),
        ("packetsOut", before.messages_out, now.messages_out),
        ("bytesIn", before.bytes_in, now.bytes_in),
        ("bytesOut", before.bytes_out, now.bytes_out),
    ];
    let plain = plain
        .into_iter()
        .filter(|(_, before, now)| now > before)
        .map(|(kind, before, now)| json!({"timestamp": timestamp, "type": kind, "count": now - before}));
    let closed = CloseReason::ALL.into_iter().filter_map(|reason| {
        let count = now.closed.get(reason) - before.closed.get(reason);
        let event =
            || json!({"timestamp": timestamp, "type": "rawDisconnection", "subType": reason.as_str(), "count": count});
        (count > 0).then(event)
    });
    plain.chain(closed).collect()
}
