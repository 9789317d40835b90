//! Managers of every kind, by the URL of their broker.

use std::sync::Arc;

use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions, TopicOptions};
use manager_redis::{RedisManager, RedisOptions};

/// Makes a manager; it connects on first use. A topic of Kafka that it makes has one partition, so that messages of publishers
/// that give no key, as python-socketio, keep their order, too.
///
/// # Panics
///
/// When the URL is none.
#[must_use]
pub fn manager(url: &str, common: ManagerOptions) -> Arc<dyn ClientManager> {
    let made = match url.split(':').next() {
        Some(scheme) if AmqpManager::SCHEMES.contains(&scheme) => amqp(url, common),
        Some(scheme) if KafkaManager::SCHEMES.contains(&scheme) => kafka(url, common),
        _ => redis(url, common),
    };
    made.unwrap_or_else(|error| panic!("{url} is no broker: {error}"))
}

/// Makes a manager on `channel` with default options otherwise.
///
/// # Panics
///
/// When the URL is none.
#[must_use]
pub fn on_channel(url: &str, channel: &str) -> Arc<dyn ClientManager> {
    let common = ManagerOptions {
        channel: channel.to_owned(),
        ..ManagerOptions::default()
    };
    manager(url, common)
}

type Made = Result<Arc<dyn ClientManager>, manager_api::Error>;

fn redis(url: &str, common: ManagerOptions) -> Made {
    let options = RedisOptions {
        common,
        ..RedisOptions::default()
    };
    Ok(Arc::new(RedisManager::new(url, options)?))
}

fn amqp(url: &str, common: ManagerOptions) -> Made {
    let options = AmqpOptions {
        common,
        ..AmqpOptions::default()
    };
    Ok(Arc::new(AmqpManager::new(url, options)?))
}

fn kafka(url: &str, common: ManagerOptions) -> Made {
    let options = KafkaOptions {
        common,
        topic: TopicOptions {
            num_partitions: Some(1),
            ..TopicOptions::default()
        },
        ..KafkaOptions::default()
    };
    Ok(Arc::new(KafkaManager::new(url, options)?))
}
