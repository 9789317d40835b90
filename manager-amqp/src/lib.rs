//! [`ClientManager`] over RabbitMQ (AMQP 0-9-1).
//!
//! ```no_run
//! # async fn example() -> Result<(), manager_api::Error> {
//! use manager_api::Emitter;
//! use manager_amqp::{AmqpManager, AmqpOptions};
//!
//! let manager = AmqpManager::new("amqp://guest:guest@localhost:5672//", AmqpOptions::default())?;
//! let emitter = Emitter::new(manager);
//! emitter.to("lobby").emit("job done", &7).await?;
//! # Ok(())
//! # }
//! ```
//!
//! | file | what it knows |
//! |---|---|
//! | `config.rs`, `url.rs` | options, what a URL says |
//! | `connect.rs` | connections, and what is declared on them |
//! | `driver.rs` | the runtime and the silence of the client library's threads |
//! | `publish.rs`, `pipeline.rs` | how messages get to RabbitMQ: one channel with confirms, many on their way |
//! | `listen.rs`, `listen/queue.rs`, `listen/replay.rs` | a subscription that comes back, its queue; what was seen before the connection was lost |
//! | `listen/proof.rs`, `listen/binding.rs`, `listen/numbers.rs` | proof that the queue is bound; numbers that are missing |
//! | `error.rs`, `refusal.rs` | what can go wrong, and what the broker's replies mean |
//!
//! # Topology
//!
//! One fanout exchange, named as the channel; one queue per subscription, named after the [host id](ClientManager::host_id), and an exchange of the same
//! name that leads to this queue only, for proofs. kombu and aio_pika peers, and so python-socketio's managers, declare the same fanout exchange and
//! read what is written here.
//!
//! # When a connection is lost
//!
//! The queue outlives the connection (by [`QueueOptions::expires`]) and collects what is published meanwhile. After the reconnect the same
//! queue is consumed again: nothing is lost, nothing comes twice, and the order is kept. A `Gap` is admitted if the queue was gone, because the
//! outage lasted longer than the queue; if it was not bound to the exchange any more, because the broker restarted or an operator undid it; or if
//! messages of a publisher are missing in it. That the queue is bound is proven by a probe after every reconnect, and whenever nothing came for
//! [`check_interval`](AmqpOptions::check_interval).
//!
//! Messages that were handed over but whose acknowledgement the broker may not have seen come again, flagged as redelivered. They are
//! recognised by their message id, or where a peer sets none (kombu) by their content: what the broker delivers again is always an end
//! piece of what it delivered before, so that the first one is looked up among the last [`prefetch`](AmqpOptions::prefetch) messages and
//! the others must follow it. Where equal messages without ids leave more than one reading, the shorter stream is delivered and a `Gap`
//! admitted. The queue has a single active consumer, so that a connection that the broker believes to be alive still and its successor
//! never get messages by turns.
//!
//! A message id is taken at its word: a peer that gives two messages the same one may lose the second if a connection breaks between them.
//!
//! # At most once
//!
//! What was handed to a connection is never sent again: if the connection breaks before the broker's confirm, the publish fails with
//! [`ErrorKind::Publish`](manager_api::ErrorKind::Publish).
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
//! a second of each kind, without URLs' passwords and without messages. `manager_amqp` has at `debug` a queue that could not be removed.
#![deny(missing_docs)]

mod config;
mod connect;
mod driver;
mod error;
mod listen;
mod pipeline;
mod publish;
mod refusal;
mod url;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, Status, check_len};
use manager_api::log::LimitedLog;
use manager_api::{ClientManager, Error, Health, HostId, Subscription};
use tokio::sync::watch;

pub use manager_api::backend::TlsOptions;

pub use config::{AmqpOptions, Argument, Arguments, ExchangeOptions, QueueKind, QueueOptions};
use connect::Connector;
use listen::AmqpListener;
use publish::{AmqpLink, Publisher};
use url::Target;

/// A manager whose broker is RabbitMQ.
///
/// Publishing shares one connection, opened by the first publish; a subscription has its own, because a broker short of memory stops
/// reading from connections that publish. Dropping the manager ends its subscriptions; what was handed to
/// [`publish`](ClientManager::publish) is still sent in the background.
#[derive(Debug)]
pub struct AmqpManager {
    options: AmqpOptions,
    host_id: HostId,
    connector: Arc<Connector>,
    status: Arc<Status>,
    publisher: Publisher,
    /// Rises with what the publisher sees of queues that are not bound.
    doubts: watch::Receiver<u64>,
    num_subscribed: AtomicUsize,
    listeners: Listeners,
}

impl AmqpManager {
    /// The URL schemes that [`new`](Self::new) understands.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Checks `url` and `options` and makes a manager; connects on first use.
    ///
    /// `amqp://[user:password@]host[:port][/vhost]`, with TLS `amqps://`. User and password default to `guest`, the port to 5672 (5671 with
    /// TLS), the virtual host to `/`; `amqp://localhost//` and `/%2f` name that one too.
    ///
    /// Query parameters: `heartbeat` and `connection_timeout` (seconds and milliseconds, over the options), `channel_max`, `frame_max`, `queue`
    /// (`auto`, `durable`, `transient`, `exclusive` or `quorum`: the [`QueueKind`], over the options), and, with TLS, `ca`, `client_cert`, `client_key` and
    /// `tls_server_name`, which go over [`TlsOptions`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used. The text repeats no password.
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

    /// Names the queue of the next subscription: after the host id, and numbered from the second on.
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

    fn health(&self) -> Health {
        self.status.health()
    }
}
