//! Topics as a source of records: read by a member of a consumer group, whose offsets are committed up to the lowest
//! record that is not acknowledged.

mod members;
mod reading;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use manager_api::backend::{bad, closed, seconds};
use manager_api::lock::Unpoisoned;
use manager_api::source::{Place, Position, Reading, Record, Source, SourceStatus};
use manager_api::{ClientManager, Error, ErrorKind};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use tokio::sync::{Mutex, mpsc};

use crate::KafkaManager;
use crate::config::KafkaOptions;
use crate::connect::Connector;
use crate::error::Failure;
use crate::topic::check_topic;
use members::{Membership, State};

/// Readings ahead of what is under way.
const NUM_READINGS: usize = 1;
/// The most topics of a source.
const MAX_TOPICS: usize = 100;
/// The time without a heartbeat after which a member is taken for gone. The default of librdkafka is three times that:
/// so long the partitions of one that was killed would stand still.
const SESSION_TIMEOUT: &str = "15000";
/// The time between two attempts of the last commit while the group is balanced anew.
const SETTLING: Duration = Duration::from_millis(100);

/// Where a group begins in a partition for which it has no offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicStart {
    /// At the oldest record.
    #[default]
    Beginning,
    /// At the next record.
    End,
}

/// The options of a [`TopicSource`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicSourceOptions {
    /// The options of clients. [`max_message_bytes`](manager_api::ManagerOptions::max_message_bytes) is the limit of a
    /// record; its channel is not used.
    pub kafka: KafkaOptions,
    /// The topics. They must exist.
    pub topics: Vec<String>,
    /// The consumer group.
    pub group: String,
    /// Where a new group begins. Default at the beginning.
    pub start: TopicStart,
    /// The most records of one reading. Default 500; zero counts as one.
    pub max_batch: usize,
    /// How long partitions that go to another member may be held up until what was read of them is acknowledged.
    /// Default 3 s.
    pub hand_over: Duration,
    /// The topic of dead letters, which is created if it does not exist. Default the name of the first topic with
    /// `.dead`.
    pub dead_letters: String,
}

impl TopicSourceOptions {
    /// Reads `topics` as a member of `group`, with defaults.
    pub fn new<T: Into<String>>(topics: impl IntoIterator<Item = T>, group: impl Into<String>) -> Self {
        let topics: Vec<String> = topics.into_iter().map(Into::into).collect();
        let first = topics.first().map_or("", String::as_str);
        Self {
            kafka: KafkaOptions::default(),
            dead_letters: format!("{first}.dead"),
            topics,
            group: group.into(),
            start: TopicStart::default(),
            max_batch: 500,
            hand_over: Duration::from_secs(3),
        }
    }

    fn check(&self) -> Result<(), Error> {
        if self.topics.is_empty() || self.topics.len() > MAX_TOPICS {
            return Err(bad(format!("a source has 1 to {MAX_TOPICS} topics")));
        }
        for topic in self.topics.iter().chain([&self.dead_letters]) {
            check_topic(topic)?;
        }
        if self.group.is_empty() || self.group.len() > 255 {
            return Err(bad("the name of a group has 1 to 255 bytes"));
        }
        match self.topics.contains(&self.dead_letters) {
            true => Err(bad("the topic of dead letters is among the topics that are read")),
            false => Ok(()),
        }
    }
}

/// Topics of Kafka as a source of records.
///
/// Partitions are assigned cooperatively: those that stay with a member are read on while others move. Before a
/// partition goes to another member what was read of it is given a moment to be acknowledged. Dead letters are messages
/// of another topic, each the JSON object of [`Record::dead_letter`].
pub struct TopicSource {
    shared: Arc<Shared>,
    dead: KafkaManager,
    readings: Mutex<Option<mpsc::Receiver<Result<Reading, Error>>>>,
}

/// What the source and its thread share.
struct Shared {
    options: TopicSourceOptions,
    connector: Connector,
    state: Arc<State>,
    is_closed: AtomicBool,
    /// Once the thread has created it.
    consumer: StdMutex<Option<Arc<BaseConsumer<Membership>>>>,
    thread: StdMutex<Option<JoinHandle<()>>>,
}

impl TopicSource {
    /// Creates a source, which connects on first use. The URL is that of a [`KafkaManager`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] for a URL, a name or an option that cannot be used. The text never contains the value of a
    /// property.
    pub fn new(url: &str, options: TopicSourceOptions) -> Result<Self, Error> {
        options.check()?;
        let with_channel = |channel: &str| {
            let mut kafka = options.kafka.clone();
            channel.clone_into(&mut kafka.common.channel);
            kafka
        };
        let connector = Connector::new(url, with_channel(&options.topics[0]))?;
        let mut dead = with_channel(&options.dead_letters);
        // The envelope of a dead letter is longer than the record, and base64 longer than its bytes.
        dead.common.max_message_bytes = options
            .kafka
            .common
            .max_message_bytes
            .saturating_mul(2)
            .saturating_add(64 << 10);
        let dead = KafkaManager::new(url, dead)?;
        let shared = Shared {
            state: Arc::new(State::new(options.hand_over)),
            connector,
            options,
            is_closed: AtomicBool::new(false),
            consumer: StdMutex::new(None),
            thread: StdMutex::new(None),
        };
        Ok(Self {
            shared: Arc::new(shared),
            dead,
            readings: Mutex::new(None),
        })
    }
}

impl Shared {
    /// Returns the configuration of the consumer.
    fn config(&self) -> ClientConfig {
        let options = &self.options;
        let mut config = self.connector.client(Duration::MAX);
        let start = match options.start {
            TopicStart::Beginning => "earliest",
            TopicStart::End => "latest",
        };
        let fetched = options.kafka.common.max_buffered_bytes.clamp(1, 1 << 30);
        config
            .set("group.id", &options.group)
            .set("auto.offset.reset", start)
            // Committed is what was acknowledged: also when a partition goes, and at the end.
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "1000")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_TIMEOUT)
            .set("statistics.interval.ms", "2000")
            .set("fetch.wait.max.ms", "100")
            .set("fetch.message.max.bytes", fetched.min(1 << 20).to_string())
            .set("queued.max.messages.kbytes", (fetched >> 10).max(1).to_string());
        self.connector.with_further_properties(config)
    }

    /// Returns the error of a failure.
    fn error(&self, failure: Failure) -> Error {
        failure.unreachable(self.connector.label(), self.connector.deadline())
    }

    fn consumer(&self) -> Option<Arc<BaseConsumer<Membership>>> {
        self.consumer.lock().unpoisoned().clone()
    }
}

#[async_trait]
impl Source for TopicSource {
    async fn next(&self) -> Result<Reading, Error> {
        if self.shared.is_closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        let mut readings = self.readings.lock().await;
        if readings.is_none() {
            let (sender, receiver) = mpsc::channel(NUM_READINGS);
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("sio-kafka-source".to_owned());
            let spawned = thread.spawn(move || reading::run(&shared, &sender));
            let failed = |error| Error::new(ErrorKind::Connect, format!("cannot start a thread: {error}"));
            *self.shared.thread.lock().unpoisoned() = Some(spawned.map_err(failed)?);
            *readings = Some(receiver);
        }
        let reading = match readings.as_mut() {
            Some(receiver) => receiver.recv().await,
            None => None,
        };
        reading.unwrap_or_else(|| {
            // The next call starts another thread.
            *readings = None;
            Err(Error::new(ErrorKind::Connect, "the consumer has ended"))
        })
    }

    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error> {
        let Some(consumer) = self.shared.consumer() else {
            return Ok(());
        };
        for position in positions {
            let Place::Offset { partition, offset } = position.place else {
                continue;
            };
            // This call of librdkafka takes the offset of the record, and commits the one behind it.
            match consumer.store_offset(&position.name, partition, offset) {
                Ok(()) => {}
                // The partition is another member's by now.
                Err(error) if is_of_another(error.rdkafka_error_code()) => {}
                Err(error) => return Err(self.shared.error(Failure::new("storing an offset", error))),
            }
            self.shared.state.acknowledged(&position.name, partition, offset);
        }
        Ok(())
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        let stored = self.dead.publish(record.dead_letter(reason).into()).await;
        match stored {
            // Its place tells where it is: in a topic records stay after they are acknowledged.
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                let place = Record::new(record.position.clone(), "");
                let reason = format!("{reason}; the record itself is too large for this topic");
                self.dead.publish(place.dead_letter(&reason).into()).await
            }
            stored => stored,
        }
    }

    async fn close(&self, limit: Duration) -> Result<(), Error> {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.state.closed();
        let consumer = self.shared.consumer.lock().unpoisoned().take();
        let thread = self.shared.thread.lock().unpoisoned().take();
        let closing = tokio::task::spawn_blocking(move || commit_and_leave(consumer, thread, limit));
        let dead = self.dead.close();
        let both = async { tokio::join!(closing, dead) };
        match tokio::time::timeout(limit, both).await {
            Ok((Ok(Err(failure)), _)) => Err(self.shared.error(failure)),
            Ok(_) => Ok(()),
            Err(_) => {
                let text = format!("offsets were not committed within {}", seconds(limit));
                Err(Error::new(ErrorKind::Timeout, text))
            }
        }
    }

    fn status(&self) -> SourceStatus {
        self.shared.state.status()
    }
}

/// Commits what was acknowledged, and leaves the group, so that other members need not miss this one first. Blocks.
fn commit_and_leave(
    consumer: Option<Arc<BaseConsumer<Membership>>>,
    thread: Option<JoinHandle<()>>,
    limit: Duration,
) -> Result<(), Failure> {
    let Some(consumer) = consumer else {
        return Ok(());
    };
    let committed = commit(&consumer, limit * 4 / 5);
    // The one that lets go of the consumer last leaves the group by that. A thread that panicked has let go of it.
    let joined = thread.map_or(Ok(()), JoinHandle::join);
    drop(consumer);
    committed.and(joined.map_err(|_| Failure::other("the thread that reads has panicked")))
}

/// Commits what was acknowledged. While the group is balanced anew it takes no offsets: that is waited for.
fn commit(consumer: &BaseConsumer<Membership>, patience: Duration) -> Result<(), Failure> {
    let until = Instant::now() + patience;
    loop {
        let Err(error) = consumer.commit_consumer_state(CommitMode::Sync) else {
            return Ok(());
        };
        match error.rdkafka_error_code() {
            // Nothing was acknowledged since the last time.
            Some(RDKafkaErrorCode::NoOffset) => return Ok(()),
            code if is_unsettled(code) && Instant::now() < until => {
                // Joins. What comes is not read: its offset is not stored.
                let _ = consumer.poll(SETTLING);
            }
            _ => return Err(Failure::new("committing offsets", error)),
        }
    }
}

/// Returns whether a group takes no offsets of this member at the moment.
fn is_unsettled(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode::{IllegalGeneration, RebalanceInProgress, UnknownMemberId};
    matches!(code, Some(IllegalGeneration | RebalanceInProgress | UnknownMemberId))
}

/// Returns whether an offset cannot be stored because the partition is not assigned to this member.
fn is_of_another(code: Option<RDKafkaErrorCode>) -> bool {
    use RDKafkaErrorCode::{InvalidPartitions, State, UnknownPartition};
    matches!(code, Some(State | UnknownPartition | InvalidPartitions))
}

impl Drop for TopicSource {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.state.closed();
    }
}

impl fmt::Debug for TopicSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSource")
            .field("connector", &self.shared.connector)
            .field("topics", &self.shared.options.topics)
            .field("group", &self.shared.options.group)
            .finish_non_exhaustive()
    }
}
