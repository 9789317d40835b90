//! Health, and log lines at a limited rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use manager_api::{Health, LimitedLog};

#[derive(Debug, Default)]
pub(crate) struct Status {
    num_published: AtomicU64,
    num_publish_failures: AtomicU64,
    num_received: AtomicU64,
    num_gaps: AtomicU64,
    state: Mutex<State>,
    down: LimitedLog,
    back: LimitedLog,
    gap: LimitedLog,
}

#[derive(Debug, Default)]
struct State {
    publishing_since: Option<SystemTime>,
    listening_since: Option<SystemTime>,
    num_listening: usize,
    last_error: Option<(SystemTime, String)>,
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

    /// Health has a publishing connection until the answer is dropped.
    pub(crate) fn publishing(self: &Arc<Self>, address: &str) -> Publishing {
        self.state().publishing_since = Some(SystemTime::now());
        self.log_connected("publishing", address);
        Publishing(self.clone())
    }

    /// Health has a subscription until the answer is dropped.
    pub(crate) fn listening(self: &Arc<Self>, address: &str) -> Listening {
        {
            let mut state = self.state();
            state.num_listening += 1;
            state.listening_since = Some(SystemTime::now());
        }
        self.log_connected("listening", address);
        Listening(self.clone())
    }

    /// Takes note of a connection that failed or was lost.
    pub(crate) fn failed(&self, failure: &impl std::fmt::Display) {
        self.state().last_error = Some((SystemTime::now(), failure.to_string()));
        if let Some(num_more) = self.down.pass() {
            tracing::warn!(target: "manager_amqp", num_more, "no connection: {failure}");
        }
    }

    /// Takes note that the broker stopped taking messages.
    pub(crate) fn blocked(&self, address: &str, reason: &str) {
        let text = format!("RabbitMQ at {address} takes no messages: {reason}");
        if let Some(num_more) = self.down.pass() {
            tracing::warn!(target: "manager_amqp", num_more, "{text}");
        }
        self.state().last_error = Some((SystemTime::now(), text));
    }

    pub(crate) fn gap(&self, reason: &str) {
        self.num_gaps.fetch_add(1, Ordering::Relaxed);
        if let Some(num_more) = self.gap.pass() {
            tracing::warn!(target: "manager_amqp", num_more, "messages may have been missed: {reason}");
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

    fn log_connected(&self, role: &str, address: &str) {
        if let Some(num_more) = self.back.pass() {
            tracing::info!(target: "manager_amqp", num_more, "connected to RabbitMQ at {address}, {role}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells health, by being dropped, that the publishing connection is gone.
pub(crate) struct Publishing(Arc<Status>);

impl Drop for Publishing {
    fn drop(&mut self) {
        self.0.state().publishing_since = None;
    }
}

/// Tells health, by being dropped, that a subscription's connection is gone.
pub(crate) struct Listening(Arc<Status>);

impl Drop for Listening {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.num_listening -= 1;
        if state.num_listening == 0 {
            state.listening_since = None;
        }
    }
}
