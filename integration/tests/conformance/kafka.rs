//! The suite on the flavours of Kafka.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
#[cfg(feature = "kafka-tls")]
use integration::brokers::kafka::KafkaTls;
use integration::brokers::kafka::{KafkaBroker, KafkaSasl};
use manager_api::{ClientManager, HostId, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions, TopicOptions};
use manager_testkit::Fault;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::{Broker, Managers};

/// Managers over Kafka.
struct Kafka;

#[async_trait]
impl Managers for Kafka {
    const NO_LOG: Option<&'static str> = Some("a topic of several partitions has no common order");
    const NO_TOPICS: Option<&'static str> = Some("the wires that need topics are not spoken over Kafka");
    const RESTART_LOSES_MESSAGES: bool = false;

    fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
        manager(url, common, None)
    }

    async fn num_consumers(direct_urls: &[String], _: &str, _: &[HostId]) -> usize {
        num_groups(direct_urls).await
    }
}

/// Managers over a topic of one partition, which is a log.
struct OnePartition;

#[async_trait]
impl Managers for OnePartition {
    const NO_TOPICS: Option<&'static str> = Kafka::NO_TOPICS;
    const RESTART_LOSES_MESSAGES: bool = false;

    fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
        manager(url, common, Some(1))
    }

    async fn num_consumers(direct_urls: &[String], _: &str, _: &[HostId]) -> usize {
        num_groups(direct_urls).await
    }
}

fn manager(url: &str, mut common: ManagerOptions, num_partitions: Option<u16>) -> Arc<dyn ClientManager> {
    if common.deadline >= ManagerOptions::default().deadline {
        // The case waits for the start of the broker, which takes long for a Java process.
        common.deadline = Duration::from_secs(60);
    }
    let options = KafkaOptions {
        common,
        topic: TopicOptions {
            num_partitions,
            ..TopicOptions::default()
        },
        ..KafkaOptions::default()
    };
    Arc::new(KafkaManager::new(url, options).unwrap())
}

/// Counts the groups: all that a consumer can leave on a broker.
async fn num_groups(direct_urls: &[String]) -> usize {
    let servers = direct_urls[0].trim_start_matches("kafka://").to_owned();
    let count = move || {
        let asker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
        let groups = asker.fetch_group_list(None, Duration::from_secs(10)).unwrap();
        groups.groups().len()
    };
    tokio::task::spawn_blocking(count).await.unwrap()
}

flavours! {
    Kafka:
    plain: KafkaBroker,
    sasl: KafkaSasl,
    #[cfg(feature = "kafka-tls")] tls: KafkaTls,
}

/// The cases of logs, on a topic of one partition; the others do not depend on that.
mod log {
    use super::*;

    manager_testkit::conformance! { @cases Broker::<OnePartition, KafkaBroker>::shared().await;
        readers_agree_about_order_and_positions
        a_reader_yields_the_past_then_what_is_new
        a_slow_reader_misses_nothing
        a_position_that_is_not_in_the_log_is_a_gap
        a_reader_ends_when_it_is_dropped_or_its_manager_closed
    }
    manager_testkit::conformance! { @cases Broker::<OnePartition, KafkaBroker>::private().await;
        a_log_is_read_on_after_a_restart
        a_log_is_read_on_after_a_lost_connection
    }
}
