//! The thread that polls the consumer: records into readings, and polls that keep the membership while nothing is taken.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use manager_api::Error;
use manager_api::lock::Unpoisoned;
use manager_api::source::{Fault, Place, Position, Reading, Record};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::Shared;
use super::members::{Membership, Progress};
use crate::error::Failure;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);
/// How long a reading waits to be taken before partitions are paused and polling goes on: much less than
/// `max.poll.interval.ms`, after which the group would take the member for stuck.
const PATIENCE: Duration = Duration::from_secs(1);
/// The pause between two attempts to hand a reading on.
const LOOK: Duration = Duration::from_millis(1);
/// The limit of a request about a partition.
const REQUEST: Duration = Duration::from_secs(5);
/// How often a jump of offsets is looked into, which compaction makes as well.
const LOOK_INTO: Duration = Duration::from_secs(1);

type Readings = Sender<Result<Reading, Error>>;

/// The receiver of readings is gone, or the source was closed.
struct Ended;

/// Polls until the source is closed or dropped.
pub(super) fn run(shared: &Arc<Shared>, readings: &Readings) {
    let config = shared.config();
    let consumer = config.create_with_context(Membership(shared.state.clone()));
    let failed = |error| shared.error(Failure::new("creating a consumer", error));
    let consumer: Arc<BaseConsumer<Membership>> = match consumer.map_err(failed) {
        Ok(consumer) => Arc::new(consumer),
        // A receiver that is gone does not want to know.
        Err(error) => return drop(readings.blocking_send(Err(error))),
    };
    let topics: Vec<_> = shared.options.topics.iter().map(String::as_str).collect();
    if let Err(error) = consumer.subscribe(&topics) {
        let error = shared.error(Failure::new("joining the group", error));
        return drop(readings.blocking_send(Err(error)));
    }
    *shared.consumer.lock().unpoisoned() = Some(consumer.clone());
    let names = topics.iter().map(|topic| ((*topic).to_owned(), (*topic).into()));
    let mut poller = Poller {
        shared,
        readings,
        consumer,
        names: names.collect(),
        looked_into: None,
        overflow: Vec::new(),
        is_announced: false,
    };
    while poller.turn().is_ok() {}
}

/// The state of the thread.
struct Poller<'a> {
    shared: &'a Shared,
    readings: &'a Readings,
    consumer: Arc<BaseConsumer<Membership>>,
    names: HashMap<String, Arc<str>>,
    looked_into: Option<Instant>,
    /// Records that came while partitions were paused.
    overflow: Vec<Record>,
    is_announced: bool,
}

impl Poller<'_> {
    /// Polls for a batch, and hands it on.
    fn turn(&mut self) -> Result<(), Ended> {
        self.check_wanted()?;
        let consumer = self.consumer.clone();
        let mut records = std::mem::take(&mut self.overflow);
        let mut size = records.iter().map(Record::size).sum::<usize>();
        let most = self.shared.options.max_batch.max(1);
        let limit = self.shared.options.kafka.common.max_buffered_bytes;
        let mut wait = POLL;
        // What was kept does not wait for more.
        if !records.is_empty() {
            wait = Duration::ZERO;
        }
        while let Some(polled) = consumer.poll(wait) {
            match polled {
                Ok(message) => {
                    let record = self.record(&message)?;
                    size += record.size();
                    records.push(record);
                }
                Err(error) => self.failed(error)?,
            }
            if records.len() >= most || size >= limit {
                break;
            }
            wait = Duration::ZERO;
        }
        if let Some(failure) = self.shared.state.take_failure() {
            self.report(failure)?;
        }
        let is_first = !self.is_announced && self.shared.state.status().is_connected;
        self.is_announced |= is_first;
        match records.is_empty() && !is_first {
            true => Ok(()),
            false => self.hand_on(records),
        }
    }

    fn check_wanted(&self) -> Result<(), Ended> {
        match self.readings.is_closed() || self.shared.is_closed.load(Ordering::Relaxed) {
            true => Err(Ended),
            false => Ok(()),
        }
    }

    /// Makes a record of a message.
    fn record(&mut self, message: &BorrowedMessage<'_>) -> Result<Record, Ended> {
        self.shared.state.up();
        let topic = message.topic();
        let name = self
            .names
            .entry(topic.to_owned())
            .or_insert_with(|| topic.into())
            .clone();
        let (partition, offset) = (message.partition(), message.offset());
        if let Some(progress) = self.shared.state.progress(&name, partition) {
            self.check_place(&name, partition, offset, progress)?;
            self.shared.state.read(&name, partition, offset + 1);
        }
        let position = Position {
            name,
            place: Place::Offset { partition, offset },
        };
        let body = message.payload().unwrap_or_default();
        let mut record = Record::new(position, Bytes::copy_from_slice(body));
        record.key = message.key().map(Bytes::copy_from_slice);
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        record.headers = headers
            .map(|header| {
                (
                    header.key.into(),
                    Bytes::copy_from_slice(header.value.unwrap_or_default()),
                )
            })
            .collect();
        let size = record.size();
        if size > self.shared.options.kafka.common.max_message_bytes {
            record.fault = Some(Fault::TooLarge(size));
            (record.body, record.headers) = (Bytes::new(), Vec::new());
        }
        Ok(record)
    }

    /// Reports a gap if records before this one are gone although the group has not read them.
    fn check_place(&mut self, name: &Arc<str>, partition: i32, offset: i64, progress: Progress) -> Result<(), Ended> {
        let expected = match progress.next {
            Some(next) if next >= offset => return Ok(()),
            Some(_) if self.looked_into.is_some_and(|then| then.elapsed() < LOOK_INTO) => return Ok(()),
            Some(next) => Some(next),
            None => self.committed(name, partition),
        };
        self.looked_into = Some(Instant::now());
        let Some(expected) = expected.filter(|expected| *expected < offset) else {
            return Ok(());
        };
        // Compaction and transactions leave holes; what is gone from the beginning of the log is a loss.
        let oldest = self.consumer.fetch_watermarks(name, partition, REQUEST);
        let Some(num_lost) = oldest
            .ok()
            .map(|(oldest, _)| oldest - expected)
            .filter(|lost| *lost > 0)
        else {
            return Ok(());
        };
        self.hand(Ok(Reading::Gap {
            num_records: num_lost.unsigned_abs(),
            reason: format!("offsets {expected} on of partition {partition} of the topic {name:?} were deleted"),
        }))
    }

    /// Requests the offset that the group has committed.
    fn committed(&self, name: &Arc<str>, partition: i32) -> Option<i64> {
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(name, partition);
        let committed = self.consumer.committed_offsets(list, REQUEST).ok()?;
        match committed.elements().first()?.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }

    /// Handles an error of a poll.
    fn failed(&mut self, error: KafkaError) -> Result<(), Ended> {
        use RDKafkaErrorCode::{
            GroupAuthorizationFailed, PartitionEOF, TopicAuthorizationFailed, UnknownTopicOrPartition,
        };
        let options = &self.shared.options;
        let failure = match error.rdkafka_error_code() {
            Some(PartitionEOF) => return Ok(()),
            Some(GroupAuthorizationFailed) => Failure::missing_right(
                format!("the right Read on the group {:?} is missing", options.group),
                error,
            ),
            Some(TopicAuthorizationFailed) => {
                let topics = options.topics.join(", ");
                Failure::missing_right(format!("the right Read on the topics {topics} is missing"), error)
            }
            Some(UnknownTopicOrPartition) => Failure::no_topic(&options.topics.join(", ")),
            // It is reported with its reason as well.
            _ => return Ok(()),
        };
        self.report(failure)
    }

    /// Hands a failure on, if the last reading was taken.
    fn report(&mut self, failure: Failure) -> Result<(), Ended> {
        // What comes next tells that the failure is over, even if it has no records.
        self.is_announced = false;
        let failure = self.shared.connector.explained(failure, PATIENCE);
        match self.readings.try_send(Err(self.shared.error(failure))) {
            Err(TrySendError::Closed(_)) => Err(Ended),
            Ok(()) | Err(TrySendError::Full(_)) => Ok(()),
        }
    }

    /// Hands records on: those whose partition is still this member's.
    fn hand_on(&mut self, mut records: Vec<Record>) -> Result<(), Ended> {
        let state = &self.shared.state;
        records.retain(|record| match record.position.place {
            Place::Offset { partition, .. } => state.progress(&record.position.name, partition).is_some(),
            _ => false,
        });
        for record in &records {
            if let Place::Offset { partition, offset } = record.position.place {
                state.handed_out(&record.position.name, partition, offset);
            }
        }
        self.hand(Ok(Reading::Records(records)))
    }

    /// Waits until a reading is taken. After a while partitions are paused, and polling goes on.
    fn hand(&mut self, reading: Result<Reading, Error>) -> Result<(), Ended> {
        let began = Instant::now();
        let mut reading = reading;
        let mut is_paused = false;
        loop {
            self.check_wanted()?;
            reading = match self.readings.try_send(reading) {
                Ok(()) => break,
                Err(TrySendError::Closed(_)) => return Err(Ended),
                Err(TrySendError::Full(reading)) => reading,
            };
            match (is_paused, began.elapsed() > PATIENCE) {
                (false, false) => std::thread::sleep(LOOK),
                (false, true) => is_paused = self.pause(),
                (true, _) => self.poll_paused()?,
            }
        }
        if is_paused {
            self.resume();
        }
        Ok(())
    }

    /// Pauses what is assigned, so that polls return nothing.
    fn pause(&self) -> bool {
        let assignment = self.consumer.assignment();
        assignment.and_then(|list| self.consumer.pause(&list)).is_ok()
    }

    /// Polls, so that the member stays in its group. A message that comes all the same is kept, and handed on next: to
    /// seek back to it may fail, and then it would be passed over.
    fn poll_paused(&mut self) -> Result<(), Ended> {
        let consumer = self.consumer.clone();
        match consumer.poll(POLL) {
            None => Ok(()),
            Some(Ok(message)) => {
                let record = self.record(&message)?;
                self.overflow.push(record);
                // It is of a partition that was assigned meanwhile, or that could not be paused.
                self.pause();
                Ok(())
            }
            Some(Err(error)) => self.failed(error),
        }
    }

    fn resume(&self) {
        let resumed = self.consumer.assignment().and_then(|list| self.consumer.resume(&list));
        if let Err(error) = resumed {
            manager_api::log::quietly(|| tracing::warn!(target: "manager_kafka", %error, "cannot resume reading"));
        }
    }
}
