//! The limits of a broker.

use std::time::Duration;

/// What one client, and all of them, may use up.
///
/// # Examples
///
/// ```
/// use embedded_broker::Limits;
///
/// let limits = Limits { max_clients: 10, ..Limits::default() };
/// ```
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once. Default 1,000; zero refuses all.
    pub max_clients: usize,
    /// Bytes of one command, framing included; a longer one closes the connection. Default 32 MiB.
    pub max_frame_bytes: usize,
    /// Arguments of one command, its name included; more close the connection. Default 4,096.
    pub max_args: usize,
    /// Channels plus patterns that one client may be subscribed to; one more is answered with an error. Default 4,096.
    pub max_subscriptions: usize,
    /// Bytes of the name of a channel, a pattern or a client; a longer one is answered with an error. Default 1,024.
    pub max_channel_bytes: usize,
    /// Bytes that may wait for one client; over it the client is disconnected. Default 64 MiB.
    pub max_outbox_bytes: usize,
    /// Bytes waiting for one client from which its publishers are made to wait. Default 8 MiB.
    pub slow_bytes: usize,
    /// How long a client may stay over `slow_bytes` before it is disconnected. Default 5 s.
    pub slow_grace: Duration,
    /// How long the last replies may take once a connection ends from this side, because the broker stops or the client broke the protocol.
    /// Default 1 s; with zero, what the socket does not take at once is lost.
    pub flush_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_clients: 1_000,
            max_frame_bytes: 32 << 20,
            max_args: 4_096,
            max_subscriptions: 4_096,
            max_channel_bytes: 1_024,
            max_outbox_bytes: 64 << 20,
            slow_bytes: 8 << 20,
            slow_grace: Duration::from_secs(5),
            flush_timeout: Duration::from_secs(1),
        }
    }
}
