//! The suite on Redis where a stream carries the messages.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::redis::{RedisBroker, RedisCluster, RedisSentinel, ask};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions, StreamLog};
use manager_testkit::Fault;

use super::{Broker, Managers};

/// Managers over a stream of Redis.
struct Stream;

#[async_trait]
impl Managers for Stream {
    fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = RedisOptions {
            common,
            log: Some(StreamLog::default()),
            ..RedisOptions::default()
        };
        Arc::new(RedisManager::new(url, options).unwrap())
    }

    /// A reader is a connection, which has the name of what it reads.
    async fn num_consumers(direct_urls: &[String], channel: &str, _: &[HostId]) -> usize {
        let question = ::redis::cmd("CLIENT").arg("LIST").to_owned();
        let mut num_readers = 0;
        for url in direct_urls {
            let clients: String = ask(url, &question).await.unwrap();
            num_readers += clients.matches(&format!(" name=sio-reads-{channel} ")).count();
        }
        num_readers
    }
}

flavours! {
    Stream:
    plain: RedisBroker,
}

/// Makes a module with what finding the node of a stream could change.
macro_rules! elsewhere {
    ($($module:ident: $flavour:ty),* $(,)?) => {$(
        mod $module {
            use super::*;

            manager_testkit::conformance! { @cases Broker::<Stream, $flavour>::shared().await;
                a_message_reaches_every_subscriber_once
                many_publishes_in_flight_keep_order
                readers_agree_about_order_and_positions
                a_reader_yields_the_past_then_what_is_new
                a_position_that_is_not_in_the_log_is_a_gap
                a_reader_ends_when_it_is_dropped_or_its_manager_closed
            }
            manager_testkit::conformance! { @cases Broker::<Stream, $flavour>::private().await;
                a_restart_under_load_loses_nothing_silently
                a_log_is_read_on_after_a_restart
            }
        }
    )*};
}

elsewhere! {
    sentinel: RedisSentinel,
    cluster: RedisCluster,
}
