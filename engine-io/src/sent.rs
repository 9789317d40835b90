//! The outcome of sending a packet.

/// Tells what became of a packet that was sent.
///
/// Only [`Queued`](Self::Queued) and [`Congested`](Self::Congested) mean that it waits for the client;
/// neither says that the client has received it, which only the client can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is queued.
    Queued,
    /// It is queued behind so much (over 256 KiB, or half the soft limit if that is less) that the
    /// sender should slow down.
    Congested,
    /// It was volatile, and dropped.
    Dropped,
}

/// Tells why a packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The connection is closed, or closing.
    #[error("the connection is closed")]
    Closed,
    /// The packet would exceed [`Config::outbox_hard_limit`](crate::Config::outbox_hard_limit); the
    /// client is disconnected for it.
    #[error("the client reads too slowly and was disconnected")]
    Overflow,
}
