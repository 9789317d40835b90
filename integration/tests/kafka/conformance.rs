//! The conformance suite on Kafka.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration::brokers::KafkaBroker;
use manager_api::{ClientManager, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_testkit::Backend;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tokio::sync::Mutex;

/// The Kafka of all tests, or one that a case may take down.
struct Kafka {
    url: String,
    private: Option<Mutex<KafkaBroker>>,
}

impl Kafka {
    async fn shared() -> Self {
        Self {
            url: KafkaBroker::shared().await.url().to_owned(),
            private: None,
        }
    }

    async fn private() -> Self {
        let broker = KafkaBroker::start().await;
        Self {
            url: broker.url(),
            private: Some(Mutex::new(broker)),
        }
    }

    fn own(&self) -> &Mutex<KafkaBroker> {
        self.private.as_ref().expect("the broker of all tests stays up")
    }
}

#[async_trait]
impl Backend for Kafka {
    async fn manager(&self, mut common: ManagerOptions) -> Arc<dyn ClientManager> {
        if common.deadline >= ManagerOptions::default().deadline {
            // Where a case waits for the broker to start: a Java process takes its time.
            common.deadline = Duration::from_secs(60);
        }
        let options = KafkaOptions {
            common,
            ..KafkaOptions::default()
        };
        Arc::new(KafkaManager::new(&self.url, options).unwrap())
    }

    async fn stop(&self) {
        self.own().lock().await.kill();
    }

    async fn start(&self) {
        self.own().lock().await.restart().await;
    }

    /// All that a consumer can leave on a broker is a group.
    async fn num_consumers(&self, _channel: &str) -> usize {
        let servers = self.url.trim_start_matches("kafka://").to_owned();
        let count = move || {
            let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            let groups = asker.fetch_group_list(None, Duration::from_secs(10)).unwrap();
            groups.groups().len()
        };
        tokio::task::spawn_blocking(count).await.unwrap()
    }

    fn restart_loses_messages(&self) -> bool {
        false
    }
}

manager_testkit::conformance! {
    mod suite;
    shared: Kafka::shared().await;
    private: Kafka::private().await;
}
