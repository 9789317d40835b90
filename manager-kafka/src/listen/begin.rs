//! Where a subscription begins: at the end of the topic, or in its past.

use std::time::Duration;

use manager_api::diagnosis::Code;
use rdkafka::Offset;
use rdkafka::consumer::Consumer;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;

use super::partitions::Positions;
use super::place::Place;
use crate::error::Failure;
use crate::refusal::Right;

/// The place of a message in the topic, and its time in milliseconds, by which it is told from the one that has this place in
/// a topic that was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The offset in its partition.
    pub(crate) offset: i64,
    /// The time that its publisher, or the broker, has given it.
    pub(crate) timestamp: i64,
}

impl Mark {
    /// Reads the mark of a message.
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        Self {
            offset: message.offset(),
            timestamp: message.timestamp().to_millis().unwrap_or_default(),
        }
    }
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Beginning {
    /// At the end of every partition.
    End,
    /// At the end of the only partition.
    Now,
    /// At the messages since that time, in milliseconds of the clock of the publishers; at the end if there are none.
    Since(i64),
    /// Behind a message; at the beginning if that is not there.
    Behind(Mark),
    /// At the beginning, and something before it is missing.
    Elsewhere,
}

/// The place at which a subscription begins.
#[derive(Debug)]
pub(super) struct Begun {
    /// The next offset of each partition.
    pub(super) positions: Positions,
    /// The message behind which it begins, which is the first to be read.
    pub(super) expected: Option<Mark>,
    /// The offset behind the last message of the past, if there is any.
    pub(super) end_of_past: Option<i64>,
    /// Why messages before the first one may be missing.
    pub(super) gap: Option<&'static str>,
}

impl Place {
    /// Begins to read; `None` if the partitions are not ready yet.
    pub(super) fn begin(&self, beginning: Beginning, limit: Duration) -> Result<Option<Begun>, Failure> {
        let Some(partitions) = self.connector.partitions(self.consumer.client(), limit)? else {
            return Ok(None);
        };
        let begun = match (beginning, &*partitions) {
            (Beginning::End, _) => {
                let ends = self.offsets(&partitions, Offset::End, limit)?;
                ends.map(|positions| Begun {
                    positions,
                    expected: None,
                    end_of_past: None,
                    gap: None,
                })
            }
            (_, [partition]) => self.begin_in_log(*partition, beginning, limit)?,
            (_, several) => {
                let (topic, count) = (self.connector.topic(), several.len());
                let what =
                    format!("topic {topic:?} has {count} partitions, which have no common order: a log needs one");
                return Err(Failure::wrong_url(Code::Refused, what));
            }
        };
        let Some(begun) = begun else { return Ok(None) };
        if !self.may_read(&begun.positions, limit)? {
            return Ok(None);
        }
        self.assign(&begun.positions)?;
        Ok(Some(begun))
    }

    /// Finds the place in the past at which to begin.
    fn begin_in_log(&self, partition: i32, beginning: Beginning, limit: Duration) -> Result<Option<Begun>, Failure> {
        let marks = self.consumer.fetch_watermarks(self.connector.topic(), partition, limit);
        let (low, high) = marks.map_err(|error| self.unknown_ends(error))?;
        let (mut expected, mut gap) = (None, None);
        let next = match beginning {
            Beginning::End | Beginning::Now => high,
            Beginning::Since(time) => {
                let found = self.offsets(&[partition], Offset::Offset(time), limit)?;
                // None is as late.
                found.and_then(|found| found.get(partition)).unwrap_or(high).max(low)
            }
            Beginning::Behind(mark) if (low..high).contains(&mark.offset) => {
                expected = Some(mark);
                mark.offset
            }
            Beginning::Behind(_) | Beginning::Elsewhere => {
                gap = Some("the position is not in the topic");
                low
            }
        };
        let mut positions = Positions::default();
        positions.set(partition, next);
        let num_known = i64::from(expected.is_some());
        Ok(Some(Begun {
            positions,
            expected,
            end_of_past: Some(high).filter(|high| *high > next + num_known),
            gap,
        }))
    }

    /// Requests the offsets of partitions at a time, or their ends; `None` if there is none at one.
    fn offsets(&self, partitions: &[i32], at: Offset, limit: Duration) -> Result<Option<Positions>, Failure> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            let added = asked.add_partition_offset(self.connector.topic(), *partition, at);
            added.map_err(|error| self.unknown_ends(error))?;
        }
        let found = self.consumer.offsets_for_times(asked, limit);
        let found = found.map_err(|error| self.unknown_ends(error))?;
        let mut positions = Positions::default();
        for partition in found.elements() {
            partition.error().map_err(|error| self.unknown_ends(error))?;
            let Offset::Offset(next) = partition.offset() else {
                return Ok(None);
            };
            positions.set(partition.partition(), next);
        }
        Ok(Some(positions))
    }

    /// Creates the failure of a request for the ends of the topic.
    fn unknown_ends(&self, error: rdkafka::error::KafkaError) -> Failure {
        self.refused(Right::Describe, "asking for the end of the topic", error)
    }
}
