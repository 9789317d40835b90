//! Health, and log lines at a limited rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use manager_api::{Health, LimitedLog};

#[derive(Debug, Default)]
pub(crate) struct Status {
    num_published: AtomicU64,
    num_publish_failures: AtomicU64,
    num_received: AtomicU64,
    num_gaps: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    publishing_since: Option<SystemTime>,
    listening_since: Option<SystemTime>,
    num_listening: usize,
    last_error: Option<(SystemTime, String)>,
    down: LimitedLog,
    back: LimitedLog,
    gap: LimitedLog,
}

impl Status {
    pub(crate) fn published(&self) {
        self.num_published.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn publish_failed(&self) {
        self.num_publish_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn num_publish_failures(&self) -> u64 {
        self.num_publish_failures.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) {
        self.num_received.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn publishing(&self, address: &str) {
        let mut state = self.state();
        state.publishing_since = Some(SystemTime::now());
        state.log_connected("publishing", address);
    }

    pub(crate) fn not_publishing(&self) {
        self.state().publishing_since = None;
    }

    pub(crate) fn listening(&self, address: &str) {
        let mut state = self.state();
        state.num_listening += 1;
        state.listening_since = Some(SystemTime::now());
        state.log_connected("listening", address);
    }

    pub(crate) fn not_listening(&self) {
        let mut state = self.state();
        state.num_listening -= 1;
        if state.num_listening == 0 {
            state.listening_since = None;
        }
    }

    /// Takes note of a connection that failed or was lost.
    pub(crate) fn failed(&self, failure: &impl std::fmt::Display) {
        let mut state = self.state();
        state.last_error = Some((SystemTime::now(), failure.to_string()));
        if let Some(num_more) = state.down.pass() {
            tracing::warn!(target: "manager_redis", num_more, "no connection: {failure}");
        }
    }

    pub(crate) fn gap(&self, reason: &str) {
        self.num_gaps.fetch_add(1, Ordering::Relaxed);
        if let Some(num_more) = self.state().gap.pass() {
            tracing::warn!(target: "manager_redis", num_more, "messages may have been missed: {reason}");
        }
    }

    pub(crate) fn health(&self) -> Health {
        let state = self.state();
        let mut health = Health::default();
        health.publishing_since = state.publishing_since;
        health.listening_since = state.listening_since;
        health.last_error = state.last_error.clone();
        health.num_published = self.num_published.load(Ordering::Relaxed);
        health.num_publish_failures = self.num_publish_failures.load(Ordering::Relaxed);
        health.num_received = self.num_received.load(Ordering::Relaxed);
        health.num_gaps = self.num_gaps.load(Ordering::Relaxed);
        health
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn log_connected(&mut self, role: &str, address: &str) {
        if let Some(num_more) = self.back.pass() {
            tracing::info!(target: "manager_redis", num_more, "connected to Redis at {address}, {role}");
        }
    }
}
