//! The core of an engine: what all its sessions share.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::budget::Budget;
use crate::config::Config;
use crate::connection::admission::Admission;
use crate::connection::clock::Clock;
use crate::connection::rate::Rates;
use crate::connection::session::EngineSession;
use crate::connection::state::Limits;
use crate::connection::table::SessionTable;
use crate::connection::timer::TimerWheel;
use crate::log::Logs;
use crate::metrics::Counters;

/// The state that all sessions of an engine share.
pub(crate) struct Core {
    /// The settings as they were given.
    pub(crate) config: Config,
    /// The limits of a session, in the units of its state.
    pub(crate) limits: Limits,
    /// The time of all deadlines.
    pub(crate) clock: Clock,
    /// When sessions have to be looked at.
    pub(crate) timer: TimerWheel,
    /// All open sessions.
    pub(crate) sessions: SessionTable<EngineSession>,
    /// The counters that [`Metrics`](crate::Metrics) are a snapshot of.
    pub(crate) counters: Counters,
    /// Warnings, each with a rate limit.
    pub(crate) logs: Logs,
    /// The bytes that wait for all clients together.
    pub(crate) budget: Arc<Budget>,
    /// The bytes of incomplete messages of all clients together.
    pub(crate) inbound: Arc<Budget>,
    /// The number of sessions, and the shutdown.
    pub(crate) admission: Arc<Admission>,
    /// The handshakes a second, in total and of each address.
    pub(crate) rates: Rates,
    /// The runtime that served the last handshake.
    runtime: Mutex<Option<Handle>>,
}

impl Core {
    /// Creates the core of an engine; nothing runs yet.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            limits: Limits::new(&config),
            clock: Clock::new(),
            timer: TimerWheel::new(&config),
            sessions: SessionTable::new(),
            counters: Counters::default(),
            logs: Logs::new(),
            budget: Budget::new(config.outbox_total_limit),
            inbound: Budget::new(config.inbound_total_limit),
            admission: Admission::new(config.max_sessions),
            rates: Rates::new(
                config.max_handshakes_per_second,
                config.max_handshakes_per_second_per_peer,
            ),
            runtime: Mutex::default(),
            config,
        }
    }

    /// Keeps the runtime of a handshake for the tasks that no request starts.
    pub(crate) fn note_runtime(&self) {
        if let Ok(runtime) = Handle::try_current() {
            *self.runtime.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
        }
    }

    /// Spawns a task on a runtime that serves clients, from any thread: the caller's own runtime
    /// may be the application's, and end.
    ///
    /// If the runtime has ended the task is dropped at once: no lock may be held that its drop
    /// takes.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // The lock is not held while the task may be dropped.
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).clone();
        runtime.expect("set before there is a session").spawn(task);
    }

    /// Spawns a task on the runtime that serves the request or connection at hand; there may be one
    /// for each thread.
    pub(crate) fn spawn_here(&self, task: impl Future<Output = ()> + Send + 'static) {
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(task)),
            Err(_) => self.spawn(task),
        }
    }
}
