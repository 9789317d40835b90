//! Memory after a burst.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::{Broker, Client, Running, Sio};

/// Clients that read nothing, and what each is sent: below what an outbox may hold, in events too small for pages of their own.
const SLOW: usize = 8;
const EVENTS: usize = 2_000;
const LEN: usize = 6_000;

/// Of what the burst took at least this many KiB are to be seen, …
const BURST_KIB: u64 = 40 << 10;
/// … and at most so many may stay: buffers of threads, and what the allocator keeps for the next burst.
const KEPT_KIB: u64 = 24 << 10;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn memory_is_given_back_after_a_burst_of_slow_clients() {
    let broker = Broker::start().await;
    let mut serving = Sio::new(&["serve", "--listen", "127.0.0.1:0"]).url(&broker.url).start();
    let printed = serving.line().await;
    let (_, addr) = printed.trim_end().trim_end_matches('/').split_once("http://").unwrap();
    let mut reader = Client::connect(addr, "&room=reader").await;
    let before = resident_kib(&serving);

    let mut slow = Vec::new();
    for number in 0..SLOW {
        slow.push(client_that_does_not_read(addr.parse().unwrap(), number).await);
    }
    let padding = "x".repeat(LEN);
    for number in 0..SLOW * EVENTS {
        broker.publish("socketio", &event(number % SLOW, &padding)).await;
    }
    broker.publish("socketio", &event("reader", "")).await;
    reader.expect("42[\"m\",\"\"]").await;
    let burst = resident_kib(&serving);
    assert!(
        burst > before + BURST_KIB,
        "{before} KiB before, {burst} KiB in the burst"
    );

    drop(slow);
    let started = Instant::now();
    while resident_kib(&serving) > before + KEPT_KIB {
        let now = resident_kib(&serving);
        assert!(
            started.elapsed() < PATIENCE,
            "{before} KiB before, {burst} KiB in the burst, {now} KiB after it"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn event(room: impl std::fmt::Display, text: &str) -> String {
    format!(
        r#"{{"method":"emit","event":"m","data":["{text}"],"namespace":"/","room":"{room}","host_id":"publisher"}}"#
    )
}

/// Connects, joins a room named by a number, and takes a few KiB at most.
async fn client_that_does_not_read(addr: SocketAddr, room: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small window");
    let mut stream = socket.connect(addr).await.expect("the server listens");
    let upgrade = format!(
        "GET /socket.io/?EIO=4&transport=websocket&room={room} HTTP/1.1\r\nHost: {addr}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    stream.write_all(upgrade.as_bytes()).await.expect("it upgrades");
    // "40" in a frame of text, with a mask that changes nothing.
    stream.write_all(b"\x81\x82\0\0\0\x0040").await.expect("it joins");
    let mut seen = Vec::new();
    while !seen.windows(3).any(|part| part == b"40{") {
        let num_bytes = stream.read_buf(&mut seen).await.expect("it is accepted");
        assert_ne!(num_bytes, 0, "it is accepted");
    }
    stream
}

fn resident_kib(process: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a process has memory")
}
