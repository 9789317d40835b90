//! The clients' properties, and the topic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use manager_api::{Error, HostId};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::config::{KafkaOptions, bad};
use crate::error::{Failure, unusable};
use crate::status::{Role, Status};
use crate::url::Target;

/// What a batch and a record take beside the message and its key, generously.
const OVERHEAD: usize = 1024;
/// The longest that messages may wait for others.
const MAX_LINGER: Duration = Duration::from_millis(5);
/// How often librdkafka looks for messages whose time is over.
const EXPIRY_SCAN: Duration = Duration::from_secs(1);
/// The first wait before a reconnect, from which librdkafka doubles. It counts a connection that it replaces by itself, as it does with the
/// very first one, as lost, so that the first message of every process would wait for the back-off.
const FIRST_RECONNECT: Duration = Duration::from_millis(20);
/// Each partition's share of one answer to a fetch; a larger message comes alone.
const MAX_FETCH: usize = 1 << 20;

/// Properties on which the promises of a manager rest, and what to use instead.
const RESERVED: &[(&str, &str)] = &[
    ("bootstrap.servers", "name the brokers in the URL"),
    ("metadata.broker.list", "name the brokers in the URL"),
    ("acks", "every message is acknowledged by all in-sync replicas"),
    (
        "request.required.acks",
        "every message is acknowledged by all in-sync replicas",
    ),
    ("message.timeout.ms", "set the deadline"),
    ("delivery.timeout.ms", "set the deadline"),
    ("queue.buffering.max.messages", "set the bytes in flight"),
    ("queue.buffering.max.kbytes", "set the bytes in flight"),
    ("enable.auto.commit", "no offset is ever committed"),
    ("auto.commit.enable", "no offset is ever committed"),
    ("enable.auto.offset.store", "no offset is ever committed"),
    ("auto.offset.reset", "a subscription begins at the end"),
    ("enable.partition.eof", "nothing needs it"),
];

/// Knows where Kafka is, and how to be its client.
pub(crate) struct Connector {
    pub(crate) options: KafkaOptions,
    pub(crate) host_id: HostId,
    target: Target,
}

impl Connector {
    pub(crate) fn new(url: &str, options: KafkaOptions) -> Result<Self, Error> {
        let target = Target::parse(url)?;
        check_topic(&options.common.channel)?;
        let connector = Self {
            options,
            host_id: HostId::random(),
            target,
        };
        for (name, _) in connector.further_properties() {
            if let Some((_, instead)) = RESERVED.iter().find(|(reserved, _)| reserved == name) {
                return Err(bad(format!("the property {name:?} cannot be set: {instead}")));
            }
        }
        for config in [connector.producer(), connector.consumer()] {
            config.create_native_config().map_err(unusable)?;
        }
        Ok(connector)
    }

    /// Names the brokers for people.
    pub(crate) fn label(&self) -> &str {
        &self.target.servers
    }

    pub(crate) fn topic(&self) -> &str {
        &self.options.common.channel
    }

    pub(crate) fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    pub(crate) fn producer(&self) -> ClientConfig {
        let common = &self.options.common;
        // Expired messages are found by a scan, so they expire a little earlier than the deadline.
        let expiry = common.deadline.saturating_sub(EXPIRY_SCAN).max(common.deadline / 2);
        let expiry = expiry.max(Duration::from_millis(2));
        let linger = self.options.linger.min(MAX_LINGER).min(expiry / 2);
        let in_flight = common.max_in_flight_bytes.max(common.max_message_bytes);
        let mut config = self.client();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", millis(expiry))
            .set("linger.ms", linger.as_secs_f64().mul_add(1000.0, 0.0).to_string())
            // The manager's own bound, in bytes and first come first served, is always met first.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", kibibytes(2 * in_flight + OVERHEAD));
        self.with_further_properties(config)
    }

    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        let buffered = self.options.common.max_buffered_bytes;
        config
            // librdkafka wants a name although no group is ever joined.
            .set("group.id", format!("sio-{}", self.host_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Where to go on after a lost offset is decided here, with the loss admitted.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.message.max.bytes", buffered.clamp(1, MAX_FETCH).to_string())
            .set("queued.max.messages.kbytes", kibibytes(buffered));
        self.with_further_properties(config)
    }

    fn client(&self) -> ClientConfig {
        let common = &self.options.common;
        let mut config = ClientConfig::new();
        let refresh = self.options.partition_refresh.max(Duration::from_millis(100));
        let message = common
            .max_message_bytes
            .saturating_add(OVERHEAD)
            .clamp(1000, 1_000_000_000);
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("bootstrap.servers", &self.target.servers)
            .set("client.id", format!("sio-{}", self.host_id))
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", message.to_string())
            .set("receive.message.max.bytes", (message.max(100_000_000) * 2).to_string())
            .set(
                "socket.timeout.ms",
                millis(self.options.request_timeout.max(Duration::from_millis(10))),
            )
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("reconnect.backoff.ms", millis(common.backoff_base.min(FIRST_RECONNECT)))
            .set(
                "reconnect.backoff.max.ms",
                millis(common.backoff_cap.max(common.backoff_base)),
            )
            .set("topic.metadata.refresh.interval.ms", millis(refresh))
            .set("enable.metrics.push", "false");
        config
    }

    fn with_further_properties(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in self.further_properties() {
            config.set(name, value);
        }
        config
    }

    fn further_properties(&self) -> impl Iterator<Item = &(String, String)> {
        self.options.properties.iter().chain(&self.target.properties)
    }

    /// Returns the topic's partitions, created if need and permission be; `None` if they are not ready yet. Blocks.
    pub(crate) fn partitions<C: ClientContext>(
        &self,
        client: &Client<C>,
        limit: Duration,
    ) -> Result<Option<Vec<i32>>, Failure> {
        match self.known_partitions(client, limit)? {
            Known::Partitions(partitions) => return Ok(Some(partitions)),
            Known::NotReady => return Ok(None),
            Known::Missing if !self.options.topic.is_created => {
                return Err(Failure::other(format!("there is no topic {:?}", self.topic())));
            }
            Known::Missing => {}
        }
        self.create_topic(limit)?;
        Ok(None)
    }

    /// Asks for the topic's partitions. Blocks.
    pub(crate) fn known_partitions<C: ClientContext>(
        &self,
        client: &Client<C>,
        limit: Duration,
    ) -> Result<Known, Failure> {
        let attempt = || format!("asking for the topic {:?}", self.topic());
        let metadata = client.fetch_metadata(Some(self.topic()), limit);
        let metadata = metadata.map_err(|error| Failure::new(&attempt(), error))?;
        let Some(topic) = metadata.topics().first() else {
            return Ok(Known::Missing);
        };
        match topic.error().map(RDKafkaErrorCode::from) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(Known::Missing);
            }
            Some(RDKafkaErrorCode::LeaderNotAvailable) => return Ok(Known::NotReady),
            Some(code) => return Err(Failure::new(&attempt(), KafkaError::MetadataFetch(code))),
        }
        let mut partitions: Vec<_> = topic.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        match partitions.is_empty() {
            true => Ok(Known::NotReady),
            false => Ok(Known::Partitions(partitions)),
        }
    }

    fn create_topic(&self, limit: Duration) -> Result<(), Failure> {
        let attempt = format!("creating the topic {:?}", self.topic());
        let failed = |error| Failure::new(&attempt, error);
        let wanted = &self.options.topic;
        let (partitions, replicas) = (count(wanted.num_partitions), count(wanted.num_replicas));
        let largest = self.options.common.max_message_bytes.saturating_add(OVERHEAD);
        let largest = largest.min(i32::MAX as usize).to_string();
        let mut topic = NewTopic::new(self.topic(), partitions, TopicReplication::Fixed(replicas));
        if !wanted.properties.iter().any(|(name, _)| name == "max.message.bytes") {
            topic = topic.set("max.message.bytes", &largest);
        }
        for (name, value) in &wanted.properties {
            topic = topic.set(name, value);
        }
        // Only needed once in the life of a topic, so it is not worth a connection that stays.
        let admin: AdminClient<_> = self.client_for_admin().map_err(failed)?;
        let options = AdminOptions::new()
            .request_timeout(Some(limit))
            .operation_timeout(Some(limit));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| Failure::other(format!("{attempt}: {error}")))?;
        let created = runtime
            .block_on(admin.create_topics([&topic], &options))
            .map_err(failed)?;
        match created.into_iter().next() {
            Some(Err((_, code))) if code != RDKafkaErrorCode::TopicAlreadyExists => {
                Err(failed(KafkaError::AdminOp(code)))
            }
            _ => Ok(()),
        }
    }

    fn client_for_admin(&self) -> Result<AdminClient<Quiet>, KafkaError> {
        self.with_further_properties(self.client()).create_with_context(Quiet)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("servers", &self.target.servers)
            .finish_non_exhaustive()
    }
}

/// What the brokers know of the topic.
pub(crate) enum Known {
    Partitions(Vec<i32>),
    /// It is being created.
    NotReady,
    Missing,
}

/// Takes note of what a client reports.
pub(crate) struct Context {
    pub(crate) status: Arc<Status>,
    pub(crate) role: Role,
    pub(crate) trouble: Arc<Trouble>,
}

/// What has to be done before more can be sent.
#[derive(Debug, Default)]
pub(crate) struct Trouble(AtomicU8);

impl Trouble {
    /// The topic is gone.
    pub(crate) const TOPIC: u8 = 1;
    /// The client is of no use any more.
    pub(crate) const CLIENT: u8 = 2;

    pub(crate) fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes note of what `code` means for messages to come.
    pub(crate) fn note(&self, code: Option<RDKafkaErrorCode>) {
        use RDKafkaErrorCode::*;
        match code {
            Some(UnknownTopic | UnknownPartition | UnknownTopicOrPartition) => {
                self.0.fetch_max(Self::TOPIC, Ordering::Relaxed);
            }
            Some(Fatal) => {
                self.0.fetch_max(Self::CLIENT, Ordering::Relaxed);
            }
            _ => {}
        }
    }

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
        let is_down = code == Some(RDKafkaErrorCode::AllBrokersDown);
        if is_down {
            self.status.down(self.role);
        }
        // That all are down is no news beside why each of them is.
        if !is_down || self.status.failure(self.role).is_none() {
            self.status.failed(self.role, &Failure::reported(error, reason));
        }
    }
}

impl ConsumerContext for Context {}

/// Reports nothing: whoever asked is told.
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(facility, message);
    }

    fn error(&self, _error: KafkaError, _reason: &str) {}
}

/// What matters of librdkafka's log comes as an error as well.
fn log(facility: &str, message: &str) {
    tracing::debug!(target: "manager_kafka", facility, "{message}");
}

fn check_topic(name: &str) -> Result<(), Error> {
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(is_legal) {
        true => Ok(()),
        false => Err(bad(format!(
            "{name:?} is no name for a topic: letters, digits, '.', '_' and '-', at most 249 of them"
        ))),
    }
}

/// A number for librdkafka, to which -1 means the broker's own default.
fn count(wanted: Option<u16>) -> i32 {
    wanted.map_or(-1, |count| i32::from(count.max(1)))
}

fn millis(duration: Duration) -> String {
    // An hour is the most that librdkafka takes for most of its times.
    duration.as_millis().clamp(1, 3_600_000).to_string()
}

fn kibibytes(bytes: usize) -> String {
    (bytes >> 10).clamp(1, 2_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use manager_api::{ErrorKind, ManagerOptions};

    use super::*;

    fn refusal(url: &str, options: KafkaOptions) -> String {
        let error = Connector::new(url, options).expect_err("a refusal");
        assert_eq!(error.kind(), ErrorKind::Config);
        format!("{error} {error:?}")
    }

    #[test]
    fn further_properties_reach_librdkafka_and_those_of_the_url_win() {
        let properties = vec![
            ("linger.ms".to_owned(), "3".to_owned()),
            ("client.id".to_owned(), "me".to_owned()),
        ];
        let options = KafkaOptions {
            properties,
            ..KafkaOptions::default()
        };
        let connector = Connector::new("kafka://h?linger.ms=4", options).unwrap();
        let config = connector.producer();
        assert_eq!(
            (config.get("linger.ms"), config.get("client.id")),
            (Some("4"), Some("me"))
        );
    }

    #[test]
    fn properties_that_would_break_a_promise_and_unknown_ones_are_refused_without_their_values() {
        for name in [
            "acks",
            "enable.auto.commit",
            "no.such.property",
            "linger.ms",
            "security.protocol",
        ] {
            let said = refusal(&format!("kafka://h?{name}=secret"), KafkaOptions::default());
            assert!(said.contains(name) && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_channel_that_cannot_be_a_topic_is_refused() {
        for channel in ["", "a b", "..", "größe"] {
            let common = ManagerOptions {
                channel: channel.to_owned(),
                ..ManagerOptions::default()
            };
            let options = KafkaOptions {
                common,
                ..KafkaOptions::default()
            };
            refusal("kafka://h", options);
        }
    }

    #[test]
    fn extreme_limits_are_brought_into_librdkafkas_range() {
        for (bytes, time) in [(0, Duration::ZERO), (usize::MAX / 4, Duration::from_secs(1 << 40))] {
            let common = ManagerOptions {
                deadline: time,
                max_in_flight_bytes: bytes,
                max_message_bytes: bytes,
                max_buffered_bytes: bytes,
                backoff_base: time,
                backoff_cap: time,
                ..ManagerOptions::default()
            };
            let options = KafkaOptions {
                common,
                linger: time,
                request_timeout: time.min(Duration::from_secs(60)),
                partition_refresh: time,
                ..KafkaOptions::default()
            };
            Connector::new("kafka://h", options).unwrap();
        }
    }
}
