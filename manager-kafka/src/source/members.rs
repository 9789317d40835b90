//! The membership: what the group has assigned to this member, and the reports of librdkafka about it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, quietly};
use manager_api::source::SourceStatus;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;

use crate::error::Failure;

/// The lag that is not known.
const UNKNOWN: u64 = u64::MAX;

/// A partition of a topic.
type Partition = (Arc<str>, i32);

/// What is known of the group and of the partitions of this member.
pub(super) struct State {
    hand_over: Duration,
    partitions: Mutex<HashMap<Partition, Progress>>,
    /// Notified when records were acknowledged.
    progressed: Condvar,
    has_joined: AtomicBool,
    is_up: AtomicBool,
    is_closed: AtomicBool,
    lag: AtomicU64,
    failure: Mutex<Option<Failure>>,
}

/// How far a partition was read and acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// The offset that is expected next; `None` before the first record.
    pub(super) next: Option<i64>,
    /// The last record that was handed out, and the last one that was acknowledged.
    handed_out: Option<i64>,
    acknowledged: Option<i64>,
}

impl Progress {
    fn is_under_way(&self) -> bool {
        self.handed_out > self.acknowledged
    }
}

impl State {
    pub(super) fn new(hand_over: Duration) -> Self {
        Self {
            hand_over,
            partitions: Mutex::default(),
            progressed: Condvar::new(),
            has_joined: AtomicBool::new(false),
            is_up: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lag: AtomicU64::new(UNKNOWN),
            failure: Mutex::default(),
        }
    }

    pub(super) fn status(&self) -> SourceStatus {
        let lag = self.lag.load(Ordering::Relaxed);
        let is_connected = self.has_joined.load(Ordering::Relaxed) && self.is_up.load(Ordering::Relaxed);
        SourceStatus::new(is_connected, (lag != UNKNOWN).then_some(lag))
    }

    /// Ends waiting for acknowledgements.
    pub(super) fn closed(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
        self.is_up.store(false, Ordering::Relaxed);
        self.progressed.notify_all();
    }

    /// Records that the brokers respond.
    pub(super) fn up(&self) {
        self.is_up.store(true, Ordering::Relaxed);
    }

    /// Takes the failure that was reported last.
    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.lock().unpoisoned().take()
    }

    /// Returns the progress of a partition; `None` if it is not assigned to this member.
    pub(super) fn progress(&self, topic: &Arc<str>, partition: i32) -> Option<Progress> {
        let partitions = self.partitions.lock().unpoisoned();
        partitions.get(&(topic.clone(), partition)).copied()
    }

    /// Records the offset that follows the one that was read last.
    pub(super) fn read(&self, topic: &Arc<str>, partition: i32, next: i64) {
        let mut partitions = self.partitions.lock().unpoisoned();
        if let Some(progress) = partitions.get_mut(&(topic.clone(), partition)) {
            progress.next = Some(next);
        }
    }

    /// Records that records up to an offset are on their way to be emitted.
    pub(super) fn handed_out(&self, topic: &Arc<str>, partition: i32, offset: i64) {
        let mut partitions = self.partitions.lock().unpoisoned();
        if let Some(progress) = partitions.get_mut(&(topic.clone(), partition)) {
            progress.handed_out = progress.handed_out.max(Some(offset));
        }
    }

    pub(super) fn acknowledged(&self, topic: &Arc<str>, partition: i32, offset: i64) {
        let mut partitions = self.partitions.lock().unpoisoned();
        if let Some(progress) = partitions.get_mut(&(topic.clone(), partition)) {
            progress.acknowledged = progress.acknowledged.max(Some(offset));
            self.progressed.notify_all();
        }
    }

    fn assigned(&self, list: &TopicPartitionList) {
        let mut partitions = self.partitions.lock().unpoisoned();
        for each in list.elements() {
            partitions.insert((each.topic().into(), each.partition()), Progress::default());
        }
        self.has_joined.store(true, Ordering::Relaxed);
        self.up();
    }

    /// Waits a moment until what was read of partitions is acknowledged, and forgets them.
    fn revoked(&self, list: &TopicPartitionList) {
        let until = Instant::now() + self.hand_over;
        let gone: Vec<Partition> = list
            .elements()
            .iter()
            .map(|each| (each.topic().into(), each.partition()))
            .collect();
        let mut partitions = self.partitions.lock().unpoisoned();
        while !self.is_closed.load(Ordering::Relaxed) {
            let is_under_way = gone
                .iter()
                .any(|each| partitions.get(each).is_some_and(Progress::is_under_way));
            let left = until.saturating_duration_since(Instant::now());
            if !is_under_way || left.is_zero() {
                break;
            }
            partitions = match self.progressed.wait_timeout(partitions, left) {
                Ok((partitions, _)) => partitions,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
        partitions.retain(|each, _| !gone.contains(each));
    }
}

/// The receiver of a consumer's reports.
pub(super) struct Membership(pub(super) Arc<State>);

impl ClientContext for Membership {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        quietly(|| tracing::debug!(target: "manager_kafka", facility, "{}", Escaped(message)));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let is_down = error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown);
        if is_down {
            self.0.is_up.store(false, Ordering::Relaxed);
        }
        let mut failure = self.0.failure.lock().unpoisoned();
        // The cause of each broker's failure says more than that all of them are down.
        if !is_down || failure.is_none() {
            *failure = Some(Failure::reported("", error, reason));
        }
    }

    fn stats(&self, statistics: Statistics) {
        let is_up = statistics.brokers.values().any(|broker| broker.state == "UP");
        self.0
            .is_up
            .store(is_up && !self.0.is_closed.load(Ordering::Relaxed), Ordering::Relaxed);
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        let known = partitions.filter_map(|partition| u64::try_from(partition.consumer_lag).ok());
        // Without any it is not zero, but not known.
        let lag = known.reduce(u64::saturating_add).unwrap_or(UNKNOWN);
        self.0.lag.store(lag, Ordering::Relaxed);
    }
}

impl ConsumerContext for Membership {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.0.assigned(list),
            Rebalance::Revoke(list) => self.0.revoked(list),
            Rebalance::Error(error) => {
                quietly(|| tracing::debug!(target: "manager_kafka", %error, "the group could not be rebalanced"));
            }
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        // What was not committed is committed with the next offsets, or read again.
        if let Err(error) = result {
            quietly(|| tracing::debug!(target: "manager_kafka", %error, "offsets were not committed"));
        }
    }
}
