//! Counters, of which [`Status`](crate::Status) tells the meaning.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters of a bridge as a whole.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) takeovers: AtomicU64,
    /// Other bridges of this name that were heard lately.
    pub(crate) others: AtomicU64,
    /// Requests and events whose responses were not carried, because too many were.
    pub(crate) refused_requests: AtomicU64,
    pub(crate) is_control_connected: AtomicBool,
    /// Messages on the channel of the beats that are none.
    pub(crate) bad_beats: AtomicU64,
}

/// Counters of a side.
#[derive(Debug, Default)]
pub(crate) struct SideCounters {
    /// Messages of other processes that are for clients or servers, or from bridges.
    pub(crate) received: AtomicU64,
    pub(crate) marked: AtomicU64,
    pub(crate) undecodable: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) responses_dropped: AtomicU64,
}

/// Counters of one direction.
#[derive(Debug, Default)]
pub(crate) struct PairCounters {
    pub(crate) forwarded: AtomicU64,
    pub(crate) skipped_namespace: AtomicU64,
    pub(crate) skipped_wire: AtomicU64,
    pub(crate) lost_unconfirmed: AtomicU64,
    pub(crate) lost_refused: AtomicU64,
    pub(crate) lost_order: AtomicU64,
    pub(crate) lost_unsettled: AtomicU64,
    /// From the arrival to the confirmation, of what was forwarded, in microseconds.
    pub(crate) delay_micros: AtomicU64,
    /// Publishes under way.
    pub(crate) in_flight: AtomicU64,
    /// The destination cannot be reached.
    pub(crate) is_stalled: AtomicBool,
    /// The destination has accepted a message since this bridge began to forward.
    pub(crate) is_proven: AtomicBool,
    /// The source is not read, because too much waits.
    pub(crate) is_full: AtomicBool,
}

/// Adds one to a counter.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
