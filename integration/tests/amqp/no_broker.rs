//! Managers without a broker at their address.

use integration::DEADLINE;
use manager_amqp::{AmqpManager, AmqpOptions};

use super::limits::longest_times;
use crate::support::closes_while_it_waits;

const URL: &str = "amqp://127.0.0.1:1";

#[tokio::test]
async fn with_the_longest_times_a_manager_waits_and_nothing_panics() {
    let options = longest_times("unused");
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
