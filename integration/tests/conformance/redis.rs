//! Redis, in its flavours.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::Flavour;
use integration::brokers::redis::{RedisBroker, RedisCluster, RedisSentinel, RedisTls, Valkey, ask};
use manager_api::{ClientManager, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::Backend;

use super::Broker;

struct Redis<F>(Broker<F>);

#[async_trait]
impl<F: Flavour> Backend for Redis<F> {
    async fn manager(&self, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = RedisOptions {
            common,
            ..RedisOptions::default()
        };
        Arc::new(RedisManager::new(&self.0.url, options).unwrap())
    }

    async fn stop(&self) {
        self.0.stop().await;
    }

    async fn start(&self) {
        self.0.start().await;
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let mut question = ::redis::cmd("PUBSUB");
        question.arg("NUMSUB").arg(channel);
        let mut num_subscribers = 0;
        for url in &self.0.direct_urls {
            let (_, on_this): (String, usize) = ask(url, &question).await.unwrap();
            num_subscribers += on_this;
        }
        num_subscribers
    }
}

/// Makes a module with the suite for each flavour.
macro_rules! flavours {
    ($($module:ident: $flavour:ty),* $(,)?) => {
        $(manager_testkit::conformance! {
            mod $module;
            shared: Redis(Broker::<$flavour>::shared().await);
            private: Redis(Broker::<$flavour>::private().await);
        })*
    };
}

flavours! {
    plain: RedisBroker,
    tls: RedisTls,
    sentinel: RedisSentinel,
    cluster: RedisCluster,
    valkey: Valkey,
}
