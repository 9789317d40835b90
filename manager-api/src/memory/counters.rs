//! The counters behind the health of a [`MemoryManager`](super::MemoryManager).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::SystemTime;

use crate::lock::Unpoisoned;

/// The outcomes that a manager counts.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) num_published: AtomicU64,
    pub(super) num_publish_failures: AtomicU64,
    pub(super) num_received: AtomicU64,
    pub(super) num_gaps: AtomicU64,
    last: Mutex<Last>,
}

/// When something happened for the first or the last time.
#[derive(Clone, Debug, Default)]
pub(super) struct Last {
    pub(super) published_first: Option<SystemTime>,
    pub(super) subscribed: Option<SystemTime>,
    pub(super) error: Option<(SystemTime, String)>,
}

impl Counters {
    /// Counts a message that the bus has accepted.
    pub(super) fn published(&self) {
        if self.num_published.fetch_add(1, Ordering::Relaxed) == 0 {
            self.last().published_first = Some(SystemTime::now());
        }
    }

    /// Counts a message that a reader takes.
    pub(super) fn received(&self) {
        self.num_received.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a gap.
    pub(super) fn gap(&self) {
        self.num_gaps.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unpoisoned()
    }
}
