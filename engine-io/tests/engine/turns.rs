//! What costs a client next to nothing, or is long: other tasks get their turn in between.

use std::io::{Read, Write};
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use engine_io::{Config, Outgoing};
use http_body::Body;
use http_body_util::Full;

use crate::client::upgrade_request;
use crate::support::{Server, poll, within};

/// The bytes that one read takes at most.
const READ: u64 = 64 * 1024;
const FRAMES: usize = 300_000;

/// Runs every ready task once.
async fn turn() {
    let mut had_turn = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut had_turn, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// A frame of WebSockets with a mask that changes nothing.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![head, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

/// Floods the server with a frame again and again, after a first one, from another thread; returns the most bytes that were read between two turns of another task on the
/// server's only thread.
async fn most_at_once(first: Vec<u8>, flood: Vec<u8>) -> u64 {
    let server = Server::start(Config::default()).await;
    let (engine, addr) = (server.engine.clone(), server.addr);
    let flood = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        let request = upgrade_request("/?EIO=4&transport=websocket");
        stream.write_all(request.as_bytes()).unwrap();
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(&first).unwrap();
        stream.write_all(&flood.repeat(FRAMES)).unwrap();
        stream
    });
    // A task as the server's are: the runtime polls the test itself less often.
    let watching = tokio::spawn(async move {
        let (mut most, mut before) = (0, engine.metrics().bytes_in);
        let all = before + (FRAMES * 6) as u64;
        while before < all {
            turn().await;
            let now = engine.metrics().bytes_in;
            most = most.max(now - before);
            before = now;
        }
        most
    });
    let most = within(watching).await.unwrap();
    drop(flood.await.unwrap());
    most
}

#[tokio::test]
async fn many_pongs_in_a_row_let_other_tasks_run() {
    let most = most_at_once(Vec::new(), frame(0x81, b"3")).await;
    assert!(most <= READ, "{most} bytes at once");
}

#[tokio::test]
async fn many_pongs_of_the_websocket_itself_let_other_tasks_run() {
    let most = most_at_once(Vec::new(), frame(0x8a, b"")).await;
    assert!(most <= READ, "{most} bytes at once");
}

#[tokio::test]
async fn many_fragments_without_an_end_let_other_tasks_run() {
    let most = most_at_once(frame(0x01, b"4"), frame(0x00, b"")).await;
    assert!(most <= READ, "{most} bytes at once");
}

/// A socket may take megabytes at once, so that a response alone would not end its turn for milliseconds.
#[tokio::test]
async fn a_long_response_to_a_poll_lets_other_tasks_run() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let packet = Outgoing::text(&"x".repeat(3_000_000));
    let _ = socket.send(packet).unwrap();
    let request = http::Request::get(poll(&sid)).body(Full::<Bytes>::default()).unwrap();
    let mut body = pin!(within(server.engine.handle(request)).await.into_body());
    let (mut length, mut at_once, mut most) = (0, 0, 0);
    std::future::poll_fn(|cx| {
        at_once = 0;
        loop {
            let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
                return Poll::Pending;
            };
            let Some(frame) = frame else { return Poll::Ready(()) };
            let piece = frame.unwrap().into_data().unwrap().len();
            at_once += piece;
            length += piece;
            most = most.max(at_once);
        }
    })
    .await;
    assert_eq!(length, 3_000_001);
    assert!(most <= READ as usize + 1, "{most} bytes at once");
}
