//! The counters of handlers.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that many threads add to; their readers need no order.
#[derive(Default)]
pub(crate) struct Counters {
    panics: AtomicU64,
    failures: AtomicU64,
    event_pauses: AtomicU64,
}

impl Counters {
    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event_pause(&self) {
        self.event_pauses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn event_pauses(&self) -> u64 {
        self.event_pauses.load(Ordering::Relaxed)
    }

    pub(crate) fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}
