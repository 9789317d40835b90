//! [`ClientManager`] over Apache Kafka.
//!
//! ```no_run
//! # async fn example() -> Result<(), manager_api::Error> {
//! use manager_api::Emitter;
//! use manager_kafka::{KafkaManager, KafkaOptions};
//!
//! let manager = KafkaManager::new("kafka://localhost:9092", KafkaOptions::default())?;
//! let emitter = Emitter::new(manager);
//! emitter.to("lobby").emit("job done", &7).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `config.rs`, `url.rs`, `properties.rs` | options, what a URL says, what librdkafka may be told |
//! | `connect.rs`, `context.rs`, `topic.rs` | how to be a client; what clients report; the topic |
//! | `publish.rs`, `start.rs` | who waits for a message's acceptance; the first connection |
//! | `listen.rs`, `place.rs`, `partitions.rs` | a subscription; what it reads; where it is in each partition |
//! | `status.rs`, `error.rs`, `rights.rs` | health, log lines, errors; which right is missing |
//! | `probe.rs` | what a server speaks that ends connections |
//!
//! Where Kafka differs from other brokers: it keeps messages, so a subscription goes on where it was after any interruption and loses
//! nothing. A `Gap` comes only when the messages are gone from the broker as well: retention removed them, the topic was deleted, an
//! unclean election lost them. It then goes on with the oldest message that is left, and in a topic that was made anew with the first one.
//!
//! The channel is a topic; the key of each message is the manager's host id, so that what one manager publishes stays in one partition and
//! thereby in order. Adding partitions moves publishers to other partitions, once without that order. Partitions that are added are read
//! from their beginning.
//!
//! Subscriptions join no group and commit no offset, so that nothing of them is left on the brokers. Beside what
//! [`ManagerOptions`](manager_api::ManagerOptions) allows, librdkafka holds as many bytes again that were fetched ahead, and one answer of
//! each broker (as many bytes, 50 MiB at most, but at least one message).
//!
//! # A publish whose time is over
//!
//! It is never sent afterwards. While the brokers are silent, messages wait in the manager, each up to its own deadline; librdkafka, which
//! gives all messages the same time from when they are handed over, gets them when it can send. It reports what expired by a scan, once
//! per second, so that it is told a deadline that is a second shorter. A message that waited for room or for the first connection, was handed
//! over late and was not accepted a second after its deadline is taken back; as librdkafka can only take back everything, younger ones
//! that were not accepted by then fail as well. What cannot be taken back is a request that is on the wire already.
//!
//! # Connections
//!
//! Each client has one connection to each broker of the cluster, made at once. In a large cluster with many processes that only publish,
//! `enable.sparse.connections=true` in the URL saves most of them, for a first message that takes up to half the first back-off longer.
//!
//! # Cargo features
//!
//! Logging in with SASL/PLAIN is always there. `tls` brings TLS (`security.protocol` `SSL` and `SASL_SSL`) and SASL/SCRAM, `zstd` topics
//! compressed with zstd.
//!
//! # Logs
//!
//! Connections made (`info`), failed and lost, and gaps (`warn`) have the `tracing` target `manager_api`, as with every manager. At most one line
//! a second of each kind, without URLs' passwords and without messages. `manager_kafka` has at `debug` what librdkafka logs.
#![deny(missing_docs)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod config;
mod connect;
mod context;
mod error;
mod listen;
mod probe;
mod properties;
mod publish;
mod refusal;
mod status;
mod topic;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, check_len, closed};
use manager_api::{ClientManager, Error, Health, HostId, Subscription};

pub use config::{KafkaOptions, TopicOptions};
use connect::Connector;
use publish::Publisher;
use status::Status;

/// A manager whose broker is Apache Kafka.
///
/// Publishing shares one client of librdkafka, made by the first publish; every subscription has its own, and a thread. Dropping the
/// manager ends its subscriptions; what was handed to [`publish`](ClientManager::publish) is still sent in the background.
#[derive(Debug)]
pub struct KafkaManager {
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    listeners: Listeners,
}

impl KafkaManager {
    /// The URL schemes that [`new`](Self::new) understands.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Checks `url` and `options` and makes a manager; connects on first use.
    ///
    /// `kafka://host[:port],…[?property=value&…]` names one or more brokers of a cluster; the rest are learned from them. Any property of
    /// librdkafka may follow, percent-encoded: `security.protocol=SASL_SSL&sasl.mechanism=PLAIN&sasl.username=…&sasl.password=…`; and for TLS
    /// the files `ca`, `client_cert` and `client_key`, as with other managers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The text repeats no value of a
    /// property.
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
        let subscribed = listen::subscribe(self.connector.clone(), self.status.clone(), is_closed.clone());
        tokio::select! {
            subscribed = subscribed => subscribed,
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err(closed()),
        }
    }

    async fn close(&self) -> Result<(), Error> {
        self.listeners.close(self.publisher.close()).await
    }

    fn host_id(&self) -> Option<HostId> {
        Some(self.connector.host_id.clone())
    }

    fn health(&self) -> Health {
        self.status.common.health()
    }
}
