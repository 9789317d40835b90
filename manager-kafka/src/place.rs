//! A consumer, and where in the topic it reads.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::connect::Connector;
use crate::context::Context;
use crate::error::Failure;
use crate::partitions::Positions;
use crate::status::{Role, Status};
use crate::topic::Known;

/// How long a client's report may take to come after the failure itself.
const REPORT_WAIT: Duration = Duration::from_millis(10);
/// How many reports of a client are taken at once.
const MAX_REPORTS: usize = 100;

/// Reads every partition of the topic, in no group. Its methods block.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) connector: Arc<Connector>,
    pub(crate) status: Arc<Status>,
    consumer: Arc<BaseConsumer<Context>>,
}

impl Place {
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>) -> Result<Self, KafkaError> {
        let context = Context {
            status: status.clone(),
            role: Role::Listening,
            trouble: Arc::default(),
        };
        let consumer = connector.consumer().create_with_context(context)?;
        Ok(Self {
            connector,
            status,
            consumer: Arc::new(consumer),
        })
    }

    pub(crate) fn poll(&self, limit: Duration) -> Option<Result<BorrowedMessage<'_>, KafkaError>> {
        self.consumer.poll(limit)
    }

    /// Begins at the end of every partition; `None` if they are not ready yet.
    pub(crate) fn begin(&self, limit: Duration) -> Result<Option<Positions>, Failure> {
        let Some(partitions) = self.connector.partitions(self.consumer.client(), limit)? else {
            return Ok(None);
        };
        let failed = |error| Failure::new("asking for the end of the topic", error);
        let mut ends = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let added = ends.add_partition_offset(self.connector.topic(), partition, Offset::End);
            added.map_err(failed)?;
        }
        let ends = self.consumer.offsets_for_times(ends, limit).map_err(failed)?;
        let mut positions = Positions::default();
        for end in ends.elements() {
            end.error().map_err(failed)?;
            let Offset::Offset(next) = end.offset() else {
                return Ok(None);
            };
            positions.set(end.partition(), next);
        }
        self.assign(&positions)?;
        Ok(Some(positions))
    }

    /// Reads from `positions` on, whatever was read or fetched before.
    pub(crate) fn assign(&self, positions: &Positions) -> Result<(), Failure> {
        let list = positions.list(self.connector.topic());
        let assigned = list.and_then(|list| self.consumer.assign(&list));
        assigned.map_err(|error| Failure::new("reading the topic", error))
    }

    /// Goes on from `positions` as far as they still exist: where messages are gone from the broker, from the oldest that is left, and where
    /// the log became shorter than what was read, from its end. A topic that `is_new` is read from its beginning. `None` if the topic is not
    /// ready yet.
    pub(crate) fn resume(
        &self,
        positions: &Positions,
        is_new: bool,
        limit: Duration,
    ) -> Result<Option<Positions>, Failure> {
        let Some(partitions) = self.connector.partitions(self.consumer.client(), limit)? else {
            return Ok(None);
        };
        let mut resumed = Positions::default();
        for partition in partitions {
            let marks = self.consumer.fetch_watermarks(self.connector.topic(), partition, limit);
            let (low, high) = marks.map_err(|error| Failure::new("asking for the ends of the topic", error))?;
            let next = match positions.get(partition) {
                Some(next) if !is_new => next.clamp(low, high.max(low)),
                _ => low,
            };
            resumed.set(partition, next);
        }
        self.assign(&resumed)?;
        Ok(Some(resumed))
    }

    /// Asks which partitions there are now; empty while that is not known, `None` if the topic is gone.
    pub(crate) fn look(&self, limit: Duration) -> Option<Vec<i32>> {
        match self.connector.known_partitions(self.consumer.client(), limit) {
            Ok(Known::Partitions(partitions)) => {
                self.status.up(Role::Listening);
                Some(partitions)
            }
            Ok(Known::Missing) => None,
            Ok(Known::NotReady) | Err(_) => Some(Vec::new()),
        }
    }

    /// Finds words for a failure: what the client itself has reported says more than that there was no answer.
    pub(crate) fn explained(&self, failure: Failure) -> Failure {
        for _ in 0..MAX_REPORTS {
            if self.poll(REPORT_WAIT).is_none() {
                break;
            }
        }
        match self.status.failure(Role::Listening) {
            Some(reported) if !failure.is_refused() => reported,
            _ => failure,
        }
    }
}

/// Tells whether messages can no longer be read from where they were.
pub(crate) fn is_lost_place(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(code, AutoOffsetReset | LogTruncation | OffsetOutOfRange | NoOffset)
}

/// Tells whether the topic or a part of it is gone.
pub(crate) fn is_gone(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        UnknownTopicOrPartition | UnknownTopic | UnknownPartition | UnknownTopicId
    )
}

/// Tells whether a message is there but cannot be read.
pub(crate) fn is_unreadable(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::*;
    matches!(
        code,
        BadMessage | BadCompression | NotImplemented | InvalidMessage | InvalidMessageSize
    )
}
