//! The counters of a hub.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use manager_api::ack::AckTable;
use manager_api::cluster::Requester;

use crate::recent_keys::RecentKeys;

/// The counters of a hub since its creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubMetrics {
    /// Messages received on the channel, own ones included, but not presence messages of servers.
    pub received: u64,
    /// Own messages received back.
    pub own: u64,
    /// Messages skipped because they could not be decoded, held more names than
    /// [allowed](crate::HubOptions::max_message_names), or because their event must not be sent to clients.
    pub undecodable: u64,
    /// Extensions that were malformed and ignored: times of the publish, traces and keys. Their events were delivered.
    pub malformed_extensions: u64,
    /// Times when messages may have been missed.
    pub gaps: u64,
    /// Acknowledgements and responses for other processes that could not be published.
    pub callbacks_dropped: u64,
    /// Events of other processes delivered without the acknowledgements that they request, because too many were
    /// expected.
    pub emits_without_acks: u64,
    /// Events that were not delivered because their [key](manager_api::IdempotencyKey) was seen before.
    pub repeats: u64,
    /// Keys that are remembered now.
    pub idempotency_keys: u64,
    /// Keys that were forgotten before their [time](crate::HubOptions::idempotency_window), because there were too many.
    pub idempotency_keys_evicted: u64,
    /// Acknowledgements for this process dropped because too many were unread.
    pub acks_dropped: u64,
    /// Events that wait for acknowledgements of clients now.
    pub pending_acks: u64,
    /// Requests of this server that wait for responses of others now.
    pub open_requests: u64,
    /// Other servers known to be running now.
    pub servers: u64,
    /// Events for this server that were dropped because too many waited for their handlers.
    pub server_events_dropped: u64,
    /// Messages whose delivery panicked.
    pub panics: u64,
    /// Rooms that commands did not put clients of this server into because of a
    /// [limit](crate::HubOptions::max_rooms_per_client), except refusals returned to a caller on this server.
    pub rooms_refused: u64,
    /// Times when a part of the hub that listens or publishes panicked and was started again.
    pub restarts: u64,
    /// Times when subscribing to the channel failed.
    pub subscribe_failures: u64,
    /// Whether the channel is subscribed to now.
    pub is_listening: bool,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) own: AtomicU64,
    pub(super) undecodable: AtomicU64,
    pub(super) malformed_extensions: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) callbacks_dropped: AtomicU64,
    pub(super) emits_without_acks: AtomicU64,
    pub(super) repeats: AtomicU64,
    pub(super) panics: AtomicU64,
    pub(super) server_events_dropped: AtomicU64,
    pub(super) rooms_refused: AtomicU64,
    pub(super) restarts: AtomicU64,
    pub(super) subscribe_failures: AtomicU64,
    pub(super) is_listening: AtomicBool,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn add_many(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Relaxed);
    }

    pub(super) fn snapshot(&self, acks: &AckTable, requester: &Requester, keys: &RecentKeys) -> HubMetrics {
        HubMetrics {
            received: self.received.load(Relaxed),
            own: self.own.load(Relaxed),
            undecodable: self.undecodable.load(Relaxed),
            malformed_extensions: self.malformed_extensions.load(Relaxed),
            gaps: self.gaps.load(Relaxed),
            callbacks_dropped: self.callbacks_dropped.load(Relaxed),
            emits_without_acks: self.emits_without_acks.load(Relaxed),
            repeats: self.repeats.load(Relaxed),
            idempotency_keys: keys.len() as u64,
            idempotency_keys_evicted: keys.num_evicted(),
            acks_dropped: acks.num_dropped(),
            pending_acks: acks.num_pending() as u64,
            open_requests: requester.requests.num_open() as u64,
            servers: requester.peers.num_known() as u64,
            server_events_dropped: self.server_events_dropped.load(Relaxed),
            panics: self.panics.load(Relaxed),
            rooms_refused: self.rooms_refused.load(Relaxed),
            restarts: self.restarts.load(Relaxed),
            subscribe_failures: self.subscribe_failures.load(Relaxed),
            is_listening: self.is_listening.load(Relaxed),
        }
    }
}
