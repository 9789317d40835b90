//! The conformance suite on Redis.

use std::sync::Arc;

use async_trait::async_trait;
use integration::brokers::RedisBroker;
use manager_api::{ClientManager, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::Backend;
use tokio::sync::Mutex;

/// The Redis of all tests, or one that a case may take down.
struct Redis {
    url: String,
    private: Option<Mutex<RedisBroker>>,
}

impl Redis {
    async fn shared() -> Self {
        Self {
            url: RedisBroker::shared().await.url().to_owned(),
            private: None,
        }
    }

    async fn private() -> Self {
        let broker = RedisBroker::start().await;
        Self {
            url: broker.url(),
            private: Some(Mutex::new(broker)),
        }
    }

    fn own(&self) -> &Mutex<RedisBroker> {
        self.private.as_ref().expect("the broker of all tests stays up")
    }
}

#[async_trait]
impl Backend for Redis {
    async fn manager(&self, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = RedisOptions {
            common,
            ..RedisOptions::default()
        };
        Arc::new(RedisManager::new(&self.url, options).unwrap())
    }

    async fn stop(&self) {
        self.own().lock().await.kill();
    }

    async fn start(&self) {
        self.own().lock().await.restart().await;
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let client = ::redis::Client::open(&*self.url).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut question = ::redis::cmd("PUBSUB");
        question.arg("NUMSUB").arg(channel);
        let (_, count): (String, usize) = question.query_async(&mut connection).await.unwrap();
        count
    }
}

manager_testkit::conformance! {
    mod conformance;
    shared: Redis::shared().await;
    private: Redis::private().await;
}
