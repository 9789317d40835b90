//! Times without a limit, and closes that are given up.

use std::time::Duration;

use futures_util::FutureExt;
use manager_api::{ClientManager, ErrorKind, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use tokio::time::{sleep, timeout};

use super::faults::{expect_message, hasty};
use super::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn with_the_longest_times_a_manager_publishes_listens_and_closes() {
    let server = Server::start().await;
    for keepalive_interval in [Duration::from_millis(20), Duration::MAX] {
        let options = RedisOptions {
            common: ManagerOptions {
                deadline: Duration::MAX,
                backoff_base: Duration::MAX,
                backoff_cap: Duration::MAX,
                ..ManagerOptions::default()
            },
            connect_timeout: Duration::MAX,
            keepalive_interval,
            keepalive_timeout: Duration::MAX,
            ..RedisOptions::default()
        };
        let manager = RedisManager::new(&server.url(), options).unwrap();
        let mut subscription = manager.subscribe().await.unwrap();
        if keepalive_interval < Duration::MAX {
            // Before the first publish: these are the subscription's.
            let until = server.num_hellos().await + 3;
            let asked = async {
                while server.num_hellos().await < until {
                    sleep(Duration::from_millis(5)).await;
                }
            };
            timeout(PATIENCE, asked)
                .await
                .expect("the subscription asks for signs of life");
        }
        let published = timeout(PATIENCE, manager.publish("a".into())).await;
        published.expect("accepted soon").unwrap();
        expect_message(&mut subscription, "a").await;
        let closed = timeout(PATIENCE, manager.close()).await;
        closed.expect("closed soon").unwrap();
        assert!(subscription.recv().await.is_none());
    }
}

#[tokio::test]
async fn a_subscription_ends_although_the_close_was_given_up() {
    let server = Server::start().await;
    let mut options = hasty();
    options.common.deadline = 3 * PATIENCE;
    options.keepalive_timeout = 3 * PATIENCE;
    let manager = RedisManager::new(&server.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("a".into()).await.unwrap();
    expect_message(&mut subscription, "a").await;
    server.freeze().await;
    let mut publishing = manager.publish("b".into());
    assert!(publishing.as_mut().now_or_never().is_none());
    let given_up = timeout(Duration::from_millis(50), manager.close()).await;
    assert!(given_up.is_err(), "a frozen server takes nothing");
    let ended = timeout(PATIENCE, subscription.recv()).await;
    assert!(ended.expect("the subscription ends").is_none());
    let subscribed = manager.subscribe().await.unwrap_err();
    assert_eq!(subscribed.kind(), ErrorKind::Closed);
    // What was handed over is sent all the same.
    server.thaw().await;
    publishing.await.unwrap();
}
