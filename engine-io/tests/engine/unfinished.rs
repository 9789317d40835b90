//! Messages that never become complete, on every transport, and what all of them together may hold.

use std::time::Duration;

use engine_io::{CloseReason, Config, Socket};
use tokio::io::AsyncWriteExt;

use crate::client::{Pending, Ws, masked};
use crate::support::{Event, Server, poll, within};

/// The limit of most tests, in bytes.
const TOTAL: usize = 2_000_000;

/// Above five quarters what is not small is refused as soon as its buffer has grown once more.
const WORST: u64 = TOTAL as u64 / 4 * 5 + 600_000;

/// The bytes of a payload, and of those so many that come.
const LENGTH: usize = 990_000;
const SENT: usize = 600_000;

/// The close code of an overloaded server.
const TRY_AGAIN_LATER: [u8; 2] = 1013_u16.to_be_bytes();

async fn limited() -> Server {
    Server::start(Config {
        inbound_total_limit: TOTAL,
        ..Config::default()
    })
    .await
}

/// Awaits that exactly so many bytes are held, or any number that satisfies the condition.
async fn holds(server: &Server, condition: impl Fn(u64) -> bool) {
    within(async {
        while !condition(server.engine.metrics().inbound_bytes) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Begins a POST whose body does not end; the server may refuse it meanwhile.
async fn unfinished_post(server: &Server, sid: &str) -> Pending {
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {LENGTH}\r\n\r\n4",
        poll(sid)
    );
    let mut pending = Pending::raw(server.addr, head.as_bytes()).await;
    let _ = within(pending.stream.write_all(&vec![b'x'; SENT])).await;
    pending
}

/// Takes a POST that has got a response out of several.
async fn take_answered(posts: &mut Vec<(Pending, Socket)>) -> (Pending, Socket) {
    let mut at = 0;
    let is_answered = async |post: &Pending| {
        let mut byte = [0];
        let peeked = post.stream.peek(&mut byte);
        tokio::time::timeout(Duration::from_millis(1), peeked).await.is_ok()
    };
    within(async {
        while !is_answered(&posts[at].0).await {
            at = (at + 1) % posts.len();
        }
    })
    .await;
    posts.remove(at)
}

/// Sends the first bytes of a frame, or a fragment of as many bytes; the server may close meanwhile.
async fn unfinished_message(ws: &mut Ws, as_fragment: bool) {
    let bytes = if as_fragment {
        masked(0x01, &vec![b'x'; SENT])
    } else {
        masked(0x81, &vec![b'x'; LENGTH])[..SENT].to_vec()
    };
    let _ = within(ws.stream.write_all(&bytes)).await;
}

/// Opens ten sessions on WebSockets.
async fn websockets(server: &mut Server) -> Vec<(Ws, Socket)> {
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.websocket().await);
    }
    clients
}

#[tokio::test]
async fn bodies_that_never_end_are_refused_above_the_total_and_small_ones_pass() {
    let mut server = limited().await;
    let (mut honest, _) = server.websocket().await;
    let (honest_sid, _) = server.polling().await;
    let mut sessions = Vec::new();
    for _ in 0..10 {
        sessions.push(server.polling().await);
    }
    let mut posts = Vec::new();
    for (number, (sid, socket)) in sessions.into_iter().enumerate() {
        posts.push((unfinished_post(&server, &sid).await, socket));
        let held = server.engine.metrics().inbound_bytes;
        assert!(held < WORST, "{held} bytes after {number} more");
    }
    assert_ne!(server.engine.metrics().inbound_bytes, 0);
    honest.send_text("4hello").await;
    assert_eq!(honest.text().await, "4hello");
    let response = server.post(&honest_sid, b"4hello").await;
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    holds(&server, |held| {
        held < TOTAL as u64 && server.engine.metrics().inbound_shed >= 7
    })
    .await;
    let (refused, socket) = take_answered(&mut posts).await;
    let response = refused.response().await;
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
    assert!(socket.is_open(), "it may send the same again");
    drop(posts);
    holds(&server, |held| held == 0).await;
}

/// Has clients leave messages unfinished, and checks what becomes of them.
async fn unfinished_messages_are_limited(as_fragments: bool) {
    let mut server = limited().await;
    let (mut honest, _socket) = server.websocket().await;
    let mut clients = websockets(&mut server).await;
    for (number, (ws, _)) in clients.iter_mut().enumerate() {
        unfinished_message(ws, as_fragments).await;
        let held = server.engine.metrics().inbound_bytes;
        assert!(held < WORST, "{held} bytes after {number} more");
    }
    holds(&server, |held| {
        0 < held && held < TOTAL as u64 && server.engine.metrics().inbound_shed >= 7
    })
    .await;
    honest.send_text("4hello").await;
    assert_eq!(honest.text().await, "4hello");
    let overflowed = server.engine.metrics().closed.get(CloseReason::Overflow);
    let (mut closed, open): (Vec<_>, Vec<_>) = clients.into_iter().partition(|(_, socket)| !socket.is_open());
    assert!((7..=closed.len() as u64).contains(&overflowed), "{overflowed}");
    assert!(!open.is_empty());
    closed[0].0.closed(&TRY_AGAIN_LATER).await;
    drop(open);
    holds(&server, |held| held == 0).await;
}

#[tokio::test]
async fn frames_that_never_end_close_their_websockets_above_the_total() {
    unfinished_messages_are_limited(false).await;
}

#[tokio::test]
async fn messages_whose_last_fragment_never_comes_close_their_websockets_above_the_total() {
    unfinished_messages_are_limited(true).await;
}

#[tokio::test]
async fn clients_that_were_accepted_keep_their_unfinished_messages_while_others_lose_theirs() {
    let mut server = limited().await;
    let mut others = websockets(&mut server).await;
    let (mut large, accepted) = server.websocket().await;
    accepted.mark_accepted();
    let mut frame = masked(0x81, format!("4{}", "y".repeat(LENGTH - 1)).as_bytes());
    let rest = frame.split_off(LENGTH - 1_000);
    large.stream.write_all(&frame).await.unwrap();
    holds(&server, |held| held >= LENGTH as u64 - 1_000).await;
    for (ws, _) in &mut others {
        unfinished_message(ws, false).await;
    }
    holds(&server, |held| {
        held < TOTAL as u64 && server.engine.metrics().inbound_shed >= 8
    })
    .await;
    assert!(accepted.is_open());
    large.stream.write_all(&rest).await.unwrap();
    assert_eq!(large.text().await.len(), LENGTH);
}

#[tokio::test]
async fn what_waits_until_a_session_accepts_messages_counts_until_it_was_handled() {
    let mut server = limited().await;
    let (mut ws, socket) = server.websocket().await;
    let (sid, _) = server.polling().await;
    let text = format!("4{}", "x".repeat(40_000));
    ws.send_text("4hold").await;
    ws.send_text(&text).await;
    holds(&server, |held| held >= 40_000).await;
    let body = format!("4hold\x1e{text}");
    let post = Pending::start(server.addr, "POST", &poll(&sid), "", body.as_bytes()).await;
    holds(&server, |held| held >= 80_000).await;
    server.release.add_permits(2);
    assert_eq!(post.response().await.body, "ok");
    assert_eq!(ws.text().await.len(), text.len());
    holds(&server, |held| held == 0).await;
    assert!(socket.is_open());
}

/// Clients whose messages have to wait, and the bytes of each: as many as are read at once, because nothing more is read of such a client.
const WAITING: usize = 60;
const WAITS: usize = 60_000;

/// Of these clients so many must go at least: forty-five of them would still be too much.
const GONE: usize = 15;

/// Awaits that what waits is limited, and checks that an honest client is served.
async fn what_waits_is_limited(server: &Server, total: usize, honest: &mut Ws) {
    holds(server, |held| {
        0 < held && held < total as u64 && server.engine.metrics().inbound_shed >= GONE as u64
    })
    .await;
    honest.send_text("4hello").await;
    assert_eq!(honest.text().await, "4hello");
}

#[tokio::test]
async fn messages_that_wait_until_their_sessions_accept_them_close_their_websockets_above_the_total() {
    let mut server = limited().await;
    let (mut honest, _socket) = server.websocket().await;
    let mut clients = Vec::new();
    for _ in 0..WAITING {
        clients.push(server.websocket().await);
    }
    let text = format!("4{}", "x".repeat(WAITS));
    let frames = [masked(0x81, b"4hold"), masked(0x81, text.as_bytes())].concat();
    for (number, (ws, _)) in clients.iter_mut().enumerate() {
        ws.stream.write_all(&frames).await.unwrap();
        let held = server.engine.metrics().inbound_bytes;
        assert!(held < WORST, "{held} bytes after {number} more");
    }
    what_waits_is_limited(&server, TOTAL, &mut honest).await;
    let (mut closed, mut open): (Vec<_>, Vec<_>) = clients.into_iter().partition(|(_, socket)| !socket.is_open());
    assert!(closed.len() >= GONE && !open.is_empty(), "{} are closed", closed.len());
    for (ws, _) in &mut closed {
        ws.closed(&TRY_AGAIN_LATER).await;
    }
    server.release.add_permits(WAITING);
    for (ws, _) in &mut open {
        assert_eq!(ws.text().await, text);
    }
    holds(&server, |held| held == 0).await;
}

#[tokio::test]
async fn bodies_that_wait_until_their_sessions_accept_them_are_given_up_above_the_total() {
    // So short that each body comes with its head: nothing was counted for it while it was read.
    const LENGTH: usize = 7_000;
    const SMALL_TOTAL: usize = LENGTH * 40;
    let mut server = Server::start(Config {
        inbound_total_limit: SMALL_TOTAL,
        ..Config::default()
    })
    .await;
    let (mut honest, _socket) = server.websocket().await;
    let mut sessions = Vec::new();
    for _ in 0..WAITING {
        sessions.push(server.polling().await);
    }
    let body = format!("4hold\x1e4{}", "x".repeat(LENGTH));
    let mut posts = Vec::new();
    for (sid, socket) in sessions {
        let post = Pending::start(server.addr, "POST", &poll(&sid), "", body.as_bytes()).await;
        posts.push((post, socket));
    }
    what_waits_is_limited(&server, SMALL_TOTAL, &mut honest).await;
    server.release.add_permits(WAITING);
    let mut num_gone = 0;
    for (post, socket) in posts {
        // One that was still on its way was refused, others were closed for it.
        num_gone += usize::from(post.response().await.status == 503 || !socket.is_open());
    }
    assert!((GONE..WAITING).contains(&num_gone), "{num_gone} of {WAITING}");
    holds(&server, |held| held == 0).await;
}

#[tokio::test]
async fn a_short_message_that_comes_in_pieces_counts_for_nothing_and_is_never_given_up() {
    let mut server = Server::start(Config {
        inbound_total_limit: 1,
        ..Config::default()
    })
    .await;
    let (mut ws, socket) = server.websocket().await;
    for length in [100, 900] {
        let text = format!("4{}", "x".repeat(length));
        for piece in masked(0x81, text.as_bytes()).chunks(length / 2) {
            ws.stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
            assert_eq!(server.engine.metrics().inbound_bytes, 0);
        }
        assert_eq!(ws.text().await, text);
    }
    assert!(socket.is_open());
    assert_eq!(server.engine.metrics().inbound_shed, 0);
}

/// Leaves messages unfinished that end in all ways: the client leaves, breaks a rule, is closed by the server, or aborts its POST.
async fn unfinished_messages_that_end(server: &mut Server) {
    let (mut left, _) = server.websocket().await;
    let (mut broken, _) = server.websocket().await;
    let (mut closed, closed_socket) = server.websocket().await;
    for ws in [&mut left, &mut broken, &mut closed] {
        unfinished_message(ws, true).await;
    }
    let (sid, _) = server.polling().await;
    let post = unfinished_post(server, &sid).await;
    holds(server, |held| held >= 4 * SENT as u64).await;
    drop((left, post));
    broken.send(0x83, b"").await;
    closed_socket.abort();
    holds(server, |held| held == 0).await;
    // Until nothing is left of them.
    let mut num_dropped = 0;
    while num_dropped < 4 {
        num_dropped += usize::from(matches!(server.event().await, Event::Dropped));
    }
}

#[tokio::test]
async fn nothing_is_counted_any_more_however_an_unfinished_message_ends() {
    const ROUNDS: usize = 10;
    // Enough for one round, and buffers that grew; not for what two of the four would leave behind in all rounds.
    let mut server = Server::start(Config {
        inbound_total_limit: 5_000_000,
        ..Config::default()
    })
    .await;
    for _ in 0..ROUNDS {
        unfinished_messages_that_end(&mut server).await;
    }
    assert_eq!(server.engine.metrics().inbound_shed, 0);
    // A message that is not small, and comes in pieces, is taken.
    let (mut ws, _) = server.websocket().await;
    let text = format!("4{}", "x".repeat(SENT));
    ws.send_text(&text).await;
    assert_eq!(ws.text().await, text);
}
