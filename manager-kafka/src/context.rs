//! The reports of librdkafka's clients: errors and log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use manager_api::log::{Escaped, quietly};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::error::Failure;
use crate::refusal::{is_about_rights, is_lost_place};
use crate::status::{Role, Status};

/// The receiver of a client's reports.
pub(crate) struct Context {
    pub(crate) status: Arc<Status>,
    pub(crate) role: Role,
    pub(crate) trouble: Arc<Trouble>,
    pub(crate) topic: String,
}

/// The trouble that must be resolved before more can be sent.
#[derive(Debug, Default)]
pub(crate) struct Trouble(AtomicU8);

impl Trouble {
    /// The topic is gone.
    pub(crate) const TOPIC: u8 = 1;
    /// The client is unusable.
    pub(crate) const CLIENT: u8 = 2;

    /// Returns the current trouble; zero if there is none.
    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Records the consequence of `code` for further messages.
    pub(crate) fn note(&self, code: Option<RDKafkaErrorCode>) {
        use RDKafkaErrorCode::*;
        match code {
            Some(UnknownTopic | UnknownPartition | UnknownTopicOrPartition) => {
                self.0.fetch_max(Self::TOPIC, Ordering::Relaxed);
            }
            Some(Fatal) => {
                self.client_is_lost();
            }
            _ => {}
        }
    }

    /// Records that the client must be replaced.
    pub(crate) fn client_is_lost(&self) {
        self.0.store(Self::CLIENT, Ordering::Relaxed);
    }

    /// Returns whether the client must be replaced, and clears that.
    pub(crate) fn take_lost_client(&self) -> bool {
        let taken = self
            .0
            .compare_exchange(Self::CLIENT, 0, Ordering::Relaxed, Ordering::Relaxed);
        taken.is_ok()
    }

    /// Clears the trouble.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl ClientContext for Context {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        self.trouble.note(code);
        if code.is_some_and(|code| self.is_reported_elsewhere(code)) {
            return;
        }
        let is_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        if is_down {
            self.status.down(self.role);
        }
        // The cause of each broker's failure says more than that all of them are down.
        if !is_down || self.status.failure(self.role).is_none() {
            self.status
                .failed(self.role, &Failure::reported(&self.topic, error, reason));
        }
    }
}

impl Context {
    /// Returns whether `code` has no meaning here, or is reported with more context elsewhere.
    fn is_reported_elsewhere(&self, code: RDKafkaErrorCode) -> bool {
        match self.role {
            // librdkafka looks up the group whose name it requires, and which is never joined: no right on it is
            // needed.
            Role::Listening => {
                code == RDKafkaErrorCode::GroupAuthorizationFailed || is_about_rights(code) || is_lost_place(code)
            }
            Role::Publishing => false,
        }
    }
}

impl ConsumerContext for Context {}

/// A context that ignores errors: each request returns its own.
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(facility, message);
    }

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// Writes a line of librdkafka's log at `debug`: relevant ones are reported as errors as well.
fn log(facility: &str, message: &str) {
    quietly(|| tracing::debug!(target: "manager_kafka", facility, "{}", Escaped(message)));
}
