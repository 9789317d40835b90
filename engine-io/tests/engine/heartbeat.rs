//! Pings, pongs, and silence.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_io::{CloseReason, Config, Outgoing};
use http::Request;
use http_body_util::{BodyExt, Empty};

use tokio::io::AsyncWriteExt;

use crate::client::{Pending, Ws, masked};
use crate::support::{Server, poll, within};

const INTERVAL: Duration = Duration::from_millis(120);
const TIMEOUT: Duration = Duration::from_millis(80);

/// For clients that response: a loaded machine must not make them late.
fn lenient() -> Config {
    Config {
        ping_interval: INTERVAL,
        ping_timeout: Duration::from_secs(5),
        ..Config::default()
    }
}

/// For clients that do not.
fn quick() -> Config {
    Config {
        ping_interval: INTERVAL,
        ping_timeout: TIMEOUT,
        ..Config::default()
    }
}

#[tokio::test]
async fn a_websocket_is_pinged_after_the_interval() {
    let mut server = Server::start(lenient()).await;
    let begin = Instant::now();
    let (mut ws, _socket) = server.websocket().await;
    for round in 1..=3 {
        assert_eq!(ws.text().await, "2");
        assert!(begin.elapsed() >= INTERVAL * round);
        ws.send_text("3").await;
    }
    assert_eq!(server.engine.metrics().open_sessions, 1);
}

#[tokio::test]
async fn a_poll_is_pinged_after_the_interval() {
    let mut server = Server::start(lenient()).await;
    let begin = Instant::now();
    let (sid, _socket) = server.polling().await;
    for round in 1..=3 {
        assert_eq!(server.poll(&sid).await.response().await.body, "2");
        assert!(begin.elapsed() >= INTERVAL * round);
        assert_eq!(server.post(&sid, b"3").await.body, "ok");
    }
}

#[tokio::test]
async fn silence_ends_a_websocket() {
    let mut server = Server::start(quick()).await;
    let begin = Instant::now();
    let (mut ws, _socket) = server.websocket().await;
    server.gone(CloseReason::PingTimeout).await;
    assert!(begin.elapsed() >= INTERVAL + TIMEOUT);
    assert_eq!(ws.text().await, "2");
    ws.closed(&[]).await;
}

#[tokio::test]
async fn silence_ends_a_session_that_polls() {
    let mut server = Server::start(quick()).await;
    let (sid, _socket) = server.polling().await;
    server.gone(CloseReason::PingTimeout).await;
    let response = server.poll(&sid).await.response().await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (400, r#"{"code":1,"message":"Session ID unknown"}"#)
    );
}

/// For clients that are late on purpose: half of the timeout is more than a loaded machine adds.
fn patient() -> Config {
    Config {
        ping_interval: INTERVAL,
        ping_timeout: Duration::from_millis(1500),
        ..Config::default()
    }
}

/// The share of the wait for a pong that has passed when another packet arrives.
const LATE: Duration = Duration::from_millis(750);

/// Sends other packets all the time, beginning late; the wait for a pong is longer then, but it
/// ends.
async fn assert_extended_once<F: Future<Output = ()>>(server: &mut Server, mut send: impl FnMut() -> F) {
    let begin = Instant::now();
    tokio::time::sleep(LATE).await; // the time itself is what is tested
    let chatter = async {
        loop {
            send().await;
            tokio::time::sleep(INTERVAL / 4).await;
        }
    };
    within(async {
        tokio::select! {
            () = server.gone(CloseReason::PingTimeout) => {}
            () = chatter => {}
        }
    })
    .await;
    assert!(begin.elapsed() >= LATE + patient().ping_timeout);
}

#[tokio::test]
async fn other_packets_extend_the_wait_of_a_websocket_once() {
    let mut server = Server::start(patient()).await;
    let (mut ws, _socket) = server.websocket().await;
    assert_eq!(ws.text().await, "2");
    let (_reader, writer) = ws.split();
    let writer = tokio::sync::Mutex::new(writer);
    assert_extended_once(&mut server, async || {
        // The server closes at last.
        let _ = writer.lock().await.write_all(&masked(0x81, b"4still here")).await;
    })
    .await;
}

#[tokio::test]
async fn other_packets_extend_the_wait_of_a_session_that_polls_once() {
    let mut server = Server::start(patient()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.poll(&sid).await.response().await.body, "2");
    let addr = server.addr;
    assert_extended_once(&mut server, async || {
        let target = poll(&sid);
        Pending::start(addr, "POST", &target, "", b"4still here")
            .await
            .response()
            .await;
    })
    .await;
}

/// The engine counts whole milliseconds: what is due may come so much early.
const CLOCK: Duration = Duration::from_millis(1);

#[tokio::test]
async fn the_interval_begins_with_the_pong() {
    let mut server = Server::start(lenient()).await;
    let (mut ws, _socket) = server.websocket().await;
    assert_eq!(ws.text().await, "2");
    tokio::time::sleep(INTERVAL * 3 / 2).await; // the time itself is what is tested
    let pong = Instant::now();
    ws.send_text("3").await;
    assert_eq!(ws.text().await, "2");
    assert!(pong.elapsed() + CLOCK >= INTERVAL);

    let (sid, _socket) = server.polling().await;
    assert_eq!(server.poll(&sid).await.response().await.body, "2");
    tokio::time::sleep(INTERVAL * 3 / 2).await;
    let pong = Instant::now();
    assert_eq!(server.post(&sid, b"3").await.body, "ok");
    assert_eq!(server.poll(&sid).await.response().await.body, "2");
    assert!(pong.elapsed() + CLOCK >= INTERVAL);
}

/// A client gives up when no ping arrived within interval and timeout of the last one, on either
/// transport.
#[tokio::test]
async fn an_upgrade_does_not_put_the_next_ping_off() {
    let interval = Duration::from_secs(1);
    let mut server = Server::start(Config {
        ping_interval: interval,
        ..lenient()
    })
    .await;
    let (sid, _socket) = server.polling().await;
    tokio::time::sleep(interval * 4 / 5).await; // the time itself is what is tested
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    let upgraded = Instant::now();
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "2");
    assert!(upgraded.elapsed() < interval, "{:?}", upgraded.elapsed());
}

#[tokio::test]
async fn a_stall_of_the_server_does_not_help_a_client_that_does_not_poll() {
    let (interval, timeout) = (Duration::from_millis(200), Duration::from_secs(2));
    let mut server = Server::start(Config {
        ping_interval: interval,
        ping_timeout: timeout,
        ..Config::default()
    })
    .await;
    let begin = Instant::now();
    let (_sid, _socket) = server.polling().await;
    std::thread::sleep(interval + timeout * 2 / 5); // the whole server: it runs on this thread
    server.gone(CloseReason::PingTimeout).await;
    let took = begin.elapsed();
    assert!(
        took >= interval + timeout && took < interval + timeout * 13 / 10,
        "{took:?}"
    );
}

#[tokio::test]
async fn an_upgrade_forgives_the_ping_that_polling_was_sent() {
    let mut server = Server::start(lenient()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.poll(&sid).await.response().await.body, "2");
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    ws.send_text("5").await;
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("3probe".to_owned(), "2".to_owned())
    );
    ws.send_text("3").await;
    assert_eq!(ws.text().await, "2");
}

/// A poll whose task the server does not run is not the client's fault.
#[tokio::test]
async fn a_poll_that_the_server_answers_late_gets_its_ping_all_the_same() {
    let mut server = Server::new(quick(), ([127, 0, 0, 1], 0).into());
    let request = |target: &str| Request::get(target).body(Empty::<Bytes>::new()).unwrap();
    let engine = server.engine.clone();
    engine.handle(request("/?EIO=4&transport=polling")).await;
    let sid = server.opened().await.0.id().to_owned();
    let mut polling = pin!(engine.handle(request(&poll(&sid))));
    assert!(
        polling
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    );
    tokio::time::sleep(INTERVAL + TIMEOUT * 3).await; // the time itself is what is tested
    let body = polling.await.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "2");
    server.gone(CloseReason::PingTimeout).await;
}

#[tokio::test]
async fn a_stalled_reader_does_not_keep_its_session() {
    let mut server = Server::start(Config {
        ping_timeout: Duration::from_millis(500),
        ..quick()
    })
    .await;
    let (ws, socket) = server.websocket().await;
    // More than the kernel takes, less than the soft limit after that.
    let packet = Outgoing::text(&"x".repeat(100_000));
    while socket.buffered_bytes() < 500_000 {
        socket.send(packet.clone()).unwrap();
        tokio::task::yield_now().await;
    }
    server.gone(CloseReason::PingTimeout).await;
    drop(ws);
}

#[tokio::test]
async fn silence_is_not_a_fault_while_the_input_of_the_session_is_full() {
    let mut server = Server::start(Config {
        ping_timeout: TIMEOUT * 2,
        ..quick()
    })
    .await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    assert_eq!(ws.text().await, "2");
    ws.send_text("3").await; // not read
    tokio::time::sleep(TIMEOUT * 4).await; // the time itself is what is tested
    server.release.add_permits(1);
    ws.send_text("4next").await;
    let mut text = ws.text().await;
    if text == "2" {
        text = ws.text().await; // the pong was read so late that the next ping was due
    }
    assert_eq!(text, "4next");
}
