//! The shutdown of an engine: what clients still get, and sessions that it overtakes.

use std::convert::Infallible;
use std::time::Duration;

use engine_io::{CloseReason, Config, Outgoing};
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, watch};

use crate::client::{CLOSE, upgrade_request};
use crate::support::{Server, poll, waiting_poll, within};

#[tokio::test]
async fn a_shutdown_flushes_and_refuses() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    let (sid, polling) = server.polling().await;
    let (silent, _) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &polling).await;
    socket.send(Outgoing::text("bye")).unwrap();
    polling.send(Outgoing::text("bye")).unwrap();
    server.engine.shutdown().await;
    assert_eq!(ws.text().await, "4bye");
    ws.closed(&[]).await;
    assert_eq!(pending.response().await.body, "4bye\u{1e}1");
    let metrics = server.engine.metrics();
    assert_eq!(
        (metrics.open_sessions, metrics.closed.get(CloseReason::ServerShutdown)),
        (0, 3)
    );
    assert_eq!(server.get("/?EIO=4&transport=polling").await.status, 503);
    assert_eq!(server.get(&poll(&silent)).await.status, 400);
}

#[tokio::test]
async fn a_drain_refuses_new_sessions_and_gives_the_others_time_to_fetch_what_waits_for_them() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _) = server.websocket().await;
    let (sid, polling) = server.polling().await;
    polling.send(Outgoing::text("bye")).unwrap();
    assert!(!server.engine.is_draining());
    let engine = server.engine.clone();
    let drain = tokio::spawn(async move { engine.drain(Duration::from_secs(20)).await });
    let draining = async {
        while !server.engine.is_draining() {
            tokio::task::yield_now().await;
        }
    };
    within(draining).await;
    let refused = server.get("/?EIO=4&transport=polling").await;
    let after: Option<u8> = refused.header("retry-after").and_then(|value| value.parse().ok());
    assert!(refused.status == 503 && after.is_some_and(|seconds| (1..=5).contains(&seconds)));
    let mut fetched = String::new();
    while !fetched.ends_with('1') {
        fetched += &server.poll(&sid).await.response().await.body;
    }
    assert!(fetched.starts_with("4bye"), "{fetched}");
    ws.closed(&[]).await;
    within(drain).await.unwrap();
    within(server.engine.shutdown()).await;
    let metrics = server.engine.metrics();
    assert_eq!(metrics.closed.get(CloseReason::ServerShutdown), 2);
    assert_eq!((metrics.handshakes_unavailable, metrics.refused), (1, 1));
}

#[tokio::test]
async fn a_drain_is_spread_over_its_time_but_a_few_sessions_need_no_more_than_a_tenth_of_a_second_each() {
    for (over, num_sessions, least, most) in [(20, 5, 400, 500), (1, 100, 990, 1_000), (0, 100, 0, 0)] {
        let mut server = Server::start(Config::default()).await;
        let mut sessions = Vec::new();
        for _ in 0..num_sessions {
            sessions.push(server.websocket().await);
        }
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        server.engine.drain(Duration::from_secs(over)).await;
        let took = begun.elapsed().as_millis();
        tokio::time::resume();
        assert!(
            (least..=most + 5).contains(&took),
            "{num_sessions} in {over} s: {took} ms"
        );
    }
}

#[tokio::test]
async fn the_last_response_of_a_shutdown_is_not_too_long_for_clients_of_python() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    for _ in 0..16 {
        socket.send(Outgoing::text("bye")).unwrap();
    }
    // The poll wakes up when this test next waits, and then the session is closing already.
    let engine = server.engine.clone();
    let mut shutdown = Box::pin(async move { engine.shutdown().await });
    tokio::select! {
        biased;
        () = &mut shutdown => panic!("packets are still to be fetched"),
        () = std::future::ready(()) => {}
    }
    let shutdown = tokio::spawn(shutdown);
    let first = pending.response().await.body;
    assert_eq!(first, ["4bye"; 15].join("\u{1e}"));
    assert_eq!(server.poll(&sid).await.response().await.body, "4bye\u{1e}1");
    within(shutdown).await.unwrap();
}

#[tokio::test]
async fn a_websocket_whose_handshake_a_shutdown_overtakes_is_closed_without_a_session() {
    let mut server = Server::new(Config::default(), ([127, 0, 0, 1], 0).into());
    let (mut near, far) = tokio::io::duplex(4096);
    let (handled, mut wait_for_handled) = mpsc::unbounded_channel();
    let (proceed, gate) = watch::channel(false);
    let engine = server.engine.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let (engine, handled, mut gate) = (engine.clone(), handled.clone(), gate.clone());
        async move {
            let response = engine.handle(request).await;
            handled.send(()).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
            Ok::<_, Infallible>(response)
        }
    });
    let http = hyper::server::conn::http1::Builder::new();
    tokio::spawn(http.serve_connection(TokioIo::new(far), service).with_upgrades());
    let request = upgrade_request("/?EIO=4&transport=websocket");
    near.write_all(request.as_bytes()).await.unwrap();
    within(wait_for_handled.recv()).await.unwrap();
    within(server.engine.shutdown()).await;
    proceed.send_replace(true);
    let mut response = Vec::new();
    within(near.read_to_end(&mut response)).await.unwrap();
    assert!(response.starts_with(b"HTTP/1.1 101 ") && response.ends_with(&[0x80 | CLOSE, 0]));
    server.no_event();
    assert_eq!(server.engine.metrics().open_sessions, 0);
}
