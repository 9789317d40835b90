//! A manager where no broker is.

use std::time::Duration;

use manager_api::{ClientManager, ErrorKind, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::time::timeout;

const URL: &str = "kafka://127.0.0.1:1";
const SHORT: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

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
    let mut publishing = manager.publish("x".into());
    let mut subscribing = manager.subscribe();
    assert!(timeout(SHORT, publishing.as_mut()).await.is_err());
    assert!(timeout(SHORT, subscribing.as_mut()).await.is_err());
    assert!(timeout(SHORT, manager.close()).await.is_err());
    let subscribed = timeout(PATIENCE, subscribing).await.expect("the manager is closed");
    assert_eq!(subscribed.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_subscribe_ends_although_the_close_was_given_up() {
    let mut options = KafkaOptions::default();
    options.common.deadline = 3 * PATIENCE;
    let manager = KafkaManager::new(URL, options).unwrap();
    let mut publishing = manager.publish("x".into());
    let mut subscribing = manager.subscribe();
    assert!(timeout(SHORT, publishing.as_mut()).await.is_err());
    assert!(timeout(SHORT, subscribing.as_mut()).await.is_err());
    assert!(timeout(SHORT, manager.close()).await.is_err());
    let subscribed = timeout(PATIENCE, subscribing).await.expect("the manager is closed");
    assert_eq!(subscribed.unwrap_err().kind(), ErrorKind::Closed);
}
