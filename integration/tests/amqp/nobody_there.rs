//! A manager where no broker is.

use std::time::Duration;

use integration::DEADLINE;
use manager_amqp::{AmqpManager, AmqpOptions, QueueOptions};
use manager_api::ManagerOptions;

use crate::support::closes_while_it_waits;

const URL: &str = "amqp://127.0.0.1:1";

#[tokio::test]
async fn with_the_longest_times_a_manager_waits_and_nothing_panics() {
    let options = AmqpOptions {
        common: ManagerOptions {
            deadline: Duration::MAX,
            backoff_base: Duration::MAX,
            backoff_cap: Duration::MAX,
            ..ManagerOptions::default()
        },
        connect_timeout: Duration::MAX,
        heartbeat: Duration::MAX,
        check_interval: Duration::MAX,
        queue: QueueOptions {
            expires: Duration::MAX,
            ..QueueOptions::default()
        },
        ..AmqpOptions::default()
    };
    let manager = AmqpManager::new(URL, options).unwrap();
    closes_while_it_waits(&manager).await;
}

#[tokio::test]
async fn a_subscribe_ends_although_the_close_was_given_up() {
    let mut options = AmqpOptions::default();
    options.common.deadline = 3 * DEADLINE;
    let manager = AmqpManager::new(URL, options).unwrap();
    closes_while_it_waits(&manager).await;
}
