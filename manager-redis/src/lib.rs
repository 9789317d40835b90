//! [`ClientManager`] over Redis (or Valkey) publish/subscribe.
//!
//! ```no_run
//! # async fn example() -> Result<(), manager_api::Error> {
//! use manager_api::Emitter;
//! use manager_redis::{RedisManager, RedisOptions};
//!
//! let manager = RedisManager::new("redis://localhost:6379", RedisOptions::default())?;
//! let emitter = Emitter::new(manager);
//! emitter.to("lobby").emit("job done", &7).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `config.rs`, `url.rs` | options, what a URL says |
//! | `connect.rs` | sockets, TLS, which node to talk to |
//! | `connection.rs`, `hello.rs` | login; what the server is, a master or a replica |
//! | `publish.rs`, `pipeline.rs` | how messages get to Redis: one connection, many on their way |
//! | `listen.rs` | a subscription that comes back |
//! | `resp.rs` | where a reply ends |
//! | `error.rs` | what can go wrong |
//!
//! Where Redis differs from other brokers: it keeps nothing. Whatever is published while a subscriber's connection is down is lost to
//! that subscriber, which is told so by a `Gap`; a subscriber that stays too far behind is disconnected by the server
//! (`client-output-buffer-limit`), which is a `Gap` as well.
//!
//! # Replicas
//!
//! What is published on a replica reaches only those who listen there, so that nothing is published on one, nor listened to: the server is asked
//! at each connect and from then on with each sign of life (`HELLO`, which every user may ask; before Redis 6 `ROLE`, at the connect only). A server
//! that was demoted is left: publishing fails with what it is, a subscription yields a `Gap` when it is back on a master. Up to a second of
//! publishes may have been accepted meanwhile that reach only those who are still on the demoted server, and one that is cut off from its
//! sentinels does not know that it was. Nodes of a cluster pass messages on whatever their role, and are not asked.
//!
//! # Runtimes
//!
//! Messages are sent by a task on the runtime of the first publish, and each subscription is read by one on the runtime that subscribed. These
//! runtimes must keep running while others use the manager: on one that stands still, a publish waits beyond its deadline. When the first
//! one ends, that of the next publish takes its place; subscriptions end with theirs.
//!
//! # Logs
//!
//! Connections made (`info`), failed and lost, and gaps (`warn`) have the `tracing` target `manager_api`, as with every manager. At most one line
//! a second of each kind, without URLs' passwords and without messages. Nothing has a target of this crate's own.
#![deny(missing_docs)]

mod config;
mod connect;
mod connection;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hello;
mod listen;
mod pipeline;
mod publish;
mod resp;
mod url;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, Status, check_len};
use manager_api::{ClientManager, Error, Health, Subscription};

pub use config::{RedisOptions, SentinelOptions};
use connect::Connector;
use listen::RedisListener;
pub use manager_api::backend::TlsOptions;
use publish::{Publisher, RedisLink};

/// A manager whose broker is Redis, alone, behind Sentinel, or a cluster.
///
/// Publishing shares one connection, opened by the first publish; every subscription has its own. Dropping the manager ends its
/// subscriptions; what was handed to [`publish`](ClientManager::publish) is still sent in the background.
#[derive(Debug)]
pub struct RedisManager {
    options: RedisOptions,
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    listeners: Listeners,
}

impl RedisManager {
    /// The URL schemes that [`new`](Self::new) understands.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Checks `url` and `options` and makes a manager; connects on first use.
    ///
    /// - `redis://[user:password@]host[:port][/db]`, with TLS `rediss://`; the same as `valkey://`, `valkeys://`
    /// - `unix:///path/to/socket`, also `redis+unix://`, `valkey+unix://`
    /// - `redis+sentinel://[user:password@]host[:port],…[/db][/service]`, with TLS `rediss+sentinel://`: the master is asked for at
    ///   each connect; without a service, the channel's name is taken for one
    /// - `redis+cluster://[user:password@]host[:port],…`, with TLS `rediss+cluster://`: any of the nodes will do, and the next one
    ///   is tried at each reconnect
    ///
    /// Query parameters: `username`, `password`, `db`; `sentinel_username`, `sentinel_password`; with TLS `ca=/path/to/certificates.pem`
    /// (authorities, or the server's own certificate), `client_cert`, `client_key` and `tls_server_name`. A database number is accepted and has
    /// no effect: publish/subscribe knows no databases.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The text repeats no password.
    pub fn new(url: &str, options: RedisOptions) -> Result<Self, Error> {
        let connector = Arc::new(Connector::new(url, &options)?);
        let status = Arc::new(Status::new("Redis"));
        let link = RedisLink {
            options: options.clone(),
            connector: connector.clone(),
        };
        let publisher = Publisher::new(link, &options.common, status.clone());
        let listeners = Listeners::new(&options.common, status.clone());
        Ok(Self {
            options,
            connector,
            status,
            publisher,
            listeners,
        })
    }
}

#[async_trait]
impl ClientManager for RedisManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        check_len(&message, &self.options.common)?;
        self.publisher.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let listener = RedisListener::new(self.connector.clone(), &self.options);
        self.listeners.subscribe(listener).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.listeners.close(self.publisher.close()).await
    }

    fn health(&self) -> Health {
        self.status.health()
    }
}
