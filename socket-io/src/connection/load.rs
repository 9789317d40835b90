//! What waits for the handlers of one connection, and of all connections together.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use engine_io::Socket;
use manager_api::log::{LimitedLog, quietly};

/// Bytes up to which a connection counts for nothing, and is neither paused nor refused more because of others.
const SMALL: usize = 16 * 1024;

/// Events that wait for handlers, of all connections together.
pub(crate) struct QueuedTotal {
    /// Bytes above which reading pauses.
    limit: usize,
    /// Bytes that wait now.
    used: AtomicUsize,
    /// Connections that were closed for the limit.
    num_shed: AtomicU64,
}

impl QueuedTotal {
    /// Creates a total of no bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
            num_shed: AtomicU64::new(0),
        }
    }

    /// Returns the bytes that wait now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns how many connections were closed because the total was far over its limit.
    pub(crate) fn num_shed(&self) -> u64 {
        self.num_shed.load(Ordering::Relaxed)
    }

    /// Closes a connection at once, because the total is far over its limit.
    pub(super) fn shed(&self, socket: &Socket) {
        static SHED: LimitedLog = LimitedLog::new();
        self.num_shed.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = SHED.pass() {
            let text =
                "closing a connection: what waits for handlers of all together is far over max_queued_bytes_total";
            quietly(|| tracing::warn!(target: "socket_io", suppressed, "{text}"));
        }
        socket.abort();
    }

    /// Tells whether reading has to pause.
    fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Tells whether pausing was not enough: each connection may queue one packet more before it pauses.
    fn is_far_over(&self) -> bool {
        self.used() / 5 > self.limit / 4
    }
}

/// How much waits for handlers of a connection. Each connection has one, so it is small: two words.
#[derive(Default)]
pub(super) struct Load {
    /// The bytes of the events.
    pub(super) bytes: usize,
    /// The events.
    pub(super) events: u32,
    /// What is counted for it in the total, in units of [`SMALL`] bytes.
    counted: u32,
}

impl Load {
    /// Counts in the total what waits now, in the place of what waited before.
    pub(super) fn count(&mut self, total: &QueuedTotal) {
        if !self.is_small() {
            self.recount(u32::try_from(self.bytes.div_ceil(SMALL)).unwrap_or(u32::MAX), total);
        } else if self.counted > 0 {
            self.recount(0, total);
        }
    }

    /// Counts nothing any more.
    pub(super) fn release(&mut self, total: &QueuedTotal) {
        self.recount(0, total);
    }

    /// Tells whether no more may be read for now because of what waits for all others.
    pub(super) fn has_to_wait(&self, total: &QueuedTotal) -> bool {
        !self.is_small() && total.is_over()
    }

    /// Tells whether so many bytes more are too much beside what waits for all others.
    pub(super) fn is_too_much(&self, bytes: usize, total: &QueuedTotal) -> bool {
        self.bytes.saturating_add(bytes) > SMALL && total.is_far_over()
    }

    /// Tells whether it counts for nothing.
    fn is_small(&self) -> bool {
        self.bytes <= SMALL
    }

    /// Counts so many units in the place of those before.
    fn recount(&mut self, units: u32, total: &QueuedTotal) {
        let bytes = |units: u32| units as usize * SMALL;
        if units > self.counted {
            total.used.fetch_add(bytes(units - self.counted), Ordering::Relaxed);
        } else if units < self.counted {
            total.used.fetch_sub(bytes(self.counted - units), Ordering::Relaxed);
        }
        self.counted = units;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(bytes: usize) -> Load {
        Load {
            bytes,
            ..Load::default()
        }
    }

    #[test]
    fn it_is_two_words() {
        assert_eq!(size_of::<Load>(), 16);
    }

    #[test]
    fn what_waits_for_all_connections_pauses_those_that_are_not_small_and_is_free_again() {
        let total = QueuedTotal::new(100_000);
        let (mut large, mut small) = (load(99_000), load(SMALL));
        small.count(&total);
        assert_eq!(total.used(), 0);
        large.count(&total);
        assert_eq!(total.used(), 7 * SMALL);
        assert!(large.has_to_wait(&total) && !small.has_to_wait(&total));
        assert!(!large.is_too_much(1_000_000, &total), "it is not far over");
        let mut other = load(20_000);
        other.count(&total);
        assert!(small.is_too_much(1, &total) && !load(0).is_too_much(SMALL, &total));
        large.bytes = 20_000;
        large.count(&total);
        assert!(!large.has_to_wait(&total));
        large.release(&total);
        other.release(&total);
        assert_eq!(total.used(), 0);
    }
}
