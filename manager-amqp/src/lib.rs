#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `config.rs`, `url.rs` | options; the URL |
//! | `connect.rs` | connections, and the declaration of the exchange |
//! | `driver.rs` | the runtime of the client library's threads, and the suppression of their log lines |
//! | `publish.rs`, `pipeline.rs` | publishing: one channel with confirms, many messages in flight |
//! | `listen.rs`, `listen/queue.rs`, `listen/window.rs` | the listening side of a subscription, its queue, its prefetch |
//! | `listen/replay.rs`, `listen/numbers.rs` | redelivered messages; missing messages |
//! | `listen/binding.rs`, `listen/proof.rs` | the proof that the queue is bound: when it is needed, how it is made |
//! | `source.rs`, `source/letters.rs` | a queue as a source of records; its dead letters |
//! | `examine.rs` | the examination of a broker for a diagnosis |
//! | `error.rs`, `refusal.rs` | failures and errors; the meaning of the broker's replies |
#![deny(missing_docs)]

mod config;
mod connect;
mod driver;
mod error;
mod examine;
mod listen;
mod pipeline;
mod publish;
mod refusal;
mod source;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, Status, check_len};
use manager_api::diagnosis::{Circumstances, Examination};
use manager_api::log::LimitedLog;
use manager_api::{ClientManager, Error, Health, HostId, Subscription};
use tokio::sync::watch;

pub use manager_api::backend::TlsOptions;

pub use config::{AmqpOptions, Argument, Arguments, ExchangeOptions, QueueKind, QueueOptions};
use connect::Connector;
use listen::AmqpListener;
use publish::{AmqpLink, Publisher};
pub use source::{QueueSource, QueueSourceOptions};
use url::Target;

/// A manager whose broker is RabbitMQ.
///
/// Publishing shares one connection, opened by the first publish. Each subscription has its own, because a
/// broker that is short of memory stops reading from connections that publish. Dropping the manager ends its
/// subscriptions; messages passed to [`publish`](ClientManager::publish) are still sent in the background.
#[derive(Debug)]
pub struct AmqpManager {
    options: AmqpOptions,
    host_id: HostId,
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    /// Rises whenever the publisher has reason to doubt that queues are bound.
    doubts: watch::Receiver<u64>,
    num_subscribed: AtomicUsize,
    listeners: Listeners,
}

impl AmqpManager {
    /// The URL schemes that [`new`](Self::new) accepts.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Creates a manager, which connects on first use.
    ///
    /// `amqp://[user:password@]host[:port][/vhost]`, with TLS `amqps://`. User and password default to
    /// `guest`, the port to 5672 (5671 with TLS), the virtual host to `/`, which `amqp://localhost//` and
    /// `/%2f` name as well.
    ///
    /// Query parameters: `heartbeat` (seconds) and `connection_timeout` (milliseconds), `channel_max`,
    /// `frame_max`, `queue` (`auto`, `durable`, `transient`, `exclusive` or `quorum`: the [`QueueKind`]), and,
    /// with TLS, `ca`, `client_cert`, `client_key` and `tls_server_name`. They take precedence over the options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The
    /// text never contains a password.
    pub fn new(url: &str, mut options: AmqpOptions) -> Result<Self, Error> {
        options.check()?;
        options.queue.kind = Target::parse(url)?.queue_kind.unwrap_or(options.queue.kind);
        let host_id = HostId::random();
        let connector = Arc::new(Connector::new(url, &options, &host_id)?);
        let status = Arc::new(Status::new("RabbitMQ"));
        let link = AmqpLink {
            connector: connector.clone(),
            host_id: host_id.clone(),
            max_unconfirmed: options.max_unconfirmed,
            doubts: watch::Sender::new(0),
            unheard_log: LimitedLog::new(),
        };
        let doubts = link.doubts.subscribe();
        let publisher = Publisher::new(link, &options.common, status.clone());
        let listeners = Listeners::new(&options.common, status.clone());
        Ok(Self {
            options,
            host_id,
            connector,
            status,
            publisher,
            doubts,
            num_subscribed: AtomicUsize::new(0),
            listeners,
        })
    }

    /// Returns the name of the queue of the next subscription: the host id, numbered from the second on.
    fn next_queue(&self) -> String {
        let prefix = &self.options.queue.prefix;
        match self.num_subscribed.fetch_add(1, Ordering::Relaxed) {
            0 => format!("{prefix}{}", self.host_id),
            number => format!("{prefix}{}.{}", self.host_id, number + 1),
        }
    }
}

#[async_trait]
impl ClientManager for AmqpManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        check_len(&message, &self.options.common)?;
        self.publisher.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let listener = AmqpListener::new(
            self.connector.clone(),
            self.status.clone(),
            &self.options,
            self.next_queue(),
            self.doubts.clone(),
        );
        self.listeners.subscribe(listener).await
    }

    async fn close(&self) -> Result<(), Error> {
        self.listeners.close(self.publisher.close()).await
    }

    fn host_id(&self) -> Option<HostId> {
        Some(self.host_id.clone())
    }

    fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    /// Reports in `listeners` whether a queue was bound when this manager published before it subscribed.
    async fn examine(&self, known: Circumstances) -> Examination {
        let mut examination = match known.has_servers {
            true => Examination::default(),
            false => examine::other_exchanges(&self.connector).await,
        };
        let has_published_alone = self.num_subscribed.load(Ordering::Relaxed) == known.own_subscriptions;
        let health = self.status.health();
        if has_published_alone && health.num_published > 0 {
            examination.listeners = Some(usize::from(health.num_unheard == 0));
        }
        examination
    }
}
