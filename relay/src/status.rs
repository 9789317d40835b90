//! The state of a relay: counters, and whether it is ready.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::source::{Source, SourceStatus};
use manager_api::{ClientManager, Error};

use crate::flow::Cause;

/// Counters of a relay, and what it is connected to. Cloning is cheap; clones are of the same relay.
#[derive(Clone)]
pub struct RelayStatus {
    shared: Arc<Shared>,
}

struct Shared {
    source: Arc<dyn Source>,
    manager: Arc<dyn ClientManager>,
    counters: Counters,
    is_stopping: AtomicBool,
    /// Whether the latest attempt to emit failed.
    is_broker_failing: AtomicBool,
    /// Whether the latest call of the source failed.
    is_source_failing: AtomicBool,
    last_error: Mutex<Option<String>>,
    broker_log: LimitedLog,
    source_log: LimitedLog,
    dead_log: LimitedLog,
    gap_log: LimitedLog,
}

#[derive(Default)]
struct Counters {
    read: AtomicU64,
    redelivered: AtomicU64,
    emitted: AtomicU64,
    acknowledged: AtomicU64,
    unmapped: AtomicU64,
    refused: AtomicU64,
    emit_failures: AtomicU64,
    source_failures: AtomicU64,
    gaps: AtomicU64,
    in_flight: AtomicU64,
}

/// The numbers of a relay at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Numbers {
    /// Records that were read.
    pub read: u64,
    /// Of them those that the source had handed out before, as far as it says.
    pub redelivered: u64,
    /// Events that the broker has accepted.
    pub emitted: u64,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Dead letters because the record could not be mapped.
    pub unmapped: u64,
    /// Dead letters because the event cannot be sent: it is too large, or the broker refuses such ones.
    pub refused: u64,
    /// Attempts to emit that failed and were repeated.
    pub emit_failures: u64,
    /// Calls of the source that failed and were repeated.
    pub source_failures: u64,
    /// Times when records were gone before they were acknowledged.
    pub gaps: u64,
    /// Records that were read and are not acknowledged.
    pub in_flight: u64,
    /// Whether the source is connected.
    pub is_source_connected: bool,
    /// Whether the broker accepts events, as far as is known.
    pub is_broker_connected: bool,
    /// Records that wait in the source, where it says so.
    pub lag: Option<u64>,
    /// The age of the oldest record in the source in seconds, where it says so.
    pub oldest_secs: Option<u64>,
}

impl RelayStatus {
    /// Creates the state of a relay that has not begun.
    pub(crate) fn new(source: Arc<dyn Source>, manager: Arc<dyn ClientManager>) -> Self {
        let shared = Shared {
            source,
            manager,
            counters: Counters::default(),
            is_stopping: AtomicBool::new(false),
            is_broker_failing: AtomicBool::new(false),
            is_source_failing: AtomicBool::new(false),
            last_error: Mutex::default(),
            broker_log: LimitedLog::new(),
            source_log: LimitedLog::new(),
            dead_log: LimitedLog::new(),
            gap_log: LimitedLog::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Returns the numbers of this moment.
    pub fn numbers(&self) -> Numbers {
        let counters = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let source = self.source();
        Numbers {
            read: read(&counters.read),
            redelivered: read(&counters.redelivered),
            emitted: read(&counters.emitted),
            acknowledged: read(&counters.acknowledged),
            unmapped: read(&counters.unmapped),
            refused: read(&counters.refused),
            emit_failures: read(&counters.emit_failures),
            source_failures: read(&counters.source_failures),
            gaps: read(&counters.gaps),
            in_flight: read(&counters.in_flight),
            is_source_connected: source.is_connected,
            is_broker_connected: self.is_broker_connected(),
            lag: source.lag,
            oldest_secs: source.oldest.map(|age| age.as_secs()),
        }
    }

    /// Checks whether the relay moves records: it is not stopping, its source is connected, and its broker accepts.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub fn check_ready(&self) -> Result<(), String> {
        let because = |what: &str| {
            let error = self.shared.last_error.lock().unpoisoned().clone();
            Err(error.map_or_else(|| what.to_owned(), |error| format!("{what}: {error}")))
        };
        if self.shared.is_stopping.load(Ordering::Relaxed) {
            return Err("stopping".to_owned());
        }
        match (self.source().is_connected, self.is_broker_connected()) {
            (false, _) => because("the source is not connected"),
            (_, false) => because("the broker does not accept events"),
            (true, true) => Ok(()),
        }
    }

    /// Returns the state of the source, which is not connected after a call of it has failed.
    fn source(&self) -> SourceStatus {
        let mut status = self.shared.source.status();
        status.is_connected &= !self.shared.is_source_failing.load(Ordering::Relaxed);
        status
    }

    /// An emitter connects when it has something to emit: before that nothing is known to be wrong.
    fn is_broker_connected(&self) -> bool {
        let health = self.shared.manager.health();
        let is_lost = health.publishing_since.is_none() && health.num_published > 0;
        !is_lost && !self.shared.is_broker_failing.load(Ordering::Relaxed)
    }

    /// Records that the relay ends: it is not ready any more.
    pub(crate) fn stopping(&self) {
        self.shared.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Counts records that were read.
    pub(crate) fn read(&self, count: usize, redelivered: usize) {
        self.shared.counters.read.fetch_add(count as u64, Ordering::Relaxed);
        let counter = &self.shared.counters.redelivered;
        counter.fetch_add(redelivered as u64, Ordering::Relaxed);
    }

    /// Records how many records are not acknowledged.
    pub(crate) fn in_flight(&self, count: usize) {
        self.shared.counters.in_flight.store(count as u64, Ordering::Relaxed);
    }

    /// Records an event that was accepted, and whether no other one is waiting to be emitted again.
    pub(crate) fn emitted(&self, is_healthy: bool) {
        self.shared.counters.emitted.fetch_add(1, Ordering::Relaxed);
        if is_healthy {
            self.shared.is_broker_failing.store(false, Ordering::Relaxed);
        }
    }

    /// Counts records that were acknowledged.
    pub(crate) fn acknowledged(&self, count: usize) {
        self.shared
            .counters
            .acknowledged
            .fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Records that emitting failed for all events.
    pub(crate) fn emit_failed(&self, error: &Error) {
        self.shared.counters.emit_failures.fetch_add(1, Ordering::Relaxed);
        self.shared.is_broker_failing.store(true, Ordering::Relaxed);
        let text = Escaped(error).to_string();
        if let Some(suppressed) = self.shared.broker_log.pass() {
            quietly(|| {
                tracing::warn!(
                    suppressed,
                    "cannot emit, trying on; nothing is acknowledged meanwhile: {text}"
                )
            });
        }
        *self.shared.last_error.lock().unpoisoned() = Some(text);
    }

    /// Records that the source could not be read, acknowledged, or given a dead letter.
    pub(crate) fn source_failed(&self, attempt: &str, error: &Error) {
        self.shared.counters.source_failures.fetch_add(1, Ordering::Relaxed);
        self.shared.is_source_failing.store(true, Ordering::Relaxed);
        let text = Escaped(error).to_string();
        if let Some(suppressed) = self.shared.source_log.pass() {
            quietly(|| tracing::warn!(suppressed, "cannot {attempt} the source, trying on: {text}"));
        }
        *self.shared.last_error.lock().unpoisoned() = Some(text);
    }

    /// Records that a call of the source succeeded.
    pub(crate) fn source_worked(&self) {
        self.shared.is_source_failing.store(false, Ordering::Relaxed);
    }

    /// Records a dead letter.
    pub(crate) fn dead(&self, cause: &Cause, position: &impl std::fmt::Display) {
        let counter = match cause {
            Cause::Unmapped(_) => &self.shared.counters.unmapped,
            Cause::Refused(_) => &self.shared.counters.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = self.shared.dead_log.pass() {
            let (position, reason) = (Escaped(position), Escaped(cause));
            quietly(|| tracing::warn!(suppressed, "dead letter: {position}: {reason}"));
        }
    }

    /// Records that records were gone.
    pub(crate) fn gap(&self, num_records: u64, reason: &str) {
        self.shared.counters.gaps.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = self.shared.gap_log.pass() {
            let reason = Escaped(reason);
            quietly(|| {
                tracing::warn!(
                    suppressed,
                    num_records,
                    "records were lost before they were emitted: {reason}"
                )
            });
        }
    }
}

impl std::fmt::Debug for RelayStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayStatus").field("numbers", &self.numbers()).finish()
    }
}
