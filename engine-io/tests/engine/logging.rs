//! Log lines, and the secrets that none of them holds.

use std::cell::RefCell;
use std::io::{self, Write};

use engine_io::{CloseReason, Config, Outgoing, SendError};

use crate::client::Ws;
use crate::support::{Event, Server, poll};

thread_local! {
    static KEPT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what a thread writes, for the test that runs on it.
struct Kept;

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        KEPT.with_borrow_mut(|kept| kept.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Parts of lines, and how often each is written.
const LINES: [(&str, usize); 13] = [
    (" DEBUG engine_io: a session opened transport=\"polling\"", 2),
    (" DEBUG engine_io: a session opened transport=\"websocket\"", 3),
    (
        " DEBUG engine_io: a request was refused refusal=\"Session ID unknown\" upgrade=false",
        1,
    ),
    (
        " DEBUG engine_io: a request was refused refusal=\"Not an accepted origin\" upgrade=false",
        2,
    ),
    ("origin=\"https://some-origin\" expected=\"http://x\"", 1),
    (" DEBUG engine_io: a session moved to a WebSocket", 1),
    (" DEBUG engine_io: a WebSocket did not complete its upgrade", 1),
    (" DEBUG engine_io: a message was refused", 1),
    (
        " DEBUG engine_io: a client broke the rules of WebSockets violation=TooLong",
        1,
    ),
    (" DEBUG engine_io: a session closed reason=parse error", 1),
    (" DEBUG engine_io: a session closed reason=overflow", 1),
    (" WARN engine_io: a session panicked; its connection is closed", 1),
    (
        " WARN engine_io: a client was disconnected: its outbox is over the hard limit",
        1,
    ),
];

/// Makes each kind of event happen; returns the ids of all sessions, which are secrets.
async fn exercise(server: &mut Server) -> Vec<String> {
    let mut sids = Vec::new();

    // Polling, refusals, upgrade, and a message above Engine.IO that is refused.
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4some-payload").await.body, "ok");
    assert_eq!(server.get(&poll("some-guessed-session")).await.status, 400);
    let foreign = "origin: https://some-origin\r\ncookie: some-cookie\r\n";
    assert_eq!(server.http("GET", &poll(&sid), foreign, b"").await.status, 400);
    // One that tries to write a line of its own is not even logged: there was one in this second.
    let forged = format!("origin: https://a\t{}\r\n", "x".repeat(4000));
    assert_eq!(server.http("GET", &poll(&sid), &forged, b"").await.status, 400);
    let mut ws = Ws::upgrade(server, &sid).await;
    ws.send_text("2probe").await;
    ws.send_text("5").await;
    ws.send_text("4refuse").await;
    assert_eq!(server.closed().await, CloseReason::ParseError);
    assert!(matches!(server.event().await, Event::Dropped));
    sids.push(sid);
    // An upgrade that fails.
    let (sid, _socket) = server.polling().await;
    let mut ws = Ws::upgrade(server, &sid).await;
    ws.send_text("4some-payload").await;
    ws.closed(&[]).await;
    sids.push(sid);
    // A broken rule, a client that is too slow, a panic.
    for text in ["4some-payload".repeat(50), "4panic".to_owned()] {
        let (mut ws, socket) = server.websocket().await;
        sids.push(socket.id().to_owned());
        ws.send_text(&text).await;
        server.closed().await;
        assert!(matches!(server.event().await, Event::Dropped));
    }
    let (_ws, socket) = server.websocket().await;
    sids.push(socket.id().to_owned());
    assert_eq!(
        socket.send(Outgoing::text(&"some-payload".repeat(100))),
        Err(SendError::Overflow)
    );
    sids
}

// One thread runs everything, so what is captured is this test's own.
#[tokio::test]
async fn events_have_one_target_and_tell_no_secrets() {
    // For all threads: a subscriber of one thread misses what another thread, which has none, met
    // first.
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(|| Kept)
        .init();
    let config = Config {
        outbox_hard_limit: 1000,
        max_payload: 500,
        per_message_deflate: true,
        cookie: Some(engine_io::config::Cookie::default()),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let sids = exercise(&mut server).await;
    let log = String::from_utf8(KEPT.take()).unwrap();
    let own: Vec<&str> = log.lines().filter(|line| line.contains("engine_io")).collect();
    for (line, times) in LINES {
        assert_eq!(
            own.iter().filter(|each| each.contains(line)).count(),
            times,
            "{line} in {own:#?}"
        );
    }
    for line in own {
        assert!(line.contains(" engine_io: "), "another target: {line}");
        let secrets = ["some-payload", "some-guessed", "some-cookie"];
        let mut secrets = secrets.into_iter().chain(sids.iter().map(String::as_str));
        assert!(!secrets.any(|secret| line.contains(secret)), "{line}");
    }
}
