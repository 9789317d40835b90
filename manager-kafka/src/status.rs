//! Health, and what failed last in each direction: clients of librdkafka connect by themselves and only tell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use manager_api::backend;
pub(crate) use manager_api::backend::Role;

use crate::error::Failure;

#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) common: Arc<backend::Status>,
    /// The brokers, for people.
    label: String,
    publishing: Last,
    listening: Last,
}

/// What failed last in one direction, until the brokers answer again.
#[derive(Debug, Default)]
struct Last {
    /// Whether there is a failure; looked at for every message.
    is_some: AtomicBool,
    failure: Mutex<Option<Failure>>,
}

impl Status {
    pub(crate) fn new(label: &str) -> Self {
        Self {
            common: Arc::new(backend::Status::new("Kafka")),
            label: label.to_owned(),
            publishing: Last::default(),
            listening: Last::default(),
        }
    }

    pub(crate) fn published(&self) {
        self.common.published();
        self.up(Role::Publishing);
    }

    /// Takes note that the brokers answer.
    pub(crate) fn up(&self, role: Role) {
        let last = self.last(role);
        if last.is_some.load(Ordering::Relaxed) {
            last.set(None);
        }
        self.common.up(role, &self.label);
    }

    /// Takes note that no broker answers, or that there is nothing to connect for.
    pub(crate) fn down(&self, role: Role) {
        self.common.down(role);
    }

    /// Health has a subscription until the answer is dropped.
    pub(crate) fn begins_to_listen(&self) -> backend::Connected {
        self.common.connected(Role::Listening, &self.label)
    }

    /// Takes note of something that failed or was lost.
    pub(crate) fn failed(&self, role: Role, failure: &Failure) {
        if failure.is_refused() {
            self.common.refused();
        }
        self.common.failed(&format_args!("Kafka, {role:?}: {failure}"));
        self.last(role).set(Some(failure.clone()));
    }

    /// Returns what failed since the brokers last answered.
    pub(crate) fn failure(&self, role: Role) -> Option<Failure> {
        self.last(role).failure().clone()
    }

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
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
