//! Pings, pongs, and silence.

use std::time::{Duration, Instant};

use engine_io::{CloseReason, Config, Outgoing};

use crate::client::Ws;
use crate::support::Server;

const INTERVAL: Duration = Duration::from_millis(120);
const TIMEOUT: Duration = Duration::from_millis(80);

/// For clients that answer: a loaded machine must not make them late.
fn lenient() -> Config {
    Config {
        ping_interval: INTERVAL,
        ping_timeout: Duration::from_secs(5),
        ..Config::default()
    }
}

/// For clients that do not.
fn quick() -> Config {
    Config {
        ping_interval: INTERVAL,
        ping_timeout: TIMEOUT,
        ..Config::default()
    }
}

#[tokio::test]
async fn a_websocket_is_pinged_after_the_interval() {
    let mut server = Server::start(lenient()).await;
    let begin = Instant::now();
    let (mut ws, _socket) = server.websocket().await;
    for round in 1..=3 {
        assert_eq!(ws.text().await, "2");
        assert!(begin.elapsed() >= INTERVAL * round);
        ws.send_text("3").await;
    }
    assert_eq!(server.engine.metrics().open_sessions, 1);
}

#[tokio::test]
async fn a_poll_is_pinged_after_the_interval() {
    let mut server = Server::start(lenient()).await;
    let begin = Instant::now();
    let (sid, _socket) = server.polling().await;
    for round in 1..=3 {
        assert_eq!(server.poll(&sid).await.answer().await.body, "2");
        assert!(begin.elapsed() >= INTERVAL * round);
        assert_eq!(server.post(&sid, b"3").await.body, "ok");
    }
}

#[tokio::test]
async fn silence_ends_a_websocket() {
    let mut server = Server::start(quick()).await;
    let begin = Instant::now();
    let (mut ws, _socket) = server.websocket().await;
    server.gone(CloseReason::PingTimeout).await;
    assert!(begin.elapsed() >= INTERVAL + TIMEOUT);
    assert_eq!(ws.text().await, "2");
    ws.closed(&[]).await;
}

#[tokio::test]
async fn silence_ends_a_session_that_polls() {
    let mut server = Server::start(quick()).await;
    let (sid, _socket) = server.polling().await;
    server.gone(CloseReason::PingTimeout).await;
    let answer = server.poll(&sid).await.answer().await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (400, r#"{"code":1,"message":"Session ID unknown"}"#)
    );
}

#[tokio::test]
async fn other_packets_extend_the_wait_once() {
    let mut server = Server::start(quick()).await;
    let begin = Instant::now();
    let (mut ws, _socket) = server.websocket().await;
    assert_eq!(ws.text().await, "2");
    ws.send_text("4still here").await;
    assert_eq!(ws.text().await, "4still here");
    ws.send_text("4and here").await;
    server.gone(CloseReason::PingTimeout).await;
    assert!(begin.elapsed() >= INTERVAL + TIMEOUT);
}

#[tokio::test]
async fn an_upgrade_forgives_the_ping_that_polling_was_sent() {
    let mut server = Server::start(lenient()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.poll(&sid).await.answer().await.body, "2");
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    ws.send_text("5").await;
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("3probe".to_owned(), "2".to_owned())
    );
    ws.send_text("3").await;
    assert_eq!(ws.text().await, "2");
}

#[tokio::test]
async fn a_stalled_reader_does_not_keep_its_session() {
    let mut server = Server::start(Config {
        ping_timeout: Duration::from_millis(500),
        ..quick()
    })
    .await;
    let (ws, socket) = server.websocket().await;
    // More than the kernel takes, less than the soft limit after that.
    let packet = Outgoing::text(&"x".repeat(100_000));
    while socket.buffered_bytes() < 500_000 {
        socket.send(packet.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    server.gone(CloseReason::PingTimeout).await;
    drop(ws);
}

#[tokio::test]
async fn a_saturated_session_is_not_blamed_for_silence() {
    let mut server = Server::start(Config {
        ping_timeout: TIMEOUT * 2,
        ..quick()
    })
    .await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    assert_eq!(ws.text().await, "2");
    ws.send_text("3").await; // not read
    tokio::time::sleep(TIMEOUT * 4).await; // the time itself is what is tested
    server.release.add_permits(1);
    ws.send_text("4next").await;
    assert_eq!(ws.text().await, "4next");
}
