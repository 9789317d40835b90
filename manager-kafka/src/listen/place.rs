//! The consumer of a subscription, and its place in the topic.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use super::partitions::Positions;
use crate::connect::Connector;
use crate::context::Context;
use crate::error::Failure;
use crate::refusal::{Right, is_about_rights, is_gone, is_lost_place};
use crate::status::{Role, Status};
use crate::topic::Known;

/// The time within which a client's report follows a failure.
const REPORT_WAIT: Duration = Duration::from_millis(10);
/// An offset that no partition reaches.
const FAR_BEYOND: i64 = i64::MAX / 2;
/// The maximum number of a client's reports that are read at once.
const MAX_REPORTS: usize = 100;

/// A consumer of every partition of the topic, without a group. Its methods block.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    pub(super) consumer: Arc<BaseConsumer<Context>>,
}

impl Place {
    /// Creates a consumer that reads nothing yet.
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>) -> Result<Self, KafkaError> {
        let context = Context {
            status: status.clone(),
            role: Role::Listening,
            trouble: Arc::default(),
            topic: connector.topic().to_owned(),
        };
        let consumer = connector.consumer().create_with_context(context)?;
        Ok(Self {
            connector,
            status,
            consumer: Arc::new(consumer),
        })
    }

    /// Waits for a message, or an error, for at most `limit`.
    pub(crate) fn poll(&self, limit: Duration) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        self.consumer.poll(limit)
    }

    /// Returns whether messages may be read; false without a response in time. Nothing is read until the next
    /// [`assign`](Self::assign).
    ///
    /// Requests a message far beyond the end of a partition: the brokers refuse that at once, because it does
    /// not exist, or because of a missing right. A request for future messages would not return before there
    /// are any.
    pub(crate) fn may_read(&self, positions: &Positions, limit: Duration) -> Result<bool, Failure> {
        let Some(partition) = positions.first() else {
            return Ok(true);
        };
        let mut beyond = Positions::default();
        beyond.set(partition, FAR_BEYOND);
        self.assign(&beyond)?;
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let Some(Err(error)) = self.poll(left) else {
                continue;
            };
            match error.rdkafka_error_code() {
                Some(code) if is_about_rights(code) => {
                    return Err(self.refused(Right::Read, "reading the topic", error));
                }
                // A topic that is gone is handled by the next reading.
                Some(code) if is_lost_place(code) || is_gone(code) => return Ok(true),
                _ => {}
            }
        }
    }

    /// Creates the failure of an attempt that needs a right on the topic.
    pub(crate) fn refused(&self, right: Right, attempt: &str, error: KafkaError) -> Failure {
        Failure::needing(right, self.connector.topic(), attempt, error)
    }

    /// Reads from `positions` on, regardless of what was read or prefetched.
    pub(crate) fn assign(&self, positions: &Positions) -> Result<(), Failure> {
        let list = positions.list(self.connector.topic());
        let assigned = list.and_then(|list| self.consumer.assign(&list));
        assigned.map_err(|error| Failure::new("reading the topic", error))
    }

    /// Continues from `positions` as far as they still exist: from the oldest message that is left if older ones
    /// are gone, and from the end if the log is now shorter. A topic that `is_new` is read from its beginning, and of one
    /// that `is_log` the first partition only.
    /// `None` if the topic is not ready yet.
    pub(crate) fn resume(
        &self,
        positions: &Positions,
        is_new: bool,
        is_log: bool,
        limit: Duration,
    ) -> Result<Option<Positions>, Failure> {
        let Some(mut partitions) = self.connector.partitions(self.consumer.client(), limit)? else {
            return Ok(None);
        };
        if is_log {
            partitions.truncate(1);
        }
        let mut resumed = Positions::default();
        for partition in partitions {
            let marks = self.consumer.fetch_watermarks(self.connector.topic(), partition, limit);
            let failed = |error| self.refused(Right::Describe, "asking for the ends of the topic", error);
            let (low, high) = marks.map_err(failed)?;
            let next = match positions.get(partition) {
                Some(next) if !is_new => next.clamp(low, high.max(low)),
                _ => low,
            };
            resumed.set(partition, next);
        }
        self.assign(&resumed)?;
        Ok(Some(resumed))
    }

    /// Requests the state of the topic.
    pub(crate) fn look(&self, limit: Duration) -> Seen {
        match self.connector.known_partitions(self.consumer.client(), limit) {
            Ok(Known::Partitions(partitions)) => Seen::Partitions(partitions),
            Ok(Known::Missing) => Seen::Gone,
            Err(failure) if failure.is_refused() => Seen::Refused(failure),
            Ok(Known::NotReady) | Err(_) => Seen::Nothing,
        }
    }

    /// Explains a failure: the client's own report says more than a missing response, and what the servers speak
    /// says more than a connection that ended. Blocks for little more than `limit`.
    pub(crate) fn explained(&self, failure: Failure, limit: Duration) -> Failure {
        for _ in 0..MAX_REPORTS {
            if self.poll(REPORT_WAIT).is_none() {
                break;
            }
        }
        let failure = match self.status.failure(Role::Listening) {
            Some(reported) if !failure.is_refused() => reported,
            _ => failure,
        };
        self.connector.explained(failure, limit)
    }
}

/// The state of the topic.
pub(crate) enum Seen {
    /// Its partitions.
    Partitions(Vec<i32>),
    /// It is gone.
    Gone,
    /// The user may not request it.
    Refused(Failure),
    /// Unknown for now.
    Nothing,
}
