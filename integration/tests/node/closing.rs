//! A server of ours that closes among servers of Node: it does not respond in the place of another server.

use std::time::Duration;

use futures_util::StreamExt;
use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::node::{NodeAdapter, ours, wire};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

/// Longer than servers on Node take to respond.
const OTHERS_RESPOND_WITHIN: Duration = Duration::from_millis(100);

/// Waits until so many servers are counted.
async fn until_counted(redis: &mut MultiplexedConnection, channel: &str, count: u64) {
    let counted = async {
        loop {
            let mut command = redis::cmd("PUBSUB");
            let counted: (String, u64) = command.arg("NUMSUB").arg(channel).query_async(redis).await.unwrap();
            if counted.1 == count {
                return;
            }
        }
    };
    timeout(DEADLINE, counted).await.expect("the server comes and goes");
}

#[tokio::test]
async fn a_server_that_closes_leaves_requests_to_those_that_are_counted() {
    let (url, prefix) = (RedisBroker::shared().await.url(), unique_channel());
    let client = redis::Client::open(url).unwrap();
    let mut redis = client.get_multiplexed_async_connection().await.unwrap();
    let mut responses = client.get_async_pubsub().await.unwrap();
    responses.subscribe(format!("{prefix}-response#/#")).await.unwrap();
    let mut responses = responses.into_on_message();
    let requests = format!("{prefix}-request#/#");
    let ours = ours(url, wire(NodeAdapter::Classic, &prefix));
    until_counted(&mut redis, &requests, 1).await;

    let closing = tokio::spawn(async move { ours.close().await });
    until_counted(&mut redis, &requests, 0).await;
    let opts = json!({ "rooms": [], "except": [] });
    let packet = json!({ "type": 2, "data": ["question"], "nsp": "/" });
    let for_clients = json!({ "uid": "aaaaaa", "requestId": "acks", "type": 7, "packet": packet, "opts": opts });
    let for_servers = json!({ "uid": "aaaaaa", "requestId": "clients", "type": 5, "opts": opts });
    let asked = Instant::now();
    for request in [for_clients, for_servers] {
        let mut command = redis::cmd("PUBLISH");
        let command = command.arg(&requests).arg(request.to_string());
        command.query_async::<u64>(&mut redis).await.unwrap();
    }
    let response = timeout(DEADLINE, responses.next()).await.unwrap().unwrap();
    let response: Value = serde_json::from_slice(response.get_payload_bytes()).unwrap();
    assert_eq!(response["requestId"], "clients");
    assert!(asked.elapsed() > OTHERS_RESPOND_WITHIN, "{:?}", asked.elapsed());
    closing.await.unwrap().unwrap();
    let more = timeout(Duration::ZERO, responses.next()).await;
    assert!(more.is_err(), "{more:?}");
}
