//! What happens when a client, or a session, goes too far.

use std::time::Duration;

use engine_io::{CloseReason, Config, Outgoing, SendError, Sent, Socket};
use tokio::io::AsyncWriteExt;

use crate::client::{Ws, masked};
use crate::support::{Event, Server, poll, waiting_poll, within};

/// Sends until the kernel refuses to take more; returns how many packets that took.
async fn stall(socket: &Socket, packet: &Outgoing) -> usize {
    let mut count = 0;
    within(async {
        while socket.is_writable() {
            let _ = socket.send(packet.clone());
            count += 1;
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    count
}

#[tokio::test]
async fn a_client_over_the_hard_limit_is_disconnected() {
    let mut server = Server::start(Config {
        outbox_hard_limit: 300_000,
        ..Config::default()
    })
    .await;
    let (ws, socket) = server.websocket().await;
    let packet = Outgoing::text(&"x".repeat(50_000));
    let error = within(async {
        loop {
            match socket.send(packet.clone()) {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        }
    })
    .await;
    assert_eq!(error, SendError::Overflow);
    assert_eq!(socket.send(packet), Err(SendError::Closed));
    assert_eq!(socket.buffered_bytes(), 0);
    server.gone(CloseReason::Overflow).await;
    drop(ws);
}

#[tokio::test]
async fn a_client_that_stays_over_the_soft_limit_is_disconnected() {
    let grace = Duration::from_millis(100);
    let config = Config {
        outbox_soft_limit: 100_000,
        slow_client_grace: grace,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (ws, socket) = server.websocket().await;
    let packet = Outgoing::text(&"x".repeat(50_000));
    while socket.buffered_bytes() <= 100_000 {
        let _ = socket.send(packet.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(socket.send(packet.clone()), Ok(Sent::Congested));
    assert_eq!(socket.send_volatile(packet), Ok(Sent::Dropped));
    server.gone(CloseReason::Overflow).await;
    drop(ws);
}

#[tokio::test]
async fn a_client_that_never_polls_is_disconnected_over_either_limit() {
    let packet = Outgoing::text(&"x".repeat(50_000));
    let config = Config {
        outbox_hard_limit: 300_000,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (_, socket) = server.polling().await;
    let taken = std::iter::repeat_with(|| socket.send(packet.clone())).take_while(Result::is_ok);
    assert!(taken.count() <= 6);
    assert_eq!(
        (socket.send(packet.clone()), socket.buffered_bytes()),
        (Err(SendError::Closed), 0)
    );
    server.gone(CloseReason::Overflow).await;

    let config = Config {
        outbox_soft_limit: 100_000,
        slow_client_grace: Duration::from_millis(100),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (_, socket) = server.polling().await;
    while socket.buffered_bytes() <= 100_000 {
        let _ = socket.send(packet.clone()).unwrap();
    }
    server.gone(CloseReason::Overflow).await;
}

#[tokio::test]
async fn a_client_that_catches_up_stays_and_is_read_again() {
    let config = Config {
        outbox_soft_limit: 100_000,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (mut ws, socket) = server.websocket().await;
    let packet = Outgoing::text(&"x".repeat(50_000));
    let mut count = 0;
    while socket.buffered_bytes() <= 200_000 {
        let _ = socket.send(packet.clone()).unwrap();
        count += 1;
        tokio::task::yield_now().await;
    }
    ws.send_text("4read later").await;
    let_others_run().await;
    server.no_event();
    for _ in 0..count {
        assert_eq!(ws.text().await.len(), 50_001);
    }
    assert_eq!(ws.text().await, "4read later");
    assert_eq!(server.text().await, "read later");
}

#[tokio::test]
async fn a_saturated_session_leaves_its_input_to_the_kernel() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    let (_reader, mut writer) = ws.split();
    let flood = tokio::spawn(async move {
        let message = masked(0x82, &[0; 100_000]);
        // Ends when the server does.
        while writer.write_all(&message).await.is_ok() {}
    });
    let_others_run().await;
    assert!(server.engine.metrics().bytes_in < 200_000);
    flood.abort();
}

/// Lets every task go as far as it can without the test.
async fn let_others_run() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn volatile_packets_are_dropped_while_the_kernel_takes_none() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    let count = stall(&socket, &Outgoing::text(&"x".repeat(50_000))).await;
    assert_eq!(socket.send_volatile(Outgoing::text("lost")), Ok(Sent::Dropped));
    assert_eq!(server.engine.metrics().volatile_dropped, 1);
    for _ in 0..count {
        ws.text().await;
    }
    within(async {
        while socket.send_volatile(Outgoing::text("taken")) == Ok(Sent::Dropped) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(ws.text().await, "4taken");
}

#[tokio::test]
async fn a_panic_closes_one_connection_alone() {
    let mut server = Server::start(Config::default()).await;
    let (mut other, _) = server.websocket().await;
    for (count, text) in ["4panic", "4panic at work"].into_iter().enumerate() {
        let (mut ws, socket) = server.websocket().await;
        ws.send_text(text).await;
        ws.closed(&[]).await;
        assert_eq!(server.closed().await, CloseReason::ForcedClose);
        assert!(matches!(server.event().await, Event::Dropped));
        assert!(!socket.is_open());
        // Work that panicked is polled once more, to end the session.
        assert!(server.engine.metrics().panics as usize > count);
    }
    other.send_text("4alive").await;
    assert_eq!(other.text().await, "4alive");
    assert_eq!(server.engine.metrics().open_sessions, 1);
}

#[tokio::test]
async fn a_panic_closes_a_session_that_polls() {
    for body in [&b"4panic"[..], b"4panic at work"] {
        let mut server = Server::start(Config::default()).await;
        let (sid, _socket) = server.polling().await;
        assert_eq!(server.post(&sid, body).await.body, "ok");
        server.gone(CloseReason::ForcedClose).await;
    }
}

#[tokio::test]
async fn a_handler_that_panics_refuses() {
    let server = Server::start(Config::default()).await;
    assert_eq!(server.get("/?EIO=4&transport=polling&panic").await.status, 500);
    Ws::connect(server.addr, "/?EIO=4&transport=websocket&panic")
        .await
        .closed(&[])
        .await;
    let metrics = server.engine.metrics();
    assert_eq!((metrics.open_sessions, metrics.panics), (0, 2));
}

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
    assert_eq!(pending.answer().await.body, "4bye\u{1e}1");
    let metrics = server.engine.metrics();
    assert_eq!(
        (metrics.open_sessions, metrics.closed.get(CloseReason::ServerShutdown)),
        (0, 3)
    );
    assert_eq!(server.get("/?EIO=4&transport=polling").await.status, 503);
    assert_eq!(server.get(&poll(&silent)).await.status, 400);
}

#[tokio::test]
async fn many_connections_leave_nothing_behind() {
    let mut server = Server::start(Config::default()).await;
    let mut open = Vec::new();
    for _ in 0..200 {
        open.push(server.websocket().await.0);
    }
    assert_eq!(server.engine.metrics().open_sessions, 200);
    drop(open);
    let (mut closed, mut dropped) = (0, 0);
    while dropped < 200 {
        match server.event().await {
            Event::Closed(CloseReason::TransportClose) => closed += 1,
            Event::Dropped => dropped += 1,
            event => panic!("unexpected {event:?}"),
        }
    }
    assert_eq!(closed, 200);
    let metrics = server.engine.metrics();
    assert_eq!(
        (metrics.open_sessions, metrics.opened, metrics.closed.total()),
        (0, 200, 200)
    );
    server.engine.shutdown().await;
}

#[tokio::test]
async fn the_last_answer_of_a_shutdown_is_not_too_long_for_clients_of_python() {
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
    let first = pending.answer().await.body;
    assert_eq!(first, ["4bye"; 15].join("\u{1e}"));
    assert_eq!(server.poll(&sid).await.answer().await.body, "4bye\u{1e}1");
    within(shutdown).await.unwrap();
}
