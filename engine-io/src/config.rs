//! What can be configured, with units and defaults.

use std::time::Duration;

/// One of the two ways to carry packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// HTTP long-polling: GETs that wait, and POSTs.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// Returns the name that the query parameter `transport` carries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

/// The transports that an engine offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Transports {
    /// Long-polling and WebSocket.
    #[default]
    Both,
    /// Long-polling alone; nothing is upgraded.
    PollingOnly,
    /// WebSocket alone.
    WebSocketOnly,
}

impl Transports {
    /// Tells whether `transport` is among them.
    pub fn contains(self, transport: Transport) -> bool {
        match self {
            Self::Both => true,
            Self::PollingOnly => transport == Transport::Polling,
            Self::WebSocketOnly => transport == Transport::WebSocket,
        }
    }
}

/// The settings of an [`Engine`](crate::Engine).
///
/// Every limit is finite. A duration of zero fires at the next tick of the engine's clock, it does not disable anything.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path that is served, matched exactly, with and without its trailing slash. Default `/socket.io/`.
    pub path: String,
    /// The time between a pong, or the opening, and the next ping. Default 25 s.
    pub ping_interval: Duration,
    /// The time a client has to answer a ping. Default 20 s.
    pub ping_timeout: Duration,
    /// The time a WebSocket that is to replace long-polling has to complete the upgrade. Default 10 s.
    pub upgrade_timeout: Duration,
    /// The size of one POST body, and of one WebSocket message, in bytes. Default 1,000,000.
    pub max_payload: usize,
    /// The number of packets in one POST body; more of them close the session with a parse error. Default 100,000.
    pub max_packets_per_payload: usize,
    /// The transports that are offered. Default both.
    pub transports: Transports,
    /// Whether a session may move from long-polling to WebSocket. Default true.
    pub allow_upgrades: bool,
    /// The bytes waiting for one client above which volatile packets are dropped and reading from it pauses.
    /// Default 1 MiB.
    pub outbox_soft_limit: usize,
    /// The bytes waiting for one client above which it is disconnected at once. Default 16 MiB.
    pub outbox_hard_limit: usize,
    /// The time a client may stay above the soft limit without once getting below it; then it is disconnected.
    /// Default 15 s.
    pub slow_client_grace: Duration,
    /// The bytes of messages that a session should queue at most before it says that it
    /// [is saturated](crate::Session::is_saturated). The engine only passes it on. Default 1 MiB.
    pub inbound_limit: usize,
    /// The time a polling client has to fetch what is left when the server closes its session. Default 30 s.
    pub polling_close_timeout: Duration,
    /// The number of sessions at a time; a handshake above it is answered with 503. Default 1,000,000.
    pub max_sessions: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            max_packets_per_payload: 100_000,
            transports: Transports::Both,
            allow_upgrades: true,
            outbox_soft_limit: 1024 * 1024,
            outbox_hard_limit: 16 * 1024 * 1024,
            slow_client_grace: Duration::from_secs(15),
            inbound_limit: 1024 * 1024,
            polling_close_timeout: Duration::from_secs(30),
            max_sessions: 1_000_000,
        }
    }
}
