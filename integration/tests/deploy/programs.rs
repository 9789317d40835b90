//! The example programs without a proxy.

use std::net::SocketAddr;

use integration::DEADLINE;
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::tools;
use serde_json::json;

use super::{GOODBYE, Program, echoes, polls_and_upgrades, who};
use crate::support::eventually;

/// A client comes, talks by polling and over a WebSocket, and is told to go when the program is asked to end.
async fn serves_and_ends(program: Program) {
    let mut client = RealClient::spawn(Kind::Node).await;
    polls_and_upgrades(&mut client, &program.url()).await;
    let address = client.emit_with_ack("where", json!([]), DEADLINE).await.unwrap();
    let address = address[0].as_str().expect("handlers know who is there");
    let address: SocketAddr = address.parse().unwrap();
    assert!(
        address.ip().is_loopback() && !program.url().ends_with(&address.to_string()),
        "{address}"
    );
    let mut poller = RealClient::connected(Kind::Node, &ConnectOptions::to(&program.url()).only("polling")).await;
    echoes(&mut poller).await;
    program.stop().await;
    client.disconnected(GOODBYE).await;
    poller.disconnected(GOODBYE).await;
}

#[tokio::test]
async fn axum() {
    serves_and_ends(Program::start("on_axum").await).await;
}

#[tokio::test]
async fn hyper_alone() {
    serves_and_ends(Program::start("on_hyper").await).await;
}

#[tokio::test]
async fn a_stack_of_tower() {
    serves_and_ends(Program::start("on_tower").await).await;
}

#[tokio::test]
async fn actix_web() {
    serves_and_ends(Program::start("on_actix").await).await;
}

#[tokio::test]
async fn actix_web_passes_half_a_megabyte_both_ways_and_notices_a_client_that_is_gone() {
    let program = Program::start("on_actix").await;
    let text = "x".repeat(500_000);
    let only = |transport| ConnectOptions::to(&program.url()).only(transport);
    let mut poller = RealClient::connected(Kind::Node, &only("polling")).await;
    let mut lost = RealClient::connected(Kind::Node, &only("websocket")).await;
    for client in [&mut poller, &mut lost] {
        let answer = client.emit_with_ack("echo", json!([text]), DEADLINE).await;
        assert_eq!(answer, Some(vec![json!(text)]));
    }
    lost.break_transport().await;
    poller.disconnect().await;
    let mut client = RealClient::connected(Kind::Node, &only("websocket")).await;
    // The server counts those that are connected.
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        let count = client.emit_with_ack("count", json!([]), DEADLINE).await;
        if count == Some(vec![json!(1)]) {
            break;
        }
        assert!(tokio::time::Instant::now() < end, "still there: {count:?}");
    }
}

#[tokio::test]
async fn tls_by_rustls() {
    let folder = tempfile::tempdir().unwrap();
    integration::brokers::certificates::make(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let arguments = ["127.0.0.1:0", &file("own.pem"), &file("own.key")];
    let program = Program::start_with("with_tls", &arguments, &[]).await;
    let url = program.url().replace("http:", "https:");

    let mut stranger = RealClient::spawn(Kind::Node).await;
    let refusal = stranger.connect(&ConnectOptions::to(&url)).await.unwrap_err();
    assert_eq!(refusal.message, "xhr poll error", "it does not trust the authority");

    let mut client = RealClient::spawn_trusting(&folder.path().join("ca.pem")).await;
    polls_and_upgrades(&mut client, &url).await;
    program.stop().await;
    client.disconnected(GOODBYE).await;
}

#[tokio::test]
async fn a_page_and_the_official_client_from_folders() {
    let folder = tempfile::tempdir().unwrap();
    let page = "<!doctype html><script src=\"/client/socket.io.min.js\"></script>";
    std::fs::write(folder.path().join("index.html"), page).unwrap();
    let (public, dist) = (folder.path(), tools::node_modules().join("socket.io-client/dist"));
    let arguments = ["127.0.0.1:0", public.to_str().unwrap(), dist.to_str().unwrap()];
    let program = Program::start_with("with_static_files", &arguments, &[]).await;

    let address = program.address.parse().unwrap();
    let script = super::polling::get(address, "/client/socket.io.min.js").await;
    assert_eq!(script.status, 200);
    assert!(script.head.contains("text/javascript") && script.body.contains("Socket.IO v4"));
    assert_eq!(super::polling::get(address, "/").await.body, page);
    serves_and_ends(program).await;
}

#[tokio::test]
async fn a_new_process_takes_over_and_clients_find_it() {
    let old = Program::start("graceful_restart").await;
    let mut options = ConnectOptions::to(&old.url()).only("websocket");
    options.reconnect = true;
    let mut client = RealClient::connected(Kind::Node, &options).await;
    assert_eq!(who(&mut client).await, old.pid());

    let new = Program::start_with("graceful_restart", &[&old.address], &[]).await;
    echoes(&mut client).await;
    old.stop().await;
    let again = |event: &serde_json::Value| event["event"] == "connect";
    client.disconnected(DEADLINE).await;
    client.driven().until(DEADLINE, again).await;
    assert_eq!(who(&mut client).await, new.pid());
    new.stop().await;
}

#[tokio::test]
async fn what_one_server_says_the_clients_of_the_other_hear() {
    let url = integration::brokers::RedisBroker::shared().await.url().to_owned();
    let channel = integration::brokers::unique_channel();
    let variables = [("REDIS_URL", url.as_str()), ("CHANNEL", channel.as_str())];
    let one = Program::start_with("on_axum", &["127.0.0.1:0"], &variables).await;
    let two = Program::start_with("on_hyper", &["127.0.0.1:0"], &variables).await;
    let mut listener = RealClient::connected(Kind::Node, &ConnectOptions::to(&one.url())).await;
    let joined = listener.emit_with_ack("join", json!(["lobby"]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));
    let mut speaker = RealClient::connected(Kind::Node, &ConnectOptions::to(&two.url())).await;
    speaker.emit("say", json!(["lobby", "good evening"])).await;
    let heard = listener.next_message(DEADLINE).await;
    assert_eq!((heard.name.as_str(), heard.args), ("said", vec![json!("good evening")]));
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_that_a_killed_server_left_behind_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chat.sock");
    let arguments = [path.to_str().unwrap()];
    let killed = Program::start_with("on_unix_socket", &arguments, &[]).await;
    killed.process.signal("KILL");
    drop(killed);
    assert!(path.exists());
    let program = Program::start_with("on_unix_socket", &arguments, &[]).await;
    tokio::net::UnixStream::connect(&path).await.unwrap();
    program.stop().await;
    eventually("the socket is gone", || !path.exists()).await;
}
