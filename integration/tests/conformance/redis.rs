//! The suite on the flavours of Redis.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::redis::{RedisBroker, RedisCluster, RedisSentinel, RedisTls, Valkey, ask};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::Fault;

use super::{Broker, Managers};

/// Managers over Redis publish/subscribe.
struct Redis;

#[async_trait]
impl Managers for Redis {
    const NO_LOG: Option<&'static str> = Some("publish/subscribe keeps no messages: redis+stream:// does");
    fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = RedisOptions {
            common,
            ..RedisOptions::default()
        };
        Arc::new(RedisManager::new(url, options).unwrap())
    }

    async fn num_consumers(direct_urls: &[String], channel: &str, _: &[HostId]) -> usize {
        let mut question = ::redis::cmd("PUBSUB");
        question.arg("NUMSUB").arg(channel);
        let mut num_subscribers = 0;
        for url in direct_urls {
            let (_, on_this): (String, usize) = ask(url, &question).await.unwrap();
            num_subscribers += on_this;
        }
        num_subscribers
    }
}

flavours! {
    Redis:
    plain: RedisBroker,
    tls: RedisTls,
    sentinel: RedisSentinel,
    cluster: RedisCluster,
    valkey: Valkey,
}
