//! The supervision of a hub's parts: restarts after panics, and health.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::{Backoff, Error, Health};
use tokio::time::Instant;

use super::Hub;
use super::metrics::Counters;
use crate::deliver::Deliver;

/// The first wait before a part that panicked is started again, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl<D: Deliver> Hub<D> {
    /// Runs a part of the hub until it completes, and starts it again after each panic.
    pub(super) async fn supervised<F: Future<Output = ()>>(&self, part: &str, start: impl Fn() -> F) {
        let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
        loop {
            let since = Instant::now();
            if AssertUnwindSafe(start()).catch_unwind().await.is_ok() {
                return;
            }
            self.note_restart(part);
            if since.elapsed() > LONGEST_WAIT {
                backoff.reset();
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    /// Counts and logs that a part of the hub panicked and is started again.
    pub(super) fn note_restart(&self, part: &str) {
        static RESTARTED: LimitedLog = LimitedLog::new();
        Counters::add(&self.counters.restarts);
        if let Some(suppressed) = RESTARTED.pass() {
            quietly(|| tracing::error!(part, suppressed, "a part of the hub panicked; it is started again"));
        }
    }

    /// Records whether the channel is subscribed to.
    pub(super) fn set_listening(&self, is_listening: bool) {
        self.counters.is_listening.store(is_listening, Relaxed);
    }

    /// Counts and logs that subscribing failed, and keeps it for [`health`](Self::health).
    pub(super) fn note_subscribe_failure(&self, error: &Error, delay: Duration) {
        Counters::add(&self.counters.subscribe_failures);
        let failure = (SystemTime::now(), error.to_string());
        *self.subscribe_failure.lock().unpoisoned() = Some(failure);
        let error = Escaped(error);
        quietly(|| {
            tracing::error!(
                ?error,
                ?delay,
                "cannot subscribe to the channel: events of other processes do not arrive; trying again"
            );
        });
    }

    /// Returns the state of the manager's connections to its broker; `None` without a manager.
    ///
    /// While the hub has no subscription, `listening_since` is `None` regardless of the manager's health, and
    /// `last_error` is the failure of the last attempt to subscribe if that is the latest one.
    pub fn health(&self) -> Option<Health> {
        let mut health = self.manager()?.health();
        if self.counters.is_listening.load(Relaxed) {
            return Some(health);
        }
        health.listening_since = None;
        let failure = self.subscribe_failure.lock().unpoisoned().clone();
        let is_later = |(at, _): &(SystemTime, String)| health.last_error.as_ref().is_none_or(|(last, _)| last < at);
        if let Some(failure) = failure.filter(is_later) {
            health.last_error = Some(failure);
        }
        Some(health)
    }
}
