#![doc = include_str!("../README.md")]
//!
//! # Files
//!
//! | file | contents |
//! |---|---|
//! | `config.rs`, `url.rs` | options; the URL |
//! | `connect.rs`, `socket.rs`, `tls.rs`, `session.rs` | sockets, TLS, the choice of a server; a connection and its task |
//! | `pooler.rs`, `probe.rs` | the recognition of connection poolers, and of other services |
//! | `publish.rs`, `pipeline.rs` | publishing: one connection, batches of messages |
//! | `listen.rs`, `listen/read.rs`, `position.rs` | the listening side of a subscription; the statement that reads; what was read |
//! | `source.rs`, `source/*.rs` | a table as a source of records |
//! | `topics.rs`, `topics/*.rs` | notifications as topics, and a table for what is too long for one |
//! | `schema.rs`, `schema/*.sql` | the objects in the database |
//! | `trim.rs` | the deletion of old messages |
//! | `examine.rs` | the examination of a database for a diagnosis |
//! | `error.rs`, `refusal.rs` | failures and errors; the meaning of the server's errors |
#![deny(missing_docs)]

mod config;
mod connect;
mod error;
mod examine;
mod listen;
mod pipeline;
mod pooler;
mod position;
mod probe;
mod publish;
mod refusal;
pub mod schema;
mod session;
mod socket;
mod source;
mod tls;
mod topics;
mod trim;
mod url;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{Listeners, Status, check_len};
use manager_api::diagnosis::{Circumstances, Examination};
use manager_api::topics::Topics;
use manager_api::{ClientManager, Error, Health, Subscription};

pub use config::PostgresOptions;
use connect::Connector;
use listen::PostgresListener;
pub use manager_api::backend::TlsOptions;
use publish::{Carries, PostgresLink, Publisher};
pub use source::{TableSource, TableSourceOptions};

/// A manager whose broker is PostgreSQL, 14 or later.
///
/// Publishing shares one connection, opened by the first publish; each subscription has its own. Dropping the manager
/// ends its subscriptions; messages passed to [`publish`](ClientManager::publish) are still sent in the background.
#[derive(Debug)]
pub struct PostgresManager {
    /// As they were given.
    options: PostgresOptions,
    /// Opens the connections of all parts.
    connector: Arc<Connector>,
    /// What health reports.
    status: Arc<Status>,
    /// The queue of publishes, and their task.
    publisher: Publisher,
    /// The same for topics, which need another connection: one without our objects.
    notices: Publisher,
    /// The subscriptions.
    listeners: Listeners,
}

impl PostgresManager {
    /// The URL schemes that [`new`](Self::new) accepts.
    pub const SCHEMES: &'static [&'static str] = url::SCHEMES;

    /// Creates a manager, which connects on first use. The database needs the objects of [`schema::install`].
    ///
    /// `postgres://[user[:password]@]host[:port],…[/database]`, also `postgresql://`; several hosts are a primary and its
    /// standbys, of which the primary is used. `postgres:///database?host=/run/postgresql` is a Unix socket. User and
    /// port default to `postgres` and 5432, the database to the name of the user.
    ///
    /// Query parameters: `sslmode` (`disable`, the default, or `require`, which verifies certificate and name), with TLS
    /// `ca` or `sslrootcert`, `client_cert` or `sslcert`, `client_key` or `sslkey`, and `tls_server_name`; `schema`;
    /// `application_name`; `connect_timeout` in seconds; `user`, `password`, `dbname`, `host`, `port`. They take
    /// precedence over the options.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL or an option that cannot be used: a channel is 1 to
    /// 63 bytes long. The text never contains a password.
    pub fn new(url: &str, options: PostgresOptions) -> Result<Self, Error> {
        options.check()?;
        let connector = Arc::new(Connector::new(url, &options)?);
        let status = Arc::new(Status::new("PostgreSQL"));
        let publisher = |carries| {
            let link = PostgresLink {
                options: options.clone(),
                connector: connector.clone(),
                carries,
            };
            Publisher::new(link, &options.common, status.clone())
        };
        let (publisher, notices) = (publisher(Carries::Log), publisher(Carries::Notices));
        let listeners = Listeners::new(&options.common, status.clone());
        Ok(Self {
            options,
            connector,
            status,
            publisher,
            notices,
            listeners,
        })
    }
}

#[async_trait]
impl ClientManager for PostgresManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        check_len(&message, &self.options.common)?;
        self.publisher.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let listener = PostgresListener::new(self.connector.clone(), self.status.clone(), &self.options);
        self.listeners.subscribe(listener).await
    }

    async fn close(&self) -> Result<(), Error> {
        let flush = async {
            let (log, notices) = tokio::join!(self.publisher.close(), self.notices.close());
            log.and(notices)
        };
        self.listeners.close(flush).await
    }

    fn deadline(&self) -> Duration {
        self.options.common.deadline
    }

    fn health(&self) -> Health {
        self.status.health()
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }

    async fn examine(&self, known: Circumstances) -> Examination {
        examine::examine(&self.connector, &self.options.common.channel, &known).await
    }
}
