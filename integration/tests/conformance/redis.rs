//! Redis, in its flavours.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::Flavour;
use integration::brokers::redis::{RedisBroker, RedisCluster, RedisSentinel, RedisTls, Valkey, ask};
use manager_api::{ClientManager, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::{Backend, Fault, OnLink};

use super::{Broker, why_not};

struct Redis<F>(Broker<F>);

fn manager_at(url: &str, common: ManagerOptions) -> RedisManager {
    let options = RedisOptions {
        common,
        ..RedisOptions::default()
    };
    RedisManager::new(url, options).unwrap()
}

#[async_trait]
impl<F: Flavour> Backend for Redis<F> {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        Arc::new(manager_at(&self.0.url, options))
    }

    async fn stop(&self) {
        self.0.stop().await;
    }

    async fn start(&self) {
        self.0.start().await;
    }

    fn lacks(&self, fault: Fault) -> Option<&'static str> {
        why_not::<F>(fault)
    }

    async fn freeze(&self) -> bool {
        self.0.freeze().await
    }

    async fn thaw(&self) {
        self.0.thaw().await;
    }

    async fn manager_on_a_line(&self, options: ManagerOptions) -> Option<OnLink> {
        self.0.on_a_line(|url| Arc::new(manager_at(url, options))).await
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

        pub(super) fn lacking() -> Vec<(&'static str, Fault, &'static str)> {
            [$(super::lacking::<$flavour>()),*].concat()
        }
    };
}

flavours! {
    plain: RedisBroker,
    tls: RedisTls,
    sentinel: RedisSentinel,
    cluster: RedisCluster,
    valkey: Valkey,
}
