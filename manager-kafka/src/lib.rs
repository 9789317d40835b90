#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `config.rs`, `url.rs`, `properties.rs` | options; the URL; the properties of librdkafka that may be set |
//! | `connect.rs`, `context.rs`, `topic.rs` | the configuration of clients; their reports; the topic |
//! | `probe.rs`, `probe/service.rs` | what a server speaks that ends connections; the names of other services |
//! | `publish.rs`, `publish/producer.rs`, `publish/flight.rs` | publishing: order, capacity, deadlines; librdkafka's producer; publishes in flight |
//! | `publish/start.rs` | the first connection |
//! | `listen.rs` | the listening thread of a subscription |
//! | `listen/place.rs`, `begin.rs`, `partitions.rs` | its consumer; where it begins; its position in each partition |
//! | `log.rs` | a topic of one partition, read from the past on |
//! | `source.rs` | topics as a source of records, read by a consumer group |
//! | `source/reading.rs`, `members.rs` | the thread that polls; what the group has assigned to this member |
//! | `examine.rs` | the examination of the brokers for a diagnosis |
//! | `status.rs`, `error.rs`, `refusal.rs` | health; failures and errors; the meaning of error codes |
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod connect;
mod context;
mod error;
mod examine;
mod listen;
mod log;
mod probe;
mod properties;
mod publish;
mod refusal;
mod source;
mod status;
mod topic;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, check_len, closed};
use manager_api::diagnosis::{Circumstances, Examination};
use manager_api::replay::Replay;
use manager_api::{ClientManager, Error, Health, HostId, Subscription};

pub use config::{KafkaOptions, TopicOptions};
use connect::Connector;
use listen::Beginning;
use publish::Publisher;
pub use source::{TopicSource, TopicSourceOptions, TopicStart};
use status::Status;

/// A manager whose broker is Apache Kafka.
///
/// Publishing shares one client of librdkafka, created by the first publish; each subscription has its own,
/// and a thread. Dropping the manager ends its subscriptions; messages passed to
/// [`publish`](ClientManager::publish) are still sent in the background.
#[derive(Debug)]
pub struct KafkaManager {
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    listeners: Listeners,
}

impl KafkaManager {
    /// The URL schemes that [`new`](Self::new) accepts.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Creates a manager, which connects on first use.
    ///
    /// `kafka://host[:port],…[?property=value&…]` names one or more brokers of a Kafka cluster, which report the
    /// others. Any property of librdkafka may follow, percent-encoded:
    /// `security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=…&sasl.password=…`; and for TLS the files
    /// `ca`, `client_cert` and `client_key`, as for other managers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The
    /// text never contains the value of a property.
    pub fn new(url: &str, options: KafkaOptions) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(url, options)?);
        let status = Arc::new(Status::new(connector.label()));
        Ok(Self {
            listeners: Listeners::new(&connector.options.common, status.common.clone()),
            publisher: Publisher::new(connector.clone(), status.clone()),
            connector,
            status,
        })
    }
}

#[async_trait]
impl ClientManager for KafkaManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        check_len(&message, &self.connector.options.common)?;
        self.publisher.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let mut is_closed = self.listeners.closing()?;
        let subscribed = listen::subscribe(
            self.connector.clone(),
            self.status.clone(),
            is_closed.clone(),
            Beginning::End,
            Box::new(|_, message| message),
        );
        tokio::select! {
            subscribed = subscribed => subscribed.map(|(subscription, _)| subscription),
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err(closed()),
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.listeners.close(self.publisher.close()).await
    }

    /// Returns the topic as a log where it has one partition: where [`TopicOptions::num_partitions`] says so.
    fn replay(&self) -> Option<&dyn Replay> {
        let num_partitions = self.connector.options.topic.num_partitions;
        (num_partitions == Some(1)).then_some(self as _)
    }

    fn host_id(&self) -> Option<HostId> {
        Some(self.connector.host_id.clone())
    }

    fn deadline(&self) -> Duration {
        self.connector.deadline()
    }

    fn health(&self) -> Health {
        self.status.common.health()
    }

    async fn examine(&self, known: Circumstances) -> Examination {
        let connector = self.connector.clone();
        // It waits for the client library on a thread, at most as long as the limit.
        let examined = tokio::task::spawn_blocking(move || examine::examine(&connector, &known)).await;
        examined.unwrap_or_default()
    }
}
