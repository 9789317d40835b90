//! Clients that do not read, on every transport, alone and together.

use std::time::{Duration, Instant};

use engine_io::{CloseReason, Config, Outgoing, Sent, Socket};
use tokio::io::AsyncReadExt;

use crate::support::{Event, Server, within};

/// Longer than what a kernel takes for a client that does not read.
const LONG: usize = 12_000_000;

/// Makes the server respond to a session's poll with a long packet, of which the client reads nothing.
async fn unread_poll(server: &mut Server) -> (tokio::net::TcpStream, Socket) {
    unread_poll_of(server, Outgoing::text(&"x".repeat(LONG))).await
}

async fn unread_poll_of(server: &mut Server, packet: Outgoing) -> (tokio::net::TcpStream, Socket) {
    let (sid, socket) = server.polling().await;
    let _ = socket.send(packet).unwrap();
    let pending = server.poll(&sid).await;
    // The head of the response is there once the packet has left the outbox.
    let mut byte = [0];
    within(pending.stream.peek(&mut byte)).await.unwrap();
    (pending.stream, socket)
}

#[tokio::test]
async fn an_unread_response_to_a_poll_counts_for_its_session_and_ends_with_it() {
    let mut server = Server::start(Config {
        slow_client_grace: Duration::from_millis(200),
        ..Config::default()
    })
    .await;
    let (mut stream, socket) = unread_poll(&mut server).await;
    assert!(socket.buffered_bytes() > LONG);
    server.gone(CloseReason::Overflow).await;
    within(async {
        while server.engine.metrics().queued_bytes > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < LONG, "the server kept all of it");
}

#[tokio::test]
async fn a_response_that_is_read_slowly_arrives_whole_and_counts_no_more() {
    let mut server = Server::start(Config::default()).await;
    let (mut stream, socket) = unread_poll(&mut server).await;
    let (mut read, mut buffer) = (Vec::new(), vec![0; 100_000]);
    while read.len() < LONG {
        let count = within(stream.read(&mut buffer)).await.unwrap();
        assert!(count > 0, "cut off after {}", read.len());
        read.extend_from_slice(&buffer[..count]);
        tokio::task::yield_now().await;
    }
    within(stream.read_to_end(&mut read)).await.unwrap();
    assert!(read.ends_with(&[b'x'; 1_000]));
    within(async {
        while socket.buffered_bytes() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(server.engine.metrics().queued_bytes, 0);
    assert!(socket.is_open());
}

#[tokio::test]
async fn unread_responses_of_one_session_do_not_pass_its_hard_limit() {
    let mut server = Server::start(Config::default()).await;
    let (_stream, socket) = unread_poll(&mut server).await;
    // The next one would be more than may wait for one client.
    assert!(socket.send(Outgoing::text(&"x".repeat(LONG))).is_err());
    server.gone(CloseReason::Overflow).await;
}

/// Queues this many packets of 50 kB for a session that does not poll.
fn queue(socket: &Socket, count: usize) {
    for _ in 0..count {
        let _ = socket.send(Outgoing::text(&"x".repeat(50_000))).unwrap();
    }
}

#[tokio::test]
async fn where_all_outboxes_together_are_too_much_the_clients_with_most_go_first() {
    let mut server = Server::start(Config {
        outbox_soft_limit: 10_000_000,
        outbox_total_limit: 3_000_000,
        ..Config::default()
    })
    .await;
    let (_, small) = server.polling().await;
    let (_, large) = server.polling().await;
    let (_, medium) = server.polling().await;
    queue(&small, 10);
    queue(&large, 30);
    queue(&medium, 18);
    assert!(large.is_open() && server.engine.metrics().queued_bytes < 3_000_000);
    queue(&medium, 3);
    assert_eq!(server.closed().await, CloseReason::Overflow);
    assert!(!large.is_open() && medium.is_open() && small.is_open());
    let metrics = server.engine.metrics();
    assert_eq!((metrics.shed, metrics.closed.get(CloseReason::Overflow)), (1, 1));
    assert!(
        (1_550_000..1_700_000).contains(&metrics.queued_bytes),
        "{}",
        metrics.queued_bytes
    );
}

#[tokio::test]
async fn a_packet_for_many_counts_once_and_above_the_limit_volatile_ones_are_dropped() {
    let mut server = Server::start(Config {
        outbox_total_limit: 3_000_000,
        ..Config::default()
    })
    .await;
    let packet = Outgoing::text(&"x".repeat(1_000_000));
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let (_, socket) = server.polling().await;
        let _ = socket.send(packet.clone()).unwrap();
        sockets.push(socket);
    }
    assert_eq!(server.engine.metrics().queued_bytes as usize, packet.cost());
    let (_ws, idle) = server.websocket().await;
    assert_eq!(idle.send_volatile(Outgoing::text("now")), Ok(Sent::Queued));
    // No other task runs until the next await, so that nothing is shed yet.
    for socket in &sockets[..2] {
        let _ = socket.send(Outgoing::text(&"y".repeat(1_100_000))).unwrap();
    }
    assert_eq!(idle.send_volatile(Outgoing::text("now")), Ok(Sent::Dropped));
    while let Event::Text(_) | Event::Opened(..) = server.event().await {}
    assert!(idle.is_open());
}

/// Sends a message of its own of 1 MB to each of 20 clients, without a pause; returns how many were accepted.
fn burst(sockets: &[Socket]) -> usize {
    let send = |socket: &&Socket| socket.send(Outgoing::text(&"x".repeat(1_000_000))).is_ok();
    sockets.iter().filter(send).count()
}

#[tokio::test]
async fn a_burst_of_large_messages_for_many_clients_does_not_pass_five_quarters_of_the_limit_of_all() {
    let mut server = Server::start(Config {
        outbox_total_limit: 4_000_000,
        ..Config::default()
    })
    .await;
    let (_, patient) = server.polling().await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(server.polling().await.1);
    }
    // No other task runs until the next await, so that nothing is shed yet.
    assert_eq!(burst(&sockets), 4);
    let queued = server.engine.metrics().queued_bytes;
    assert!(queued < 5_000_000, "{queued}");
    // A client with little is not affected by what the others do.
    let _ = patient.send(Outgoing::text("small")).unwrap();
    within(async {
        while server.engine.metrics().queued_bytes > 4_000_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(patient.is_open());
}

#[tokio::test]
async fn a_large_broadcast_that_many_polls_do_not_read_is_held_once() {
    let mut server = Server::start(Config::default()).await;
    let packet = Outgoing::text(&"x".repeat(LONG));
    let mut polls = Vec::new();
    for _ in 0..10 {
        polls.push(unread_poll_of(&mut server, packet.clone()).await);
    }
    let metrics = server.engine.metrics();
    assert!(
        metrics.queued_bytes < 2 * packet.cost() as u64,
        "{}",
        metrics.queued_bytes
    );
    assert!(polls.iter().all(|(_, socket)| socket.is_open()));
}

#[tokio::test]
async fn a_shutdown_waits_less_than_a_second_for_clients_that_do_not_read() {
    let mut server = Server::start(Config::default()).await;
    // A WebSocket that does not read …
    let (_ws, stuck) = server.websocket().await;
    within(async {
        while stuck.is_writable() {
            let _ = stuck.send(Outgoing::text(&"x".repeat(500_000)));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // … and sessions that the server has closed, but whose clients do not fetch what is left.
    let (_, closing) = server.polling().await;
    queue(&closing, 1);
    closing.close();
    let (_stream, _answered) = unread_poll(&mut server).await;
    let begun = Instant::now();
    within(server.engine.shutdown()).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.engine.metrics().open_sessions, 0);
}
