//! Managers without a broker at their address.

use std::time::Duration;

use integration::DEADLINE;
use manager_api::ManagerOptions;
use manager_kafka::{KafkaManager, KafkaOptions};

use crate::support::closes_while_it_waits;

const URL: &str = "kafka://127.0.0.1:1";

#[tokio::test]
async fn with_the_longest_times_a_manager_waits_and_nothing_panics() {
    let options = KafkaOptions {
        common: ManagerOptions {
            deadline: Duration::MAX,
            backoff_base: Duration::MAX,
            backoff_cap: Duration::MAX,
            ..ManagerOptions::default()
        },
        linger: Duration::MAX,
        request_timeout: Duration::MAX,
        partition_refresh: Duration::MAX,
        ..KafkaOptions::default()
    };
    let manager = KafkaManager::new(URL, options).unwrap();
    closes_while_it_waits(&manager).await;
}

#[tokio::test]
async fn a_subscribe_ends_although_the_close_was_given_up() {
    let mut options = KafkaOptions::default();
    options.common.deadline = 3 * DEADLINE;
    let manager = KafkaManager::new(URL, options).unwrap();
    closes_while_it_waits(&manager).await;
}
