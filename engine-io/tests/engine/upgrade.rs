//! From long-polling to a WebSocket, and all that may come between.

use std::time::Duration;

use engine_io::{CloseReason, Config, Outgoing, Transport};

use crate::client::{Pending, Ws};
use crate::support::{Event, Server, poll, waiting_poll};

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

async fn probed(server: &Server, sid: &str) -> Ws {
    let mut ws = Ws::upgrade(server, sid).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws
}

#[tokio::test]
async fn a_session_moves_with_what_is_queued() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    let mut ws = probed(&server, &sid).await;
    assert_eq!(pending.answer().await.body, "6");
    assert_eq!(server.post(&sid, b"4posted meanwhile").await.body, "ok");
    assert_eq!(server.text().await, "posted meanwhile");
    assert_eq!(socket.transport(), Transport::Polling);
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "4posted meanwhile");
    assert_eq!(socket.transport(), Transport::WebSocket);
    ws.send_text("4hello").await;
    assert_eq!(ws.text().await, "4hello");
    for method in ["GET", "POST"] {
        let answer = server.http(method, &poll(&sid), "", b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (400, BAD_REQUEST));
    }
    Ws::upgrade(&server, &sid).await.closed(&[]).await;
    drop(ws);
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn frames_behind_the_upgrade_packet_are_not_lost() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    ws.send_text("5").await;
    ws.send_text("4at once").await;
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("3probe".to_owned(), "4at once".to_owned())
    );
}

#[tokio::test]
async fn a_poll_that_the_upgrade_overtakes_is_refused() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    ws.send_text("5").await;
    let answer = pending.answer().await;
    assert_eq!((answer.status, answer.body.as_str()), (400, BAD_REQUEST));
}

#[tokio::test]
async fn a_poll_after_the_probe_is_held_only_a_moment() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    assert_eq!(server.poll(&sid).await.answer().await.body, "6");
    socket.send(Outgoing::text("by poll")).unwrap();
    assert_eq!(server.poll(&sid).await.answer().await.body, "4by poll");
    ws.send_text("5").await;
    ws.send_text("4moved").await;
    assert_eq!(ws.text().await, "4moved");
}

#[tokio::test]
async fn a_probe_that_fails_leaves_the_session_alone() {
    let config = Config {
        upgrade_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (sid, _socket) = server.polling().await;
    for text in ["4message", "2", "2other", "1", "abc", ""] {
        let mut ws = Ws::upgrade(&server, &sid).await;
        ws.send_text(text).await;
        ws.closed(&[]).await;
    }
    Ws::upgrade(&server, &sid).await.closed(&[]).await; // says nothing in time
    drop(probed(&server, &sid).await);
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
    assert_eq!(server.poll(&sid).await.answer().await.body, "4alive");
}

#[tokio::test]
async fn one_websocket_at_a_time_probes() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut first = probed(&server, &sid).await;
    Ws::upgrade(&server, &sid).await.closed(&[]).await;
    first.send_text("5").await;
    first.send_text("4x").await;
    assert_eq!(first.text().await, "4x");
}

#[tokio::test]
async fn a_session_that_ends_takes_its_probe_along() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    assert_eq!(server.post(&sid, b"1").await.body, "ok");
    ws.closed(&[]).await;
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn work_is_handed_over() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4hold").await.body, "ok");
    assert_eq!(server.text().await, "hold");
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    ws.send_text("4next").await;
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked));
    assert_eq!(server.text().await, "next");
    assert_eq!(ws.text().await, "4next");
}

#[tokio::test]
async fn a_closing_session_ends_on_the_websocket() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    socket.send(Outgoing::text("bye")).unwrap();
    socket.close();
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "4bye");
    ws.closed(&[]).await;
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn an_aborted_poll_after_the_upgrade_harms_nobody() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending: Pending = waiting_poll(&server, &sid, &socket).await;
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    drop(pending);
    ws.send_text("4alive").await;
    assert_eq!(ws.text().await, "4alive");
}
