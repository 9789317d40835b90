use std::sync::Arc;

use async_trait::async_trait;
use manager_api::{ClientManager, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use manager_testkit::Backend;

use crate::server::Server;

#[async_trait]
impl Backend for Server {
    async fn manager(&self, common: ManagerOptions) -> Arc<dyn ClientManager> {
        let options = RedisOptions {
            common,
            ..RedisOptions::default()
        };
        Arc::new(RedisManager::new(&self.url(), options).unwrap())
    }

    async fn stop(&self) {
        self.kill().await;
    }

    async fn start(&self) {
        Server::restart(self).await;
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        let question = redis::cmd("PUBSUB").arg("NUMSUB").arg(channel).to_owned();
        let (_, count): (String, usize) = self.command(&question).await.unwrap();
        count
    }
}

manager_testkit::conformance! {
    mod redis_server;
    shared: Server::start().await;
    private: Server::start().await;
}
