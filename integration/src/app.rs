//! The server of the cluster and fault tests, in their own process or in a child process (`src/bin/sio-test-node.rs`).

use std::time::Duration;

use futures_util::StreamExt;
use manager_api::{Broadcast, Error, ManagerOptions};
use manager_redis::RedisOptions;
use serde_json::{Value, json};
use socket_io::manager_api::Payload;
use socket_io::{Data, Socket, SocketIo};
use tokio::runtime::Handle;

/// Registers the events: `join(room)` and `leave(room)` answer `true`, `echo` answers with its arguments.
pub fn register(io: &SocketIo) {
    io.namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| true)
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| {
            socket.leave(room).map(|()| true)
        })
        .on("echo", async |arguments: Payload| arguments);
}

/// Returns options with which every fault is noticed within fractions of a second, and every publish answered within one.
#[must_use]
pub fn hasty(channel: &str) -> RedisOptions {
    RedisOptions {
        common: ManagerOptions {
            channel: channel.to_owned(),
            deadline: Duration::from_secs(1),
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(100),
            max_in_flight_bytes: 4 << 20,
            ..ManagerOptions::default()
        },
        connect_timeout: Duration::from_millis(500),
        keepalive_interval: Duration::from_millis(200),
        keepalive_timeout: Duration::from_millis(400),
        ..RedisOptions::default()
    }
}

/// Numbered events to emit: `m(origin, number, padding)`, `number` from 0.
#[derive(Clone, Debug)]
pub struct Load {
    /// The emitter.
    pub origin: String,
    /// Number of events.
    pub count: u64,
    /// Number of events in flight; their order is kept.
    pub in_flight: usize,
    /// The length of the padding, in bytes.
    pub padding: usize,
}

impl Load {
    /// Emits everything to `to`, and returns the outcome of each event, in order.
    pub async fn emit(&self, to: &Broadcast) -> Vec<Result<(), Error>> {
        let padding = "x".repeat(self.padding);
        let emits = (0..self.count).map(|number| to.clone().emit("m", &(&self.origin, number, &padding)));
        futures_util::stream::iter(emits)
            .buffered(self.in_flight)
            .collect()
            .await
    }
}

/// Returns the memory that this process holds, and the most that it ever held, in KiB; zero where there is no `/proc`.
#[must_use]
pub fn memory() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok())
            .unwrap_or(0)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// Returns the counters of a server, the tasks of its runtime and the memory of its process, as JSON.
///
/// # Panics
///
/// Outside a tokio runtime.
#[must_use]
pub fn report(io: &SocketIo) -> Value {
    let (resident, peak) = memory();
    let metrics = io.metrics();
    json!({
        "sessions": metrics.engine.open_sessions,
        "clients": metrics.num_clients,
        "rooms": metrics.num_rooms,
        "dynamic_namespaces": metrics.num_dynamic_namespaces,
        "pending_acks": metrics.hub.pending_acks,
        "open_requests": metrics.hub.open_requests,
        "servers": metrics.hub.servers,
        "timers": metrics.engine.timers,
        "unjoined": metrics.num_unjoined,
        "tasks": Handle::current().metrics().num_alive_tasks(),
        "panics": metrics.engine.panics + metrics.hub.panics,
        "undecodable": metrics.hub.undecodable,
        "received": metrics.hub.received,
        "own": metrics.hub.own,
        "gaps": metrics.hub.gaps,
        "resident_kib": resident,
        "peak_kib": peak,
    })
}
