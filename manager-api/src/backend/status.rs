//! The [`Status`] of a manager: its health, and log lines at a limited rate.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use super::Failure;
use crate::Health;
use crate::lock::Unpoisoned;
use crate::log::{Escaped, LimitedLog, quietly};

/// The purpose of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It sends published messages.
    Publishing,
    /// It receives the messages of a subscription.
    Listening,
}

/// The current [`Health`] of a manager. Changes are logged, at most one line per second and kind.
#[derive(Debug)]
pub struct Status {
    broker: &'static str,
    num_published: AtomicU64,
    num_publish_failures: AtomicU64,
    num_unheard: AtomicU64,
    num_foreign: AtomicU64,
    num_received: AtomicU64,
    num_gaps: AtomicU64,
    num_refusals: AtomicU64,
    publishing: Direction,
    listening: Direction,
    last_error: Mutex<Option<(SystemTime, String)>>,
    down_log: LimitedLog,
    up_log: LimitedLog,
    gap_log: LimitedLog,
}

#[derive(Debug, Default)]
struct Direction {
    /// Whether `state` holds a time; read for every message.
    is_up: AtomicBool,
    state: Mutex<DirectionState>,
}

#[derive(Debug, Default)]
struct DirectionState {
    since: Option<SystemTime>,
    num_connected: usize,
}

impl Status {
    /// Creates a status without connections; `broker` is the broker's name in log lines.
    pub fn new(broker: &'static str) -> Self {
        Self {
            broker,
            num_published: AtomicU64::new(0),
            num_publish_failures: AtomicU64::new(0),
            num_unheard: AtomicU64::new(0),
            num_foreign: AtomicU64::new(0),
            num_received: AtomicU64::new(0),
            num_gaps: AtomicU64::new(0),
            num_refusals: AtomicU64::new(0),
            publishing: Direction::default(),
            listening: Direction::default(),
            last_error: Mutex::default(),
            down_log: LimitedLog::new(),
            up_log: LimitedLog::new(),
            gap_log: LimitedLog::new(),
        }
    }

    /// Counts a message that the broker has accepted.
    pub fn published(&self) {
        self.num_published.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a publish that failed.
    pub fn publish_failed(&self) {
        self.num_publish_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many publishes failed.
    pub fn num_publish_failures(&self) -> u64 {
        self.num_publish_failures.load(Ordering::Relaxed)
    }

    /// Counts a message that the broker has accepted but could not route to any queue.
    pub fn unheard(&self) {
        self.num_unheard.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a notification of another program, which was passed over.
    pub fn foreign(&self) {
        self.num_foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a message that was received.
    pub fn received(&self) {
        self.num_received.fetch_add(1, Ordering::Relaxed);
    }

    /// Records a new connection to `address`, until the returned guard is dropped.
    pub fn connected(self: &Arc<Self>, role: Role, address: &str) -> Connected {
        {
            let mut state = self.direction(role).state();
            state.num_connected += 1;
            // So that health reports the time of the latest connection.
            state.since = None;
        }
        self.direction(role).is_up.store(false, Ordering::Relaxed);
        self.up(role, address);
        Connected {
            status: self.clone(),
            role,
        }
    }

    /// Records that the broker at `address` is reachable, where the client library connects by itself. Cheap if that is
    /// recorded already.
    pub fn up(&self, role: Role, address: &str) {
        let direction = self.direction(role);
        if direction.is_up.load(Ordering::Relaxed) {
            return;
        }
        let mut state = direction.state();
        if state.since.is_some() {
            return;
        }
        state.since = Some(SystemTime::now());
        direction.is_up.store(true, Ordering::Relaxed);
        drop(state);
        if let Some(suppressed) = self.up_log.pass() {
            let broker = self.broker;
            let address = Escaped(without_broker(broker, address));
            quietly(
                || tracing::info!(target: "manager_api", suppressed, "connected to {broker} at {address}, {role:?}"),
            );
        }
    }

    /// Records that there is no connection.
    pub fn down(&self, role: Role) {
        let direction = self.direction(role);
        let mut state = direction.state();
        state.since = None;
        direction.is_up.store(false, Ordering::Relaxed);
    }

    /// Returns whether there is a connection, as far as recorded.
    pub fn is_up(&self, role: Role) -> bool {
        self.direction(role).is_up.load(Ordering::Relaxed)
    }

    /// Records a connection that failed, was lost or is unusable. `failure` names the broker, its place and the cause.
    pub fn failed(&self, failure: &(impl Display + ?Sized)) {
        // It may contain text of the broker, which is untrusted.
        let text = Escaped(failure).to_string();
        if let Some(suppressed) = self.down_log.pass() {
            quietly(|| tracing::warn!(target: "manager_api", suppressed, "{text}"));
        }
        *self.last_error() = Some((SystemTime::now(), text));
    }

    /// As [`failed`](Self::failed), and counts the failure if it is a refusal.
    pub fn lost(&self, failure: &impl Failure) {
        if failure.is_refused() {
            self.refused();
        }
        self.failed(failure);
    }

    /// Counts an attempt that the broker refused.
    pub fn refused(&self) {
        self.num_refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts and logs a gap of a subscription.
    pub fn gap(&self, reason: &str) {
        self.num_gaps.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = self.gap_log.pass() {
            let broker = self.broker;
            quietly(
                || tracing::warn!(target: "manager_api", suppressed, "messages of {broker} may have been missed: {}", Escaped(reason)),
            );
        }
    }

    /// Returns the health as recorded.
    pub fn health(&self) -> Health {
        let (listening_since, num_listening) = {
            let listening = self.listening.state();
            (listening.since, listening.num_connected)
        };
        Health {
            publishing_since: self.publishing.state().since,
            listening_since,
            num_listening,
            last_error: self.last_error().clone(),
            num_published: self.num_published.load(Ordering::Relaxed),
            num_publish_failures: self.num_publish_failures(),
            num_unheard: self.num_unheard.load(Ordering::Relaxed),
            num_foreign: self.num_foreign.load(Ordering::Relaxed),
            num_received: self.num_received.load(Ordering::Relaxed),
            num_gaps: self.num_gaps.load(Ordering::Relaxed),
            num_refusals: self.num_refusals.load(Ordering::Relaxed),
        }
    }

    fn direction(&self, role: Role) -> &Direction {
        match role {
            Role::Publishing => &self.publishing,
            Role::Listening => &self.listening,
        }
    }

    fn last_error(&self) -> MutexGuard<'_, Option<(SystemTime, String)>> {
        self.last_error.lock().unpoisoned()
    }
}

impl Direction {
    fn state(&self) -> MutexGuard<'_, DirectionState> {
        self.state.lock().unpoisoned()
    }
}

/// Guard of a recorded connection; dropping it records that the connection has ended.
#[derive(Debug)]
#[must_use]
pub struct Connected {
    status: Arc<Status>,
    role: Role,
}

impl Drop for Connected {
    fn drop(&mut self) {
        let direction = self.status.direction(self.role);
        let mut state = direction.state();
        state.num_connected -= 1;
        if state.num_connected == 0 {
            state.since = None;
            direction.is_up.store(false, Ordering::Relaxed);
        }
    }
}

/// Strips the broker's name from an address.
fn without_broker<'a>(broker: &str, address: &'a str) -> &'a str {
    let rest = address.strip_prefix(broker).and_then(|rest| rest.strip_prefix(" at "));
    rest.unwrap_or(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_once_where_it_is_connected() {
        assert_eq!(without_broker("Redis", "Redis at h:1"), "h:1");
        assert_eq!(without_broker("Redis", "h:1"), "h:1");
        assert_eq!(without_broker("Redis", "Redis at"), "Redis at");
    }

    #[test]
    fn there_is_a_connection_until_the_last_one_is_gone() {
        let status = Arc::new(Status::new("Example"));
        let first = status.connected(Role::Listening, "a");
        let second = status.connected(Role::Listening, "b");
        assert!(status.health().publishing_since.is_none());
        drop(first);
        assert!(status.health().listening_since.is_some() && status.is_up(Role::Listening));
        assert_eq!(status.health().num_listening, 1);
        drop(second);
        assert!(status.health().listening_since.is_none() && !status.is_up(Role::Listening));
    }

    #[test]
    fn a_client_that_connects_by_itself_is_up_since_it_was_down() {
        let status = Status::new("Example");
        status.up(Role::Publishing, "a");
        let since = status.health().publishing_since;
        status.up(Role::Publishing, "a");
        assert!(since.is_some() && status.health().publishing_since == since);
        status.down(Role::Publishing);
        assert!(status.health().publishing_since.is_none());
    }

    #[test]
    fn failures_and_gaps_are_counted_and_the_latest_failure_is_kept() {
        let status = Status::new("Example");
        status.failed("first");
        status.failed("second");
        status.publish_failed();
        status.gap("reconnected");
        let health = status.health();
        assert_eq!(health.last_error.map(|(_, text)| text).as_deref(), Some("second"));
        assert_eq!((health.num_publish_failures, health.num_gaps), (1, 1));
    }

    #[test]
    fn what_a_broker_says_is_escaped_and_cut() {
        let status = Status::new("Example");
        status.failed(&format!("refused: \u{1b}[2J\n{}", "x".repeat(1 << 20)));
        let (_, text) = status.health().last_error.unwrap();
        assert!(text.starts_with(r"refused: \u{1b}[2J\nx") && text.len() < 600, "{text}");
    }
}
