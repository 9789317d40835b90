//! Servers of ours that come and go beside servers of Node: the requests of those are not disturbed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use integration::brokers::unique_channel;
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target, wire};
use serde_json::json;
use tokio::sync::watch;

use super::member::start;

/// How often a server of ours comes and goes.
const ROUNDS: usize = 8;

async fn requests_complete_while_servers_of_ours_come_and_go(adapter: NodeAdapter) {
    let prefix = unique_channel();
    let url = adapter.shared_url().await;
    let options = NodeOptions::on(&prefix);
    let mut one = NodeServer::start(adapter, url, &options).await;
    let mut two = NodeServer::start(adapter, url, &options).await;
    one.until_server_count("/", 2).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let (latest, mut latest_seen) = watch::channel(0);
    let asking = tokio::spawn({
        let is_over = is_over.clone();
        async move {
            let mut num_responses = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                // Panics if the server reports an error, such as a timeout.
                one.fetch_sockets(&Target::all("/chat")).await;
                let asked = one.server_side_emit_with_ack("/", "ask", json!([1])).await;
                assert_eq!(asked.error, None, "{:?} of {num_responses:?}", asked.responses);
                num_responses.push(asked.responses.len());
                latest.send_replace(asked.responses.len());
            }
        }
    });
    for round in 0..ROUNDS {
        // At first each number of servers is seen to respond.
        latest_seen.wait_for(|num| round > 0 || *num == 1).await.unwrap();
        let (ours, _) = start(url, wire(adapter, &prefix)).await;
        two.until_server_count("/", 3).await;
        latest_seen.wait_for(|num| round > 0 || *num == 2).await.unwrap();
        ours.close().await.unwrap();
        two.until_server_count("/", 2).await;
    }
    is_over.store(true, Ordering::Relaxed);
    asking.await.unwrap();
}

#[tokio::test]
async fn by_pub_sub_requests_complete_while_servers_of_ours_come_and_go() {
    requests_complete_while_servers_of_ours_come_and_go(NodeAdapter::Classic).await;
}

#[tokio::test]
async fn by_streams_requests_complete_while_servers_of_ours_come_and_go() {
    requests_complete_while_servers_of_ours_come_and_go(NodeAdapter::Streams).await;
}

#[tokio::test]
async fn by_heartbeats_requests_complete_while_servers_of_ours_come_and_go() {
    requests_complete_while_servers_of_ours_come_and_go(NodeAdapter::Streams02).await;
}

#[tokio::test]
async fn by_notifications_requests_complete_while_servers_of_ours_come_and_go() {
    requests_complete_while_servers_of_ours_come_and_go(NodeAdapter::Postgres).await;
}
