//! Kafka: faults under numbered messages, rights, topics.

mod faults;
mod limits;
mod log;
mod no_broker;
mod outages;
mod protocols;
mod refusals;
#[cfg(feature = "kafka-tls")]
mod tls;
mod topics;

use std::time::Duration;

use bytes::Bytes;
use integration::DEADLINE;
use integration::brokers::unique_channel;
use manager_api::{ClientManager, Incoming, ManagerOptions, Subscription};
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::time::timeout;

/// Options on a topic of the test's own, with which faults are noticed soon.
fn options() -> KafkaOptions {
    KafkaOptions {
        common: ManagerOptions {
            channel: unique_channel(),
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(200),
            ..ManagerOptions::default()
        },
        ..KafkaOptions::default()
    }
}

fn manager(url: &str, options: &KafkaOptions) -> KafkaManager {
    KafkaManager::new(url, options.clone()).unwrap()
}

async fn next(subscription: &mut Subscription) -> Incoming {
    let incoming = timeout(2 * DEADLINE, subscription.recv()).await;
    incoming.expect("something comes").expect("the subscription goes on")
}

/// Receives a message where a gap would be a failure.
async fn next_message(subscription: &mut Subscription) -> Bytes {
    match next(subscription).await {
        Incoming::Message(message) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

async fn until_gap(subscription: &mut Subscription) {
    while !matches!(next(subscription).await, Incoming::Gap { .. }) {}
}

/// Publishes until the brokers take it.
async fn publish_at_last(manager: &KafkaManager, message: &str) {
    let published = async {
        while let Err(error) = manager.publish(message.to_owned().into()).await {
            assert!(error.is_retryable(), "{error:?}");
        }
    };
    timeout(2 * DEADLINE, published).await.expect("accepted at last");
}
