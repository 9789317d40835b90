//! The suite on the flavours of Kafka.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "kafka-tls")]
use integration::brokers::kafka::KafkaTls;
use integration::brokers::kafka::{KafkaBroker, KafkaSasl};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_testkit::Fault;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Broker, Managers};

/// Managers over Kafka.
struct Kafka;

#[async_trait]
impl Managers for Kafka {
    const NO_TOPICS: Option<&'static str> = Some("the wires that need topics are not spoken over Kafka");
    const RESTART_LOSES_MESSAGES: bool = false;

    fn manager(url: &str, mut common: ManagerOptions) -> Arc<dyn ClientManager> {
        if common.deadline >= ManagerOptions::default().deadline {
            // The case waits for the start of the broker, which takes long for a Java process.
            common.deadline = Duration::from_secs(60);
        }
        let options = KafkaOptions {
            common,
            ..KafkaOptions::default()
        };
        Arc::new(KafkaManager::new(url, options).unwrap())
    }

    /// All that a consumer can leave on a broker is a group.
    async fn num_consumers(direct_urls: &[String], _: &str, _: &[HostId]) -> usize {
        let servers = direct_urls[0].trim_start_matches("kafka://").to_owned();
        let count = move || {
            let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
            let groups = asker.fetch_group_list(None, Duration::from_secs(10)).unwrap();
            groups.groups().len()
        };
        tokio::task::spawn_blocking(count).await.unwrap()
    }
}

flavours! {
    Kafka:
    plain: KafkaBroker,
    sasl: KafkaSasl,
    #[cfg(feature = "kafka-tls")] tls: KafkaTls,
}
