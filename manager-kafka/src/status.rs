//! Health, and log lines at a limited rate.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use manager_api::{Health, LimitedLog};

use crate::error::Failure;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Publishing,
    Listening,
}

#[derive(Debug, Default)]
pub(crate) struct Status {
    num_published: AtomicU64,
    num_publish_failures: AtomicU64,
    num_received: AtomicU64,
    num_gaps: AtomicU64,
    num_listening: AtomicU64,
    publishing: Line,
    listening: Line,
    last_error: Mutex<Option<(SystemTime, Failure)>>,
    gap: LimitedLog,
}

/// One direction.
#[derive(Debug, Default)]
struct Line {
    /// Whether nothing failed since the brokers last answered; looked at for every message.
    is_up: AtomicBool,
    state: Mutex<LineState>,
    down_log: LimitedLog,
    up_log: LimitedLog,
}

#[derive(Debug, Default)]
struct LineState {
    since: Option<SystemTime>,
    failure: Option<Failure>,
}

impl Status {
    pub(crate) fn published(&self) {
        self.num_published.fetch_add(1, Ordering::Relaxed);
        self.up(Role::Publishing);
    }

    pub(crate) fn publish_failed(&self) {
        self.num_publish_failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn num_publish_failures(&self) -> u64 {
        self.num_publish_failures.load(Ordering::Relaxed)
    }

    pub(crate) fn received(&self) {
        self.num_received.fetch_add(1, Ordering::Relaxed);
        self.up(Role::Listening);
    }

    /// Takes note that the brokers answer.
    pub(crate) fn up(&self, role: Role) {
        let line = self.line(role);
        if line.is_up.load(Ordering::Relaxed) {
            return;
        }
        let mut state = line.state();
        let was_down = state.since.is_none();
        state.since.get_or_insert_with(SystemTime::now);
        state.failure = None;
        line.is_up.store(true, Ordering::Relaxed);
        if was_down && let Some(num_more) = line.up_log.pass() {
            tracing::info!(target: "manager_kafka", num_more, "connected to Kafka, {role:?}");
        }
    }

    pub(crate) fn begins_to_listen(&self) {
        self.num_listening.fetch_add(1, Ordering::Relaxed);
        self.up(Role::Listening);
    }

    pub(crate) fn ends_to_listen(&self) {
        if self.num_listening.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.down(Role::Listening);
        }
    }

    /// Takes note that no broker answers, or that there is nothing to connect for.
    pub(crate) fn down(&self, role: Role) {
        let line = self.line(role);
        let mut state = line.state();
        state.since = None;
        line.is_up.store(false, Ordering::Relaxed);
    }

    /// Takes note of something that failed or was lost.
    pub(crate) fn failed(&self, role: Role, failure: &Failure) {
        let line = self.line(role);
        line.state().failure = Some(failure.clone());
        line.is_up.store(false, Ordering::Relaxed);
        *self.last_error() = Some((SystemTime::now(), failure.clone()));
        if let Some(num_more) = line.down_log.pass() {
            tracing::warn!(target: "manager_kafka", num_more, "{role:?}: {failure}");
        }
    }

    /// Returns what failed since the brokers last answered.
    pub(crate) fn failure(&self, role: Role) -> Option<Failure> {
        self.line(role).state().failure.clone()
    }

    pub(crate) fn gap(&self, reason: &str) {
        self.num_gaps.fetch_add(1, Ordering::Relaxed);
        if let Some(num_more) = self.gap.pass() {
            tracing::warn!(target: "manager_kafka", num_more, "messages may have been missed: {reason}");
        }
    }

    pub(crate) fn health(&self) -> Health {
        let mut health = Health::default();
        health.publishing_since = self.publishing.state().since;
        health.listening_since = self.listening.state().since;
        let last_error = self.last_error().clone();
        health.last_error = last_error.map(|(when, failure)| (when, failure.to_string()));
        health.num_published = self.num_published.load(Ordering::Relaxed);
        health.num_publish_failures = self.num_publish_failures.load(Ordering::Relaxed);
        health.num_received = self.num_received.load(Ordering::Relaxed);
        health.num_gaps = self.num_gaps.load(Ordering::Relaxed);
        health
    }

    fn line(&self, role: Role) -> &Line {
        match role {
            Role::Publishing => &self.publishing,
            Role::Listening => &self.listening,
        }
    }

    fn last_error(&self) -> MutexGuard<'_, Option<(SystemTime, Failure)>> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
