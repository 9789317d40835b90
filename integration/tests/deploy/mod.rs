//! Deployments of `docs/deploy.md`: each program of `examples`, nginx, HAProxy and Caddy with the very files of `docs`,
//! through real clients.

mod caddy;
mod front;
mod gateway;
mod haproxy;
mod nginx;
mod polling;
mod production;
mod programs;
mod proxied;

use std::time::Duration;

use integration::DEADLINE;
use integration::client::{ConnectOptions, RealClient};
use serde_json::json;

use crate::support::program::Program;

/// The client gets its own words back.
async fn echoes(client: &mut RealClient) {
    let answer = client.emit_with_ack("echo", json!(["hello", 7]), DEADLINE).await;
    assert_eq!(answer, Some(vec![json!("hello"), json!(7)]));
}

/// Returns the number of the process that the client's server runs in.
async fn who(client: &mut RealClient) -> u32 {
    let answer = client.emit_with_ack("who", json!([]), DEADLINE).await;
    let pid = answer.expect("an answer")[0].as_u64().expect("a number");
    pid.try_into().expect("the number of a process")
}

/// Connects by polling, goes on over a WebSocket, and talks on both.
async fn polls_and_upgrades(client: &mut RealClient, url: &str) {
    client.connect(&ConnectOptions::to(url)).await.expect("accepted");
    echoes(client).await;
    client.upgraded_to("websocket").await;
    echoes(client).await;
}

/// For programs that end with their clients: longer than any of them is given.
const GOODBYE: Duration = DEADLINE;
