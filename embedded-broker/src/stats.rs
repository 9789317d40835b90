//! The counters of a broker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::broker::Shared;

/// What [`Stats`] reads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) refused_clients: AtomicU64,
    pub(crate) slow_clients: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    pub(crate) published: AtomicU64,
    pub(crate) delivered: AtomicU64,
}

/// Counters of a running broker, readable at any time.
#[derive(Debug, Clone)]
pub struct Stats {
    pub(crate) shared: Arc<Shared>,
}

impl Stats {
    /// Connections accepted since the start.
    pub fn connections(&self) -> u64 {
        self.shared.counters.connections.load(Ordering::Relaxed)
    }

    /// Connections refused because [`Limits::max_clients`](crate::Limits::max_clients) were open.
    pub fn refused_clients(&self) -> u64 {
        self.shared.counters.refused_clients.load(Ordering::Relaxed)
    }

    /// Subscribers disconnected because they did not read as fast as messages came.
    pub fn slow_clients(&self) -> u64 {
        self.shared.counters.slow_clients.load(Ordering::Relaxed)
    }

    /// Connections closed because of bytes that are not a command, or because of one over a limit.
    pub fn protocol_errors(&self) -> u64 {
        self.shared.counters.protocol_errors.load(Ordering::Relaxed)
    }

    /// Messages accepted from publishers.
    pub fn published(&self) -> u64 {
        self.shared.counters.published.load(Ordering::Relaxed)
    }

    /// Messages queued for subscribers: one for each that receives it.
    pub fn delivered(&self) -> u64 {
        self.shared.counters.delivered.load(Ordering::Relaxed)
    }

    /// How many subscriptions a channel has at this moment, patterns not counted.
    pub fn num_subscribers(&self, channel: &str) -> usize {
        self.shared.topics.num_subscribers(channel.as_bytes())
    }
}
