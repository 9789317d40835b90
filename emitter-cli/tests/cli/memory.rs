//! Memory after a burst, and under attack.

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
    let before = status_kib(&serving, "VmRSS:");

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
    let burst = status_kib(&serving, "VmRSS:");
    assert!(
        burst > before + BURST_KIB,
        "{before} KiB before, {burst} KiB in the burst"
    );

    drop(slow);
    let started = Instant::now();
    while status_kib(&serving, "VmRSS:") > before + KEPT_KIB {
        let now = status_kib(&serving, "VmRSS:");
        assert!(
            started.elapsed() < PATIENCE,
            "{before} KiB before, {burst} KiB in the burst, {now} KiB after it"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Clients that leave a message unfinished, half of them on each transport, and the bytes that they send of it.
const UNFINISHED: usize = 700;
const SENT: usize = 990_000;

/// What the process may hold at its worst, in KiB: five quarters of `inbound_total_limit` (256 MiB), the rest of the server, and what the
/// allocator keeps of buffers that grew. Without a limit it would be 680,000.
const WORST_KIB: u64 = 430 << 10;

#[tokio::test]
async fn clients_that_leave_their_messages_unfinished_hold_no_more_than_the_total() {
    let broker = Broker::start().await;
    let line = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--max-handshakes-per-address",
        "2000",
    ];
    let mut serving = Sio::new(&line).url(&broker.url).start();
    let printed = serving.line().await;
    let (_, addr) = printed.trim_end().trim_end_matches('/').split_once("http://").unwrap();
    let mut honest = Client::connect(addr, "&room=reader").await;
    let addr = addr.parse().unwrap();
    let bytes = vec![b'x'; SENT];
    let mut unfinished = Vec::new();
    for number in 0..UNFINISHED / 2 {
        let mut websocket = client_that_does_not_read(addr, number).await;
        // The head of a frame of 999,999 bytes.
        let _ = websocket.write_all(b"\x81\xff\0\0\0\0\0\x0f\x42\x3f\0\0\0\0").await;
        let _ = websocket.write_all(&bytes).await;
        let mut post = unfinished_post(addr).await;
        let _ = post.write_all(&bytes).await;
        unfinished.extend([websocket, post]);
    }
    broker.publish("socketio", &event("reader", "")).await;
    honest.expect("42[\"m\",\"\"]").await;
    let worst = status_kib(&serving, "VmHWM:");
    assert!(worst < WORST_KIB, "{worst} KiB at its worst");
    drop(unfinished);
}

/// Opens a session that polls, and begins a POST of 999,999 bytes.
async fn unfinished_post(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.expect("the server listens");
    let target = "/socket.io/?EIO=4&transport=polling";
    let request = format!("GET {target} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is asked");
    let mut seen = Vec::new();
    while !seen.ends_with(b"}") {
        let num_bytes = stream.read_buf(&mut seen).await.expect("it opens a session");
        assert_ne!(num_bytes, 0, "it opens a session");
    }
    let seen = String::from_utf8(seen).expect("text");
    let (_, sid) = seen.split_once("\"sid\":\"").expect("a session has an id");
    let sid = &sid[..20];
    let head = format!("POST {target}&sid={sid} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 999999\r\n\r\n4");
    stream.write_all(head.as_bytes()).await.expect("it begins");
    stream
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

fn status_kib(process: &Running, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a process has memory")
}
