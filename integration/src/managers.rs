//! Managers of every kind, by the URL of their broker.

use std::sync::Arc;

use manager_api::{ClientManager, ManagerOptions};
use manager_kafka::{KafkaOptions, TopicOptions};
use siokit::ConnectOptions;

/// Makes a manager; it connects on first use. A topic of Kafka that it makes has one partition, so that messages of publishers
/// that give no key, as python-socketio, keep their order, too.
///
/// # Panics
///
/// When the URL cannot be used.
#[must_use]
pub fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
    let options = ConnectOptions {
        common,
        kafka: KafkaOptions {
            topic: TopicOptions {
                num_partitions: Some(1),
                ..TopicOptions::default()
            },
            ..KafkaOptions::default()
        },
        ..ConnectOptions::default()
    };
    siokit::connect_with(url, options).unwrap_or_else(|error| panic!("{url} cannot be used: {error}"))
}

/// Makes a manager on `channel` with default options otherwise.
///
/// # Panics
///
/// When the URL cannot be used.
#[must_use]
pub fn on_channel(url: &str, channel: &str) -> Arc<dyn ClientManager> {
    let common = ManagerOptions {
        channel: channel.to_owned(),
        ..ManagerOptions::default()
    };
    manager(url, common)
}
