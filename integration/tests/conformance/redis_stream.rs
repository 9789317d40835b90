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
    sentinel: RedisSentinel,
    cluster: RedisCluster,
}
