//! The counters of an engine.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::close::CloseReason;

/// A counter that many threads add to; its readers need no order.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds to the counter.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Returns the count.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that many threads raise and lower; its readers need no order.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    /// Raises the number by one.
    pub(crate) fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Lowers the number by one.
    pub(crate) fn lower(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns the number.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers of the moment that are counted elsewhere.
pub(crate) struct Present {
    /// Sessions that are open.
    pub(crate) sessions: usize,
    /// Entries of the timer wheel.
    pub(crate) timers: usize,
    /// Bytes that wait for clients.
    pub(crate) queued_bytes: usize,
    /// Bytes of incomplete messages.
    pub(crate) inbound_bytes: usize,
}

/// The counters of an engine.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Sessions on long-polling.
    pub(crate) polling: Gauge,
    /// Sessions that were opened.
    pub(crate) opened: Counter,
    /// Sessions that were closed, by reason.
    pub(crate) closed: [Counter; CloseReason::ALL.len()],
    /// Clients that were disconnected because all outboxes together were over their limit.
    pub(crate) shed: Counter,
    /// POSTs and clients that were given up because incomplete messages were over their limit.
    pub(crate) inbound_shed: Counter,
    /// Volatile packets that were dropped.
    pub(crate) volatile_dropped: Counter,
    /// Messages of clients.
    pub(crate) messages_in: Counter,
    /// Packets that a transport took.
    pub(crate) messages_out: Counter,
    /// Bytes of clients.
    pub(crate) bytes_in: Counter,
    /// Bytes for clients.
    pub(crate) bytes_out: Counter,
    /// Requests that were refused.
    pub(crate) refused: Counter,
    /// Handshakes that were refused because too many came within a second.
    pub(crate) handshakes_limited: Counter,
    /// Handshakes that were refused because the engine was full, or drained.
    pub(crate) handshakes_unavailable: Counter,
    /// Panics that were caught.
    pub(crate) panics: Counter,
    /// WebSockets on bare sockets.
    pub(crate) fast_upgrades: Counter,
}

impl Counters {
    /// Reads all counters.
    pub(crate) fn snapshot(&self, present: &Present) -> Metrics {
        Metrics {
            open_sessions: present.sessions as u64,
            polling_sessions: self.polling.get(),
            opened: self.opened.get(),
            closed: ClosedBy(self.closed.each_ref().map(Counter::get)),
            queued_bytes: present.queued_bytes as u64,
            shed: self.shed.get(),
            inbound_bytes: present.inbound_bytes as u64,
            inbound_shed: self.inbound_shed.get(),
            volatile_dropped: self.volatile_dropped.get(),
            messages_in: self.messages_in.get(),
            messages_out: self.messages_out.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            refused: self.refused.get(),
            handshakes_limited: self.handshakes_limited.get(),
            handshakes_unavailable: self.handshakes_unavailable.get(),
            panics: self.panics.get(),
            fast_upgrades: self.fast_upgrades.get(),
            timers: present.timers as u64,
        }
    }
}

/// A snapshot of an engine's counters.
///
/// They are read one by one, so that sums may be off by the events of the moment. Nothing is reset:
/// rates are differences of two snapshots.
///
/// ```
/// use engine_io::{CloseReason, Engine};
///
/// /// Returns the share of sessions that were closed because their client did not answer.
/// fn share_of_timeouts(engine: &Engine) -> f64 {
///     let closed = engine.metrics().closed;
///     closed.get(CloseReason::PingTimeout) as f64 / closed.total().max(1) as f64
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// Sessions that are open now.
    pub open_sessions: u64,
    /// Those of them that poll, and were not upgraded.
    pub polling_sessions: u64,
    /// Sessions ever opened.
    pub opened: u64,
    /// Sessions ever closed, by reason.
    pub closed: ClosedBy,
    /// Bytes that wait for clients now, in packets and in responses to polls; a packet for many
    /// clients counts once. To be compared with
    /// [`Config::outbox_total_limit`](crate::Config::outbox_total_limit).
    pub queued_bytes: u64,
    /// Clients that were disconnected because all outboxes together exceeded that limit; they count
    /// among those that closed with [`CloseReason::Overflow`], too.
    pub shed: u64,
    /// Bytes held of incomplete messages of clients now. To be compared with
    /// [`Config::inbound_total_limit`](crate::Config::inbound_total_limit).
    pub inbound_bytes: u64,
    /// Incomplete messages that were given up because all of them together exceeded that limit:
    /// POSTs that were refused with the status 503, and clients that were disconnected, which
    /// count among those that closed with [`CloseReason::Overflow`], too.
    pub inbound_shed: u64,
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
    /// Handshakes that got the status 503 because more came within a second than
    /// [`Config::max_handshakes_per_second`](crate::Config::max_handshakes_per_second) or
    /// [`Config::max_handshakes_per_second_per_peer`](crate::Config::max_handshakes_per_second_per_peer)
    /// allow; they count among those refused, too.
    pub handshakes_limited: u64,
    /// Handshakes that got the status 503 because there were
    /// [`Config::max_sessions`](crate::Config::max_sessions), or because the engine drained; they
    /// count among those refused, too.
    pub handshakes_unavailable: u64,
    /// Panics caught in sessions and handlers.
    pub panics: u64,
    /// WebSockets whose bare socket could be taken over from the HTTP server.
    #[doc(hidden)]
    pub fast_upgrades: u64,
    /// Entries of the timer wheel that all sessions share; those of closed sessions stay until they
    /// are due.
    #[doc(hidden)]
    pub timers: u64,
}

/// Sessions closed, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClosedBy([u64; CloseReason::ALL.len()]);

impl ClosedBy {
    /// Returns how many sessions closed for this reason.
    pub fn get(&self, reason: CloseReason) -> u64 {
        self.0[reason as usize]
    }

    /// Returns how many sessions closed, for any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}
