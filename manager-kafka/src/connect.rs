//! The connector: the servers, and the configuration of clients of librdkafka.

use std::time::Duration;

use manager_api::subscription::MIN_COST;
use manager_api::{Error, HostId};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use tokio::sync::Semaphore;

use crate::config::KafkaOptions;
use crate::error::{Failure, unusable};
use crate::probe::{Advice, Client, Probe};
use crate::properties;
use crate::topic::check_topic;
use crate::url::Target;

/// An upper bound of the bytes of a batch and a record beside the message and its key.
pub(crate) const OVERHEAD: usize = 1024;
/// The maximum time for which messages wait for others.
const MAX_LINGER: Duration = Duration::from_millis(5);
/// The interval at which librdkafka looks for expired messages.
const EXPIRY_SCAN: Duration = Duration::from_secs(1);
/// The maximum bytes of one partition in a response to a fetch; a larger message is sent alone.
const MAX_FETCH: usize = 1 << 20;

/// The maximum bytes of a broker's response, unless a single message is larger.
const MAX_ANSWER: usize = 50 << 20;
/// The maximum pause before a reconnect, and the limit of an attempt to connect, login included. A network that
/// was cut is in use again after their sum.
const MAX_RECONNECT_WAIT: Duration = Duration::from_secs(2);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The range of librdkafka's request timeout.
const MIN_REQUEST: Duration = Duration::from_millis(10);
const MAX_REQUEST: Duration = Duration::from_secs(300);
/// The maxima of librdkafka's settings for queued and prefetched messages, in KiB.
const MAX_QUEUED: usize = i32::MAX as usize;
const MAX_FETCHED: usize = 2_000_000;

/// The servers of Kafka and the properties of its clients.
pub(crate) struct Connector {
    pub(crate) options: KafkaOptions,
    pub(crate) host_id: HostId,
    target: Target,
    has_tls: bool,
    probe: Probe,
}

impl Connector {
    /// Reads the URL; checks every property, and that librdkafka accepts the whole.
    pub(crate) fn new(url: &str, options: KafkaOptions) -> Result<Self, Error> {
        let target = Target::parse(url)?;
        check_topic(&options.common.channel)?;
        let connector = Self {
            options,
            host_id: HostId::random(),
            target,
            has_tls: properties::has_tls()?,
            probe: Probe::default(),
        };
        properties::check_known(&connector.target.properties)?;
        let properties = connector.further_properties();
        properties::check(properties.map(|(name, value)| (name.as_str(), value.as_str())))?;
        for config in [connector.producer(), connector.consumer()] {
            config.create_native_config().map_err(unusable)?;
        }
        Ok(connector)
    }

    /// Returns the servers, human-readable.
    pub(crate) fn label(&self) -> &str {
        &self.target.servers
    }

    /// Returns the topic, whose name is that of the channel.
    pub(crate) fn topic(&self) -> &str {
        &self.options.common.channel
    }

    /// Returns the longest that a call may take.
    pub(crate) fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    /// Returns the time without a response after which a broker counts as dead.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.options.request_timeout.clamp(MIN_REQUEST, MAX_REQUEST)
    }

    /// Returns the limit of message bytes in flight.
    pub(crate) fn in_flight_bytes(&self) -> usize {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        self.options.common.max_in_flight_bytes.clamp(MIN_COST, most)
    }

    /// Returns the configuration of a producer.
    pub(crate) fn producer(&self) -> ClientConfig {
        let common = &self.options.common;
        // Expired messages are found by a scan, so they expire somewhat before the deadline.
        let expiry = common.deadline.saturating_sub(EXPIRY_SCAN).max(common.deadline / 2);
        let expiry = expiry.max(Duration::from_millis(2));
        let linger = self.options.linger.min(MAX_LINGER).min(expiry / 2);
        // A message over the limit is sent alone. librdkafka counts a message until its whole batch was
        // reported, when others already have its capacity: hence twice as much.
        let in_flight = self.in_flight_bytes().max(self.largest_message());
        let queued = in_flight.saturating_mul(2).saturating_add(OVERHEAD);
        // Several attempts fit into the deadline of a publish, however long the outage has been.
        let mut config = self.client(common.deadline / 4);
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("message.timeout.ms", millis(expiry))
            .set("linger.ms", (linger.as_secs_f64() * 1000.0).to_string())
            // The manager's own limit, in bytes and in order, is always reached first.
            .set("queue.buffering.max.messages", "0")
            .set("queue.buffering.max.kbytes", kibibytes(queued, MAX_QUEUED));
        self.with_further_properties(config)
    }

    /// Returns the configuration of a consumer.
    pub(crate) fn consumer(&self) -> ClientConfig {
        let mut config = self.client(Duration::MAX);
        let buffered = self.options.common.max_buffered_bytes;
        config
            // librdkafka requires a name although no group is joined.
            .set("group.id", format!("sio-{}", self.host_id))
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // The listener decides where to continue after a lost offset, and reports the gap.
            .set("auto.offset.reset", "error")
            .set("fetch.wait.max.ms", "500")
            .set("fetch.error.backoff.ms", "100")
            .set("fetch.queue.backoff.ms", "20")
            .set("fetch.message.max.bytes", buffered.clamp(1, MAX_FETCH).to_string())
            .set(
                "fetch.max.bytes",
                buffered.min(MAX_ANSWER).max(self.largest_message()).to_string(),
            )
            .set("queued.max.messages.kbytes", kibibytes(buffered, MAX_FETCHED));
        self.with_further_properties(config)
    }

    /// Returns the configuration common to all clients, which pause at most `longest_wait` before a reconnect.
    pub(crate) fn client(&self, longest_wait: Duration) -> ClientConfig {
        let common = &self.options.common;
        let longest_wait = longest_wait.min(MAX_RECONNECT_WAIT);
        let first_wait = common.backoff_base.min(longest_wait);
        let longest_wait = common.backoff_cap.clamp(first_wait, longest_wait);
        let mut config = ClientConfig::new();
        let refresh = self.options.partition_refresh.max(Duration::from_millis(100));
        let message = self.largest_message();
        config
            .set_log_level(RDKafkaLogLevel::Info)
            .set("bootstrap.servers", &self.target.servers)
            .set("client.id", format!("sio-{}", self.host_id))
            .set("allow.auto.create.topics", "false")
            .set("message.max.bytes", message.to_string())
            .set("receive.message.max.bytes", (message.max(100_000_000) * 2).to_string())
            .set("socket.timeout.ms", millis(self.request_timeout()))
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("socket.connection.setup.timeout.ms", millis(CONNECT_TIMEOUT))
            .set("reconnect.backoff.ms", millis(first_wait))
            .set("reconnect.backoff.max.ms", millis(longest_wait))
            // One connection to each broker, at once. By default librdkafka connects on demand, and checks for
            // that only every half first back-off: the first message of every process would take a second.
            .set("enable.sparse.connections", "false")
            .set("topic.metadata.refresh.interval.ms", millis(refresh))
            .set("enable.metrics.push", "false");
        if self.has_tls {
            // A bundled OpenSSL does not know the location of the system's certificates.
            config.set("ssl.ca.location", "probe");
        }
        config
    }

    /// Returns the maximum length of a message, in bytes, with Kafka's overhead.
    fn largest_message(&self) -> usize {
        let message = self.options.common.max_message_bytes;
        message.saturating_add(OVERHEAD).clamp(1000, 1_000_000_000)
    }

    /// Adds the properties of options and URL.
    pub(crate) fn with_further_properties(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in self.further_properties() {
            config.set(name, value);
        }
        config
    }

    /// Replaces a failure by a refusal if a server turns out to speak otherwise than this client. Blocks for at
    /// most `limit`.
    pub(crate) fn explained(&self, failure: Failure, limit: Duration) -> Failure {
        if failure.is_refused() {
            return failure;
        }
        let protocol = self
            .further_properties()
            .filter(|(name, _)| name == "security.protocol");
        let protocol = protocol.last().map_or("", |(_, value)| value).to_ascii_uppercase();
        let client = Client {
            has_tls: protocol.ends_with("SSL"),
            has_login: protocol.starts_with("SASL"),
            knows_tls: self.has_tls,
        };
        match self.probe.advice(&self.target.servers, client, limit) {
            None => failure,
            Some(Advice::WrongUrl(cause, text)) => Failure::wrong_url(cause, text),
            Some(Advice::Silent(text)) => Failure::other(text),
        }
    }

    /// Returns the properties of the options, then those of the URL, which take precedence.
    fn further_properties(&self) -> impl Iterator<Item = &(String, String)> {
        self.options.properties.iter().chain(&self.target.properties)
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("servers", &self.target.servers)
            .finish_non_exhaustive()
    }
}

/// Formats a duration in milliseconds, within librdkafka's range.
fn millis(duration: Duration) -> String {
    // The maximum of most of librdkafka's durations is one hour.
    duration.as_millis().clamp(1, 3_600_000).to_string()
}

/// Formats a number of bytes in KiB, from 1 to `most`.
fn kibibytes(bytes: usize, most: usize) -> String {
    (bytes >> 10).clamp(1, most).to_string()
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
        for name in ["acks", "enable.auto.commit", "linger.ms", "security.protocol"] {
            let said = refusal(&format!("kafka://h?{name}=secret"), KafkaOptions::default());
            assert!(said.contains(name) && !said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn a_property_of_the_url_that_is_unknown_may_be_part_of_a_secret_and_is_not_repeated() {
        for url in ["kafka://h?linger.ms=1&secret", "kafka://h?sasl.password=1&secret=2"] {
            let said = refusal(url, KafkaOptions::default());
            assert!(said.contains("property 2 of the URL") && said.contains("%26"), "{said}");
            assert!(!said.contains("secret"), "{said}");
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
    fn librdkafka_has_capacity_for_twice_the_bytes_in_flight_at_any_limit() {
        for limit in [0, 1 << 20, 3 << 30, u32::MAX as usize, usize::MAX / 2, usize::MAX] {
            let mut options = KafkaOptions::default();
            options.common.max_in_flight_bytes = limit;
            let connector = Connector::new("kafka://h", options).unwrap();
            let config = connector.producer();
            let told: usize = config.get("queue.buffering.max.kbytes").unwrap().parse().unwrap();
            let in_flight = limit.min(u32::MAX as usize).max(16 << 20);
            assert!(told << 10 >= 2 * in_flight, "{told} KiB for a limit of {limit} bytes");
        }
    }

    #[test]
    fn extreme_limits_are_brought_into_librdkafkas_range() {
        for (bytes, time) in [(0, Duration::ZERO), (usize::MAX, Duration::MAX)] {
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
                request_timeout: time,
                partition_refresh: time,
                ..KafkaOptions::default()
            };
            Connector::new("kafka://h", options).unwrap();
        }
    }
}
