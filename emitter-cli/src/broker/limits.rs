//! The limits of the embedded broker.

use std::time::Duration;

/// What a client of the embedded broker may use up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections open at once. Default 1,000; zero refuses everybody.
    pub num_clients: usize,
    /// Bytes of one command, framing included; a longer one closes the connection. Default 32 MiB.
    pub frame_bytes: usize,
    /// Arguments of one command, its name included; more close the connection. Default 4,096.
    pub num_args: usize,
    /// Channels plus patterns one client may be subscribed to; one more is answered with an error. Default 4,096.
    pub num_subscriptions: usize,
    /// Bytes of a channel's or pattern's name; a longer one is answered with an error. Default 1,024.
    pub channel_bytes: usize,
    /// Bytes that may wait for one client; over it the client is disconnected. Default 64 MiB.
    pub outbox_bytes: usize,
    /// Bytes waiting for one client from which its publishers are made to wait. Default 8 MiB.
    pub slow_bytes: usize,
    /// How long a client may stay over `slow_bytes` before it is disconnected. Default 5 s.
    pub slow_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            num_clients: 1_000,
            frame_bytes: 32 << 20,
            num_args: 4_096,
            num_subscriptions: 4_096,
            channel_bytes: 1_024,
            outbox_bytes: 64 << 20,
            slow_bytes: 8 << 20,
            slow_grace: Duration::from_secs(5),
        }
    }
}
