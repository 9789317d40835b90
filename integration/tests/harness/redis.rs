use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::redis::{ask, ping};
use integration::brokers::{RedisBroker, unique_channel};
use tokio::time::timeout;

#[tokio::test]
async fn the_shared_one_answers_and_is_the_same_for_all() {
    let first = RedisBroker::shared().await;
    ping(first.url()).await.unwrap();
    assert_eq!(first.url(), RedisBroker::shared().await.url());
}

#[tokio::test]
async fn a_private_one_dies_with_its_handle() {
    let broker = RedisBroker::start().await;
    let url = broker.url();
    ping(&url).await.unwrap();
    drop(broker);
    assert!(ping(&url).await.is_err());
}

#[tokio::test]
async fn private_ones_keep_apart() {
    let (one, two) = tokio::join!(RedisBroker::start(), RedisBroker::start());
    assert_ne!(one.url(), two.url());
    assert_ne!(one.pid(), two.pid());
}

#[tokio::test]
async fn killed_it_is_gone_and_restarted_it_is_back_at_the_same_place() {
    let mut broker = RedisBroker::start().await;
    let (url, pid) = (broker.url(), broker.pid());
    broker.kill();
    assert!(ping(&url).await.is_err());
    broker.restart().await;
    assert_eq!(url, broker.url());
    assert_ne!(pid, broker.pid());
    ping(&url).await.unwrap();
}

#[tokio::test]
async fn frozen_it_keeps_connections_and_answers_nothing_until_thawed() {
    let broker = RedisBroker::start().await;
    let client = redis::Client::open(broker.url()).unwrap();
    let patient = redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(DEADLINE))
        .set_connection_timeout(Some(DEADLINE));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.unwrap();
    broker.freeze().await;
    let command = redis::cmd("PING");
    let mut answer = Box::pin(command.query_async::<String>(&mut connection));
    assert!(
        timeout(Duration::from_millis(200), &mut answer).await.is_err(),
        "a frozen server answered"
    );
    broker.thaw();
    // Whether the old question still counts is the client library's affair; the server must be back.
    drop(answer);
    timeout(DEADLINE, async { while ping(&broker.url()).await.is_err() {} })
        .await
        .unwrap();
}

#[tokio::test]
async fn further_arguments_reach_the_server() {
    let broker = RedisBroker::start_with(&["--maxclients", "77"]).await;
    let question = redis::cmd("CONFIG").arg("GET").arg("maxclients").to_owned();
    let limit: (String, String) = ask(&broker.url(), &question).await.unwrap();
    assert_eq!(limit.1, "77");
}

#[test]
fn channels_are_unique() {
    assert_ne!(unique_channel(), unique_channel());
}
