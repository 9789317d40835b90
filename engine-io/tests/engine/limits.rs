//! The limits of a client and of its session, and their effects.

use std::time::Duration;

use engine_io::config::TrustedProxies;
use engine_io::{CloseReason, Config, Outgoing, SendError, Sent, Socket};
use tokio::io::AsyncWriteExt;

use crate::client::{Ws, masked};
use crate::support::{Event, Server, within};

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
    let (mut other, _) = server.websocket().await;
    let (mut ws, socket) = server.websocket().await;
    let packet = Outgoing::text(&"x".repeat(50_000));
    let mut count = 0;
    while socket.buffered_bytes() <= 200_000 {
        let _ = socket.send(packet.clone()).unwrap();
        count += 1;
        tokio::task::yield_now().await;
    }
    ws.send_text("4read later").await;
    // A later message of another client is read before it.
    for _ in 0..10 {
        other.send_text("4read now").await;
        assert_eq!(server.text().await, "read now");
    }
    for _ in 0..count {
        assert_eq!(ws.text().await.len(), 50_001);
    }
    assert_eq!(ws.text().await, "4read later");
    assert_eq!(server.text().await, "read later");
}

#[tokio::test]
async fn input_stays_in_the_kernel_while_the_session_is_full() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    let (_reader, mut writer) = ws.split();
    let message = masked(0x82, &[0; 100_000]);
    let mut sent = 0;
    // The kernel takes some; then it is full, and stays so, because it is not read.
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), writer.write(&message)).await {
        sent += written.unwrap();
        assert!(sent < 100_000_000, "everything is taken");
    }
    let read = server.engine.metrics().bytes_in as usize;
    assert!(read < 200_000 && read < sent, "{read} of {sent}");
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
async fn a_large_volatile_packet_reaches_an_idle_websocket_but_not_one_over_the_hard_limit() {
    let config = Config {
        outbox_hard_limit: 2_000_000,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (mut ws, socket) = server.websocket().await;
    within(async {
        while socket.buffered_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let larger_than_the_room = "x".repeat(1_500_000);
    assert_eq!(
        socket.send_volatile(Outgoing::text(&"x".repeat(2_000_000))),
        Ok(Sent::Dropped)
    );
    assert!(socket.send_volatile(Outgoing::text(&larger_than_the_room)) != Ok(Sent::Dropped));
    assert_eq!(ws.text().await.len(), 1 + larger_than_the_room.len());
    assert!(socket.is_open());
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
async fn a_grace_of_the_longest_duration_never_ends_and_harms_no_heartbeat() {
    let config = Config {
        outbox_soft_limit: 100_000,
        slow_client_grace: Duration::MAX,
        ping_interval: Duration::from_millis(20),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (_slow, slow) = server.websocket().await;
    let packet = Outgoing::text(&"x".repeat(50_000));
    while slow.buffered_bytes() <= 100_000 {
        let _ = slow.send(packet.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    let (mut other, _) = server.websocket().await;
    for _ in 0..5 {
        assert_eq!(other.text().await, "2");
        other.send_text("3").await;
    }
    assert!(slow.is_open());
}

fn short_pauses() -> Config {
    let short = Duration::from_millis(50);
    Config {
        ping_interval: short,
        ping_timeout: short,
        max_reading_pause: Duration::from_millis(200),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_client_whose_session_takes_nothing_for_too_long_is_disconnected() {
    let mut server = Server::start(short_pauses()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    assert_eq!(server.closed().await, CloseReason::ForcedClose);
    drop(ws);
}

#[tokio::test]
async fn a_client_that_polls_and_whose_session_takes_nothing_for_too_long_is_disconnected() {
    let mut server = Server::start(short_pauses()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4hold\x1e4next").await.body, "ok");
    assert_eq!(server.text().await, "hold");
    assert_eq!(server.closed().await, CloseReason::ForcedClose);
}

#[tokio::test]
async fn a_ping_that_lifts_the_outbox_over_the_soft_limit_starts_the_grace() {
    let config = Config {
        // One packet is below, two are above.
        outbox_soft_limit: 100,
        slow_client_grace: Duration::from_millis(50),
        ping_interval: Duration::from_millis(50),
        ping_timeout: Duration::from_secs(600),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (_sid, socket) = server.polling().await;
    socket.send(Outgoing::text("x")).unwrap();
    server.gone(CloseReason::Overflow).await;
}

/// The address of the client, as a proxy on this machine names it.
fn forwarded_for(address: &str) -> String {
    format!("x-forwarded-for: {address}\r\n")
}

#[tokio::test]
async fn an_address_with_too_many_handshakes_a_second_is_told_to_try_again_later() {
    let server = Server::start(Config {
        max_handshakes_per_second_per_peer: 1,
        ..Config::default()
    })
    .await;
    let target = "/?EIO=4&transport=polling";
    let mut refused = 0;
    // A slow machine may take a second for some of them.
    for _ in 0..20 {
        let response = server.get(target).await;
        if response.status == 503 {
            let after = response
                .header("retry-after")
                .expect("says when")
                .parse::<u8>()
                .unwrap();
            assert!((1..=5).contains(&after), "{after}");
            refused += 1;
        }
    }
    assert!(refused > 0);
    let metrics = server.engine.metrics();
    assert_eq!((metrics.handshakes_limited, metrics.refused), (refused, refused));
    assert_eq!(metrics.opened, 20 - refused);
}

#[tokio::test]
async fn clients_behind_a_trusted_proxy_have_limits_and_addresses_of_their_own() {
    let mut server = Server::start(Config {
        max_handshakes_per_second_per_peer: 1,
        trusted_proxies: TrustedProxies::of(["127.0.0.1"]).unwrap(),
        ..Config::default()
    })
    .await;
    let target = "/?EIO=4&transport=polling";
    for number in 1..=5 {
        let address = format!("192.0.2.{number}");
        let response = server.http("GET", target, &forwarded_for(&address), b"").await;
        assert_eq!(response.status, 200, "{address}");
        let (_, handshake) = server.opened().await;
        assert_eq!(handshake.peer_addr().unwrap().ip().to_string(), address);
    }
    let target = "/?EIO=4&transport=websocket";
    let (_ws, _) = Ws::connect_with(server.addr, target, &forwarded_for("2001:db8::1")).await;
    let (_, handshake) = server.opened().await;
    assert_eq!(handshake.peer_addr().unwrap().ip().to_string(), "2001:db8::1");
}
