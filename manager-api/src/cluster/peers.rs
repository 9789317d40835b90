//! The table of other servers known to be running.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::HostId;
use crate::deadline;
use crate::lock::Unpoisoned;

/// The servers whose responses a request expects.
#[derive(Debug)]
pub struct Peers {
    /// When the latest message of each server was received.
    last_seen: Mutex<HashMap<HostId, Instant>>,
    max: usize,
    /// When discovery is complete. `None` before the first announcement was sent.
    complete_at: watch::Sender<Option<Instant>>,
}

impl Peers {
    /// Creates an empty table of at most `max` servers; zero counts as one.
    pub fn new(max: usize) -> Self {
        Self {
            last_seen: Mutex::default(),
            max: max.max(1),
            complete_at: watch::Sender::new(None),
        }
    }

    /// Records that a message of a server was received. A full table drops the server that was silent for the longest
    /// time.
    pub fn record(&self, host: &HostId) {
        let mut last_seen = self.lock();
        if last_seen.len() >= self.max && !last_seen.contains_key(host) {
            let oldest = last_seen
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(host, _)| host.clone());
            oldest.map(|oldest| last_seen.remove(&oldest));
        }
        last_seen.insert(host.clone(), Instant::now());
    }

    /// Removes a server that has closed, or did not respond in time.
    pub fn forget(&self, host: &HostId) {
        self.lock().remove(host);
    }

    /// Returns the ids of the known servers.
    pub fn ids(&self) -> Vec<HostId> {
        self.lock().keys().cloned().collect()
    }

    /// Returns the maximum number of servers.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Counts the known servers.
    pub fn num_known(&self) -> usize {
        self.lock().len()
    }

    /// Starts discovery, which completes after `wait`; without effect if it was started before.
    pub fn start_discovery(&self, wait: Duration) {
        self.complete_at.send_if_modified(|at| {
            let is_first = at.is_none();
            at.get_or_insert_with(|| deadline::after(wait));
            is_first
        });
    }

    /// Starts discovery, or restarts it; it completes after `wait`.
    pub fn restart_discovery(&self, wait: Duration) {
        self.complete_at.send_replace(Some(deadline::after(wait)));
    }

    /// Waits until discovery is complete.
    pub async fn complete(&self) {
        let mut at = self.complete_at.subscribe();
        // The sender lives in `self`, so this cannot fail while it is borrowed.
        let at = at.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        if let Some(at) = at {
            tokio::time::sleep_until(at).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostId, Instant>> {
        self.last_seen.lock().unpoisoned()
    }
}
