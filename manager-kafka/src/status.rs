//! The health of a manager, and the latest failure in each direction as reported by librdkafka's clients, which
//! connect by themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use manager_api::backend;
pub(crate) use manager_api::backend::Role;
use manager_api::lock::Unpoisoned;

use crate::error::Failure;

/// The [`Status`](backend::Status) of a manager, with the latest failures.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) common: Arc<backend::Status>,
    /// The servers, human-readable.
    label: String,
    publishing: Last,
    listening: Last,
}

/// The latest failure in one direction, until the brokers respond again.
#[derive(Debug, Default)]
struct Last {
    /// Whether there is a failure; read for every message.
    is_some: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Status {
    /// Creates a status without connections.
    pub(crate) fn new(label: &str) -> Self {
        Self {
            common: Arc::new(backend::Status::new("Kafka")),
            label: label.to_owned(),
            publishing: Last::default(),
            listening: Last::default(),
        }
    }

    /// Counts a message that the brokers accepted.
    pub(crate) fn published(&self) {
        self.common.published();
        self.up(Role::Publishing);
    }

    /// Records that the brokers respond.
    pub(crate) fn up(&self, role: Role) {
        let last = self.last(role);
        if last.is_some.load(Ordering::Relaxed) {
            last.set(None);
        }
        self.common.up(role, &self.label);
    }

    /// Records that no broker responds, or that there is nothing to connect for.
    pub(crate) fn down(&self, role: Role) {
        self.common.down(role);
    }

    /// Records a subscription, until the returned guard is dropped.
    pub(crate) fn begins_to_listen(&self) -> backend::Connected {
        self.common.connected(Role::Listening, &self.label)
    }

    /// Records a failure.
    pub(crate) fn failed(&self, role: Role, failure: &Failure) {
        if failure.is_refused() {
            self.common.refused();
        }
        self.common.failed(&format_args!("Kafka, {role:?}: {failure}"));
        self.last(role).set(Some(failure.clone()));
    }

    /// Returns the latest failure since the brokers last responded.
    pub(crate) fn failure(&self, role: Role) -> Option<Failure> {
        self.last(role).failure().clone()
    }

    /// Returns the latest failure in a direction.
    fn last(&self, role: Role) -> &Last {
        match role {
            Role::Publishing => &self.publishing,
            Role::Listening => &self.listening,
        }
    }
}

impl Last {
    fn set(&self, failure: Option<Failure>) {
        let mut last = self.failure();
        self.is_some.store(failure.is_some(), Ordering::Relaxed);
        *last = failure;
    }

    fn failure(&self) -> MutexGuard<'_, Option<Failure>> {
        self.failure.lock().unpoisoned()
    }
}
