//! Counters.

use crate::CloseReason;

/// A snapshot of an engine's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Sessions that are open now.
    pub open_sessions: u64,
    /// Sessions ever opened.
    pub opened: u64,
    /// Sessions ever closed, by reason.
    pub closed: ClosedBy,
    /// Volatile packets that were dropped.
    pub volatile_dropped: u64,
    /// Messages received.
    pub messages_in: u64,
    /// Packets handed to a transport, each with its attachments.
    pub messages_out: u64,
    /// Bytes received in POST bodies and over WebSockets.
    pub bytes_in: u64,
    /// Bytes handed to transports.
    pub bytes_out: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Panics caught in sessions and handlers.
    pub panics: u64,
    /// WebSockets whose bare socket could be taken over from the HTTP server.
    #[doc(hidden)]
    pub fast_upgrades: u64,
}

/// Sessions closed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedBy([u64; CloseReason::ALL.len()]);

impl ClosedBy {
    /// Returns how many sessions closed for this reason.
    pub fn get(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize]
    }

    /// Returns how many sessions closed, whatever the reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
