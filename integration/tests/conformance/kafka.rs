//! Kafka, in its flavours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use integration::brokers::Flavour;
#[cfg(feature = "kafka-tls")]
use integration::brokers::kafka::KafkaTls;
use integration::brokers::kafka::{KafkaBroker, KafkaSasl};
use manager_api::{ClientManager, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions};
use manager_testkit::{Backend, Fault, OnLink};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Broker, why_not};

struct Kafka<F>(Broker<F>);

fn manager_at(url: &str, mut common: ManagerOptions) -> KafkaManager {
    if common.deadline >= ManagerOptions::default().deadline {
        // Where a case waits for the broker to start: a Java process takes its time.
        common.deadline = Duration::from_secs(60);
    }
    let options = KafkaOptions {
        common,
        ..KafkaOptions::default()
    };
    KafkaManager::new(url, options).unwrap()
}

#[async_trait]
impl<F: Flavour> Backend for Kafka<F> {
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

    /// All that a consumer can leave on a broker is a group.
    async fn num_consumers(&self, _channel: &str) -> usize {
        let servers = self.0.direct_urls[0].trim_start_matches("kafka://").to_owned();
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

/// Makes a module with the suite for each flavour.
macro_rules! flavours {
    ($($(#[$when:meta])? $module:ident: $flavour:ty),* $(,)?) => {
        $($(#[$when])? manager_testkit::conformance! {
            mod $module;
            shared: Kafka(Broker::<$flavour>::shared().await);
            private: Kafka(Broker::<$flavour>::private().await);
        })*

        pub(super) fn lacking() -> Vec<(&'static str, Fault, &'static str)> {
            [$($(#[$when])? super::lacking::<$flavour>()),*].concat()
        }
    };
}

flavours! {
    plain: KafkaBroker,
    sasl: KafkaSasl,
    #[cfg(feature = "kafka-tls")] tls: KafkaTls,
}
