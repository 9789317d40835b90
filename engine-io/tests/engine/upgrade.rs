//! Upgrades from long-polling to a WebSocket, and the requests that may cross them.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_io::{CloseReason, Config, Engine, Outgoing, Transport};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::client::{Pending, Response, Ws};
use crate::support::{Event, Server, poll, waiting_poll};

const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

/// How long a poll that follows a probe is held. Under load the upgrade packet may come later.
const HOLD: Duration = Duration::from_millis(100);

async fn probed(server: &Server, sid: &str) -> Ws {
    let mut ws = Ws::upgrade(server, sid).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws
}

#[tokio::test]
async fn a_session_moves_with_what_is_queued() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    let mut ws = probed(&server, &sid).await;
    assert_eq!(pending.response().await.body, "6");
    assert_eq!(server.post(&sid, b"4posted meanwhile").await.body, "ok");
    assert_eq!(server.text().await, "posted meanwhile");
    assert_eq!(socket.transport(), Transport::Polling);
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "4posted meanwhile");
    assert_eq!(socket.transport(), Transport::WebSocket);
    ws.send_text("4hello").await;
    assert_eq!(ws.text().await, "4hello");
    for method in ["GET", "POST"] {
        let response = server.http(method, &poll(&sid), "", b"").await;
        assert_eq!((response.status, response.body.as_str()), (400, BAD_REQUEST));
    }
    Ws::upgrade(&server, &sid).await.closed(&[]).await;
    drop(ws);
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn frames_behind_the_upgrade_packet_are_not_lost() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    ws.send_text("5").await;
    ws.send_text("4at once").await;
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("3probe".to_owned(), "4at once".to_owned())
    );
}

#[tokio::test]
async fn a_poll_that_the_upgrade_overtakes_is_refused() {
    let mut server = Server::start(Config::default()).await;
    for _ in 0..10 {
        let (sid, socket) = server.polling().await;
        let mut ws = probed(&server, &sid).await;
        let begin = Instant::now();
        let pending = waiting_poll(&server, &sid, &socket).await;
        ws.send_text("5").await;
        if refused_in_time(&pending.response().await, begin) {
            return;
        }
    }
    panic!("the upgrade never was in time");
}

/// Returns whether a poll was refused; if not, it was held as long as it may be.
fn refused_in_time(response: &Response, begin: Instant) -> bool {
    if response.body == "6" {
        assert!(begin.elapsed() >= HOLD, "ended as if no upgrade were under way");
        return false;
    }
    assert_eq!((response.status, response.body.as_str()), (400, BAD_REQUEST));
    true
}

/// A stream whose server learns late that it has written the pong of a probe, as if its thread
/// had to wait.
struct Late {
    inner: TcpStream,
    written: Option<usize>,
    go_on: oneshot::Receiver<()>,
}

impl AsyncWrite for Late {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.written.is_none() {
            let count = ready!(Pin::new(&mut this.inner).poll_write(cx, bytes))?;
            if !bytes.ends_with(b"3probe") {
                return Poll::Ready(Ok(count));
            }
            this.written = Some(count);
        }
        ready!(Pin::new(&mut this.go_on).poll(cx)).unwrap();
        Poll::Ready(Ok(this.written.take().unwrap()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl AsyncRead for Late {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buffer)
    }
}

async fn listen_late(engine: Engine, go_on: oneshot::Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (inner, written) = (listener.accept().await.unwrap().0, None);
        let stream = TokioIo::new(Late { inner, written, go_on });
        let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
            let engine = engine.clone();
            async move { Ok::<_, Infallible>(engine.handle(request).await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        http.serve_connection(stream, service).with_upgrades().await
    });
    addr
}

/// Another thread of the server may take the poll before the one that answered the probe goes on.
#[tokio::test]
async fn a_poll_right_behind_the_answer_to_the_probe_is_not_ended_by_that_probe() {
    let mut server = Server::start(Config::default()).await;
    for _ in 0..10 {
        let (sid, socket) = server.polling().await;
        let (sender, go_on) = oneshot::channel();
        let addr = listen_late(server.engine.clone(), go_on).await;
        let mut ws = Ws::connect(addr, &format!("/?EIO=4&transport=websocket&sid={sid}")).await;
        ws.send_text("2probe").await;
        assert_eq!(ws.text().await, "3probe");
        let begin = Instant::now();
        let pending = waiting_poll(&server, &sid, &socket).await;
        sender.send(()).unwrap();
        ws.send_text("5").await;
        if refused_in_time(&pending.response().await, begin) {
            return;
        }
    }
    panic!("the upgrade never was in time");
}

#[tokio::test]
async fn a_poll_after_the_probe_is_held_only_a_moment() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    let begin = Instant::now();
    assert_eq!(server.poll(&sid).await.response().await.body, "6");
    assert!(begin.elapsed() >= HOLD);
    socket.send(Outgoing::text("by poll")).unwrap();
    assert_eq!(server.poll(&sid).await.response().await.body, "4by poll");
    ws.send_text("5").await;
    ws.send_text("4moved").await;
    assert_eq!(ws.text().await, "4moved");
}

/// Opens a session that no WebSocket of this test can outlive the patience of.
async fn patient() -> (Server, String) {
    let mut server = Server::start(Config {
        upgrade_timeout: Duration::from_secs(60),
        ..Config::default()
    })
    .await;
    let sid = server.polling().await.0;
    (server, sid)
}

async fn assert_alive(server: &Server, sid: &str) {
    assert_eq!(server.post(sid, b"4alive").await.body, "ok");
    assert_eq!(server.poll(sid).await.response().await.body, "4alive");
}

#[tokio::test]
async fn a_probe_that_fails_leaves_the_session_alone() {
    let (server, sid) = patient().await;
    for text in [
        "4message", "2", "2other", "1", "abc", "", "0", "3", "3probe", "6", "bAQID",
    ] {
        let mut ws = Ws::upgrade(&server, &sid).await;
        ws.send_text(text).await;
        ws.closed(&[]).await;
    }
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send(0x82, b"2probe").await;
    ws.closed(&[]).await;
    drop(probed(&server, &sid).await);
    assert_alive(&server, &sid).await;
}

#[tokio::test]
async fn a_wrong_packet_after_the_probe_leaves_the_session_alone() {
    let (server, sid) = patient().await;
    for (first, payload) in [(0x81, &b"4message"[..]), (0x81, b"6"), (0x81, b"bAQID"), (0x82, b"5")] {
        let mut ws = probed(&server, &sid).await;
        ws.send(first, payload).await;
        ws.closed(&[]).await;
        assert_alive(&server, &sid).await;
    }
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    ws.send_text("4moved").await;
    assert_eq!(ws.text().await, "4moved");
}

#[tokio::test]
async fn a_websocket_that_stays_silent_leaves_the_session_alone() {
    let mut server = Server::start(Config {
        upgrade_timeout: Duration::from_millis(50),
        ..Config::default()
    })
    .await;
    let (sid, _socket) = server.polling().await;
    Ws::upgrade(&server, &sid).await.closed(&[]).await;
    assert_alive(&server, &sid).await;
}

#[tokio::test]
async fn a_websocket_that_goes_silent_after_its_probe_leaves_the_session_alone() {
    let timeout = Duration::from_secs(1);
    let mut server = Server::start(Config {
        upgrade_timeout: timeout,
        ..Config::default()
    })
    .await;
    let (sid, socket) = server.polling().await;
    let begin = Instant::now();
    let mut ws = probed(&server, &sid).await;
    assert_eq!(server.poll(&sid).await.response().await.body, "6");
    ws.closed(&[]).await;
    assert!(begin.elapsed() >= timeout);
    // Nothing holds a poll now.
    let pending = waiting_poll(&server, &sid, &socket).await;
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
    assert_eq!(pending.response().await.body, "4alive");
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    ws.send_text("4moved").await;
    assert_eq!(ws.text().await, "4moved");
}

#[tokio::test]
async fn polling_works_until_the_probe_comes() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = Ws::upgrade(&server, &sid).await;
    assert_alive(&server, &sid).await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    socket.send(Outgoing::text("by poll")).unwrap();
    assert_eq!(pending.response().await.body, "4by poll");
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
}

#[tokio::test]
async fn a_post_that_waits_is_answered_though_the_session_moves() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let posting = Pending::start(server.addr, "POST", &poll(&sid), "", b"4hold\x1e4next\x1e4last").await;
    assert_eq!(server.text().await, "hold");
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    let response = posting.response().await;
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    assert_eq!(
        (server.text().await, server.text().await),
        ("next".to_owned(), "last".to_owned())
    );
    assert_eq!(socket.transport(), Transport::WebSocket);
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked));
    for text in ["4next", "4last"] {
        assert_eq!(ws.text().await, text);
    }
    ws.send_text("4read on").await;
    assert_eq!(ws.text().await, "4read on");
}

#[tokio::test]
async fn a_post_that_is_still_being_read_is_refused_when_the_session_moves() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let chunked = "transfer-encoding: chunked\r\n";
    let posting = Pending::start(server.addr, "POST", &poll(&sid), chunked, b"2\r\n4h\r\n").await;
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    assert_eq!(posting.response().await.status, 400);
    ws.send_text("4alive").await;
    assert_eq!(ws.text().await, "4alive");
    assert_eq!(server.text().await, "alive");
}

#[tokio::test]
async fn an_upgrade_may_ask_for_bytes_in_base64() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = Ws::connect(server.addr, &format!("/?EIO=4&transport=websocket&sid={sid}&b64=1")).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
    ws.send_text("5").await;
    socket
        .send(Outgoing::binary(Bytes::from_static(&[1, 2, 3, 4])))
        .unwrap();
    assert_eq!(ws.text().await, "bAQIDBA==");
}

#[tokio::test]
async fn one_websocket_at_a_time_probes() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut first = probed(&server, &sid).await;
    Ws::upgrade(&server, &sid).await.closed(&[]).await;
    first.send_text("5").await;
    first.send_text("4x").await;
    assert_eq!(first.text().await, "4x");
}

#[tokio::test]
async fn a_session_that_ends_takes_its_probe_along() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    assert_eq!(server.post(&sid, b"1").await.body, "ok");
    ws.closed(&[]).await;
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn work_is_handed_over() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4hold").await.body, "ok");
    assert_eq!(server.text().await, "hold");
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    ws.send_text("4next").await;
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked));
    assert_eq!(server.text().await, "next");
    assert_eq!(ws.text().await, "4next");
}

#[tokio::test]
async fn a_closing_session_ends_on_the_websocket() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let mut ws = probed(&server, &sid).await;
    socket.send(Outgoing::text("bye")).unwrap();
    socket.close();
    ws.send_text("5").await;
    assert_eq!(ws.text().await, "4bye");
    ws.closed(&[]).await;
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn an_aborted_poll_after_the_upgrade_does_no_harm() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending: Pending = waiting_poll(&server, &sid, &socket).await;
    let mut ws = probed(&server, &sid).await;
    ws.send_text("5").await;
    drop(pending);
    ws.send_text("4alive").await;
    assert_eq!(ws.text().await, "4alive");
}
