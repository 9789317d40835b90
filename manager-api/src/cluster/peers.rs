//! The other servers, as far as they were heard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::HostId;
use crate::deadline;

/// Whose answers a question waits for.
#[derive(Debug)]
pub struct Peers {
    heard: Mutex<HashMap<HostId, Instant>>,
    max: usize,
    /// When everybody who answers the first hello has had the time to. `None` before that hello.
    complete_at: watch::Sender<Option<Instant>>,
}

impl Peers {
    /// Makes an empty table of at most `max` servers, at least one.
    pub fn new(max: usize) -> Self {
        Self {
            heard: Mutex::default(),
            max: max.max(1),
            complete_at: watch::Sender::new(None),
        }
    }

    /// Notes that a server lives. A table that is full forgets the one that was silent for the longest time.
    pub fn heard(&self, host: &HostId) {
        let mut heard = self.lock();
        if heard.len() >= self.max && !heard.contains_key(host) {
            let oldest = heard.iter().min_by_key(|(_, at)| **at).map(|(host, _)| host.clone());
            oldest.map(|oldest| heard.remove(&oldest));
        }
        heard.insert(host.clone(), Instant::now());
    }

    /// Forgets a server: it said bye, or did not answer in time.
    pub fn forget(&self, host: &HostId) {
        self.lock().remove(host);
    }

    /// Returns the ids of the servers that are known to be there.
    pub fn ids(&self) -> Vec<HostId> {
        self.lock().keys().cloned().collect()
    }

    /// Counts the servers that are known to be there.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Starts the time in which the others answer the first hello.
    pub fn said_hello(&self, wait: Duration) {
        self.complete_at.send_if_modified(|at| {
            let is_first = at.is_none();
            at.get_or_insert_with(|| deadline::after(wait));
            is_first
        });
    }

    /// Starts the time, anew if need be, in which the others say that they are there.
    pub fn sought(&self, wait: Duration) {
        self.complete_at.send_replace(Some(deadline::after(wait)));
    }

    /// Waits until those who are there have had the time to say so.
    pub async fn complete(&self) {
        let mut at = self.complete_at.subscribe();
        // The sender lives in `self`, so this cannot fail while it is borrowed.
        let at = at.wait_for(Option::is_some).await.ok().and_then(|at| *at);
        if let Some(at) = at {
            tokio::time::sleep_until(at).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostId, Instant>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
