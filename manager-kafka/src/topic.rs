//! The topic: its existence, partitions, and creation.

use std::time::Duration;

use manager_api::Error;
use manager_api::backend::bad;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::connect::{Connector, OVERHEAD};
use crate::context::Quiet;
use crate::error::Failure;
use crate::refusal::Right;

/// The state of the topic at the brokers.
pub(crate) enum Known {
    Partitions(Vec<i32>),
    /// It is being created.
    NotReady,
    Missing,
}

impl Connector {
    /// Returns the topic's partitions, `None` if they are not ready yet. Creates a missing topic if that is
    /// permitted. Blocks.
    pub(crate) fn partitions<C: ClientContext>(
        &self,
        client: &Client<C>,
        limit: Duration,
    ) -> Result<Option<Vec<i32>>, Failure> {
        match self.known_partitions(client, limit)? {
            Known::Partitions(partitions) => return Ok(Some(partitions)),
            Known::NotReady => return Ok(None),
            Known::Missing if !self.options.topic.is_created => {
                return Err(Failure::no_topic(self.topic()));
            }
            Known::Missing => {}
        }
        self.create_topic(limit)?;
        Ok(None)
    }

    /// Requests the topic's partitions. Blocks.
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
            Some(code) => {
                let error = KafkaError::MetadataFetch(code);
                return Err(Failure::needing(Right::Describe, self.topic(), &attempt(), error));
            }
        }
        let mut partitions: Vec<_> = topic.partitions().iter().map(|partition| partition.id()).collect();
        partitions.sort_unstable();
        match partitions.is_empty() {
            true => Ok(Known::NotReady),
            false => Ok(Known::Partitions(partitions)),
        }
    }

    /// Creates the topic. Blocks.
    fn create_topic(&self, limit: Duration) -> Result<(), Failure> {
        let attempt = format!("creating the topic {:?}", self.topic());
        let failed = |error| Failure::needing(Right::Create, self.topic(), &attempt, error);
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
        // Needed once in the life of a topic, so its connection is not kept.
        let admin: AdminClient<_> = self.admin().map_err(failed)?;
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

    /// Creates a client for administration.
    pub(crate) fn admin(&self) -> Result<AdminClient<Quiet>, KafkaError> {
        self.with_further_properties(self.client(Duration::MAX))
            .create_with_context(Quiet)
    }
}

/// Checks that a channel can be the name of a topic.
pub(crate) fn check_topic(name: &str) -> Result<(), Error> {
    let is_legal = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match !name.is_empty() && name.len() <= 249 && name != "." && name != ".." && name.chars().all(is_legal) {
        true => Ok(()),
        false => Err(bad(format!(
            "{name:?} is no name for a topic: letters, digits, '.', '_' and '-', at most 249 of them"
        ))),
    }
}

/// Converts a number for librdkafka, where -1 stands for the broker's default.
fn count(wanted: Option<u16>) -> i32 {
    wanted.map_or(-1, |count| i32::from(count.max(1)))
}
