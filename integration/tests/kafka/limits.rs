//! Durations and byte limits without a bound.

use std::sync::Arc;
use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::{KafkaBroker, unique_channel};
use manager_api::{ClientManager, Incoming, ManagerOptions};
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_longest_times_a_manager_publishes_listens_and_closes() {
    let kafka = KafkaBroker::shared().await;
    for partition_refresh in [Duration::MAX, Duration::ZERO] {
        let options = KafkaOptions {
            common: ManagerOptions {
                channel: unique_channel(),
                deadline: Duration::MAX,
                max_in_flight_bytes: usize::MAX,
                backoff_cap: Duration::MAX,
                ..ManagerOptions::default()
            },
            linger: Duration::MAX,
            request_timeout: Duration::MAX,
            partition_refresh,
            ..KafkaOptions::default()
        };
        let manager = KafkaManager::new(kafka.url(), options).unwrap();
        let everything = async {
            let mut subscription = manager.subscribe().await.unwrap();
            manager.publish("a".into()).await.unwrap();
            assert_eq!(subscription.recv().await, Some(Incoming::Message("a".into())));
            manager.close().await.unwrap();
            assert_eq!(subscription.recv().await, None);
        };
        timeout(2 * DEADLINE, everything).await.expect("nothing hangs");
    }
}

#[tokio::test]
async fn a_publish_completes_although_the_runtime_of_the_first_one_stands_still() {
    let kafka = KafkaBroker::shared().await;
    let mut options = KafkaOptions::default();
    options.common.channel = unique_channel();
    let manager = Arc::new(KafkaManager::new(kafka.url(), options).unwrap());
    let first = manager.clone();
    let published = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap();
        runtime.block_on(first.publish("a".into())).map(|()| runtime)
    });
    let stalled = published.await.unwrap().unwrap();
    manager.publish("b".into()).await.unwrap();
    manager.close().await.unwrap();
    stalled.shutdown_background();
}
