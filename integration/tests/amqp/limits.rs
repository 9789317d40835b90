//! Durations without a limit.

use std::time::Duration;

use futures_util::future::join_all;
use integration::brokers::{RabbitBroker, unique_channel};
use manager_amqp::{AmqpManager, AmqpOptions, QueueOptions};
use manager_api::{ClientManager, Incoming, ManagerOptions};
use tokio::time::timeout;

/// The longest wait for an event that must happen.
const PATIENCE: Duration = Duration::from_secs(30);
const COUNT: usize = 2_000;

/// Options all of whose times are without a limit.
pub(super) fn longest_times(channel: &str) -> AmqpOptions {
    AmqpOptions {
        common: ManagerOptions {
            channel: channel.to_owned(),
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
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_longest_times_a_manager_publishes_listens_and_closes() {
    let broker = RabbitBroker::shared().await;
    let options = longest_times(&unique_channel());
    let manager = AmqpManager::new(broker.url(), options).unwrap();
    let everything = async {
        let mut subscription = manager.subscribe().await.unwrap();
        // So many that some are on their way when it is first looked whose time is over.
        for published in join_all((0..COUNT).map(|_| manager.publish("a".into()))).await {
            published.unwrap();
        }
        for _ in 0..COUNT {
            assert_eq!(subscription.recv().await, Some(Incoming::Message("a".into())));
        }
        manager.close().await.unwrap();
        assert_eq!(subscription.recv().await, None);
    };
    timeout(PATIENCE, everything).await.expect("nothing hangs");
}
