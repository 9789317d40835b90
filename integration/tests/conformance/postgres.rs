//! The suite on the flavours of PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::postgres::{PostgresBroker, PostgresTls, ask};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_postgres::{PostgresManager, PostgresOptions};
use manager_testkit::Fault;

use super::{Broker, Managers};

/// Managers over PostgreSQL.
struct Postgres;

#[async_trait]
impl Managers for Postgres {
    const NO_LOG: Option<&'static str> = Some("the log table is not read from the past on yet");
    const NO_TOPIC_KINDS: Option<&'static str> = Some("notifications have names, and no one counts who listens");
    const RESTART_LOSES_MESSAGES: bool = false;

    fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = PostgresOptions {
            common,
            ..PostgresOptions::default()
        };
        Arc::new(PostgresManager::new(url, options).unwrap())
    }

    /// Each listener holds a lock whose second key is the hash of schema and channel.
    async fn num_consumers(direct_urls: &[String], channel: &str, _: &[HostId]) -> usize {
        let question = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 \
             AND objid::bigint = hashtext('sio.{channel}')::bigint & 4294967295"
        );
        let rows = ask(&direct_urls[0], &question).await.unwrap();
        rows[0][0].parse().unwrap()
    }
}

flavours! {
    Postgres:
    plain: PostgresBroker,
}

/// What TLS could change: buffers, sizes, the end of a connection. The whole suite takes a minute.
mod tls {
    use super::*;

    manager_testkit::conformance! { @cases Broker::<Postgres, PostgresTls>::shared().await;
        a_message_reaches_every_subscriber_once
        bytes_arrive_exactly
        many_publishes_in_flight_keep_order
        a_slow_subscriber_is_bounded_and_loses_nothing_silently
        close_flushes_then_ends_the_stream
    }
    manager_testkit::conformance! { @cases Broker::<Postgres, PostgresTls>::private().await;
        a_restart_under_load_loses_nothing_silently
        a_publish_whose_answer_was_lost_reaches_subscribers_at_most_once
    }
}
