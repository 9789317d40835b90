#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `config.rs`, `url.rs` | options; the URL |
//! | `connect.rs`, `probe.rs` | sockets, TLS, the choice of a node; what a server speaks that ends connections |
//! | `connection.rs`, `hello.rs` | login; the role of a server |
//! | `publish.rs`, `pipeline.rs` | publishing: one connection, many messages in flight |
//! | `listen.rs`, `alive.rs` | the listening side of a subscription; reading with keep-alives |
//! | `resp.rs` | the length of a reply |
//! | `topics.rs` | topics |
//! | `topics/head.rs`, `redirection.rs`, `routing.rs`, `router.rs`, `node.rs` | publishing to topics: the commands; the nodes of a Redis Cluster |
//! | `topics/listener.rs`, `subscriber.rs`, `stream.rs`, `stream/finding.rs`, `reader.rs` | subscribing to topics, and to streams |
//! | `topics/counter.rs` | the count of subscribers |
//! | `log.rs` | a stream that carries the messages in place of publish/subscribe, and can be read from the past on |
//! | `log/epoch.rs`, `care.rs` | whether it is the same stream; what is done for it from time to time |
//! | `source.rs` | a stream as a source of records, read by a consumer group |
//! | `source/group.rs`, `entries.rs`, `link.rs` | the member of the group; entries as records; connections to the stream's node |
//! | `examine.rs` | the examination of a server for a diagnosis |
//! | `error.rs`, `refusal.rs` | failures and errors; the meaning of error replies |
#![deny(missing_docs)]

mod alive;
mod config;
mod connect;
mod connection;
mod error;
mod examine;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hello;
mod listen;
mod log;
mod pipeline;
mod probe;
mod publish;
mod refusal;
mod resp;
mod source;
mod topics;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, Status, check_len};
use manager_api::diagnosis::{Circumstances, Examination};
use manager_api::replay::Replay;
use manager_api::topics::Topics;
use manager_api::{ClientManager, Error, Health, Subscription};

pub use config::{RedisOptions, SentinelOptions, StreamLog};
use connect::Connector;
use listen::RedisListener;
use log::LogState;
pub use manager_api::backend::TlsOptions;
use publish::{Publisher, RedisLink};
pub use source::{StreamSource, StreamSourceOptions, StreamStart};
use topics::TopicState;

/// A manager whose broker is Redis, alone, behind Sentinel, or a cluster.
///
/// Publishing shares one connection, opened by the first publish; each subscription has its own. Dropping
/// the manager ends its subscriptions; messages passed to [`publish`](ClientManager::publish) are still
/// sent in the background.
#[derive(Debug)]
pub struct RedisManager {
    options: RedisOptions,
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    listeners: Listeners,
    topics: TopicState,
    /// `None` if publish/subscribe carries the messages.
    log: Option<LogState>,
}

impl RedisManager {
    /// The URL schemes that [`new`](Self::new) accepts.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Creates a manager, which connects on first use.
    ///
    /// - `redis://[user:password@]host[:port][/db]`, with TLS `rediss://`; the same as `valkey://`, `valkeys://`
    /// - `unix:///path/to/socket`, also `redis+unix://`, `valkey+unix://`
    /// - `redis+sentinel://[user:password@]host[:port],…[/db][/service]`, with TLS `rediss+sentinel://`: a
    ///   sentinel is asked for the master on each connect; the service defaults to the channel's name
    /// - `redis+cluster://[user:password@]host[:port],…`, with TLS `rediss+cluster://`: any node is
    ///   suitable, and each reconnect tries the next one
    /// - `redis+stream://[user:password@]host[:port]`, with TLS `rediss+stream://`; also `redis+unix+stream://`,
    ///   `redis+sentinel+stream://`, `redis+cluster+stream://`: a stream named as the channel carries the messages in place
    ///   of publish/subscribe. It keeps them for a while, so that a lost connection loses none, and they can be
    ///   [replayed](ClientManager::replay). All processes of a fleet need the same; python-socketio has nothing like it
    ///
    /// Query parameters: `username`, `password`, `db`; `sentinel_username`, `sentinel_password`; with TLS
    /// `ca=/path/to/certificates.pem` (authorities, or the server's own certificate), `client_cert`,
    /// `client_key` and `tls_server_name`; with a stream `max_len`, and `max_age` in seconds, as [`StreamLog`]. A database
    /// number is accepted and has no effect, because publish/subscribe is independent of databases; with a stream it is
    /// refused.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The
    /// text never contains a password.
    pub fn new(url: &str, options: RedisOptions) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(url, &options)?);
        let status = Arc::new(Status::new("Redis"));
        let link = RedisLink {
            options: options.clone(),
            connector: connector.clone(),
        };
        let log = LogState::new(&connector, &options)?;
        let topics = TopicState::new(connector.clone(), &options);
        let publisher = Publisher::new(link, &options.common, status.clone());
        let listeners = Listeners::new(&options.common, status.clone());
        Ok(Self {
            options,
            connector,
            status,
            publisher,
            listeners,
            topics,
            log,
        })
    }
}

#[async_trait]
impl ClientManager for RedisManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        check_len(&message, &self.options.common)?;
        match &self.log {
            None => self.publisher.publish(message).await,
            Some(log) => self.publisher.publish_with_head(log.head(), message).await,
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        if let Some(log) = &self.log {
            return self.subscribe_to_log(log).await;
        }
        let listener = RedisListener::new(self.connector.clone(), &self.options);
        self.listeners.subscribe(listener).await
    }

    async fn close(&self) -> Result<(), Error> {
        let closed = self.listeners.close(self.publisher.close()).await;
        self.topics.close().await;
        closed
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }

    fn replay(&self) -> Option<&dyn Replay> {
        self.log.as_ref().map(|_| self as _)
    }

    fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    async fn examine(&self, known: Circumstances) -> Examination {
        let channel = &self.options.common.channel;
        examine::examine(&self.connector, channel, self.log.is_some(), &known).await
    }
}
