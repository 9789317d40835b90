//! Closes that are given up.

use std::time::Duration;

use futures_util::FutureExt;
use manager_api::{ClientManager, ErrorKind};
use manager_redis::RedisManager;
use tokio::time::timeout;

use crate::faults::{expect_message, hasty};
use crate::server::Server;

const PATIENCE: Duration = Duration::from_secs(20);

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
