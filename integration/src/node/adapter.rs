//! The adapters that servers of Node.js are scaled by.

use crate::brokers::RedisBroker;
use crate::brokers::postgres::{PostgresBroker, ask};

/// The adapters of socket.io over Redis and PostgreSQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAdapter {
    /// `createAdapter` of `@socket.io/redis-adapter`: Pub/Sub.
    Classic,
    /// The same with `publishOnSpecificResponseChannel`.
    ClassicSpecific,
    /// `createShardedAdapter` of `@socket.io/redis-adapter`: sharded Pub/Sub, of Redis 7.
    Sharded,
    /// `@socket.io/redis-streams-adapter` 0.3: a stream for what is kept, Pub/Sub for requests.
    Streams,
    /// `@socket.io/redis-streams-adapter` 0.2: a stream for everything, and heartbeats.
    Streams02,
    /// `@socket.io/postgres-adapter`: notifications, a table for what they cannot carry, and
    /// heartbeats.
    Postgres,
}

impl NodeAdapter {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Classic,
        Self::ClassicSpecific,
        Self::Sharded,
        Self::Streams,
        Self::Streams02,
        Self::Postgres,
    ];

    /// Its name in the scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::ClassicSpecific => "classic-specific",
            Self::Sharded => "sharded",
            Self::Streams => "streams",
            Self::Streams02 => "streams-0.2",
            Self::Postgres => "postgres",
        }
    }

    /// Returns the URL of the broker that all tests share, with what the adapter needs there.
    ///
    /// # Panics
    ///
    /// When the broker is not installed.
    pub async fn shared_url(self) -> &'static str {
        match self {
            Self::Postgres => {
                let url = PostgresBroker::shared().await.url();
                attachments(url).await;
                url
            }
            _ => RedisBroker::shared().await.url(),
        }
    }
}

/// Makes the table of attachments, as the documentation of the adapter says, if it is not there.
///
/// # Panics
///
/// When it cannot be made.
pub async fn attachments(postgres_url: &str) {
    // Two tests may do so at once.
    let statement = "BEGIN; SELECT pg_advisory_xact_lock(1); CREATE TABLE IF NOT EXISTS socket_io_attachments \
                     (id bigserial UNIQUE, created_at timestamptz DEFAULT NOW(), payload bytea); COMMIT";
    ask(postgres_url, statement)
        .await
        .expect("the table of attachments is made");
}
