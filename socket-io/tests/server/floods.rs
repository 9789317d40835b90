//! Clients that hold places, answers and connections, and do nothing with them.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_io::{CloseReason, ResponseBody};
use http::{Request, Response};
use socket_io::{Data, SocketIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, oneshot};
use tower_service::Service;

use crate::client::{Client, TestServer, request, within};

const HANDSHAKE: &str = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n\r\n";
const UPGRADE: &str = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Sends many handshakes on one connection, and reads their answers. It comes from an address of its own.
async fn flood(server: &TestServer, count: usize) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let (mut reader, mut writer) = socket.connect(server.address).await.unwrap().into_split();
    let write = async move {
        let last = HANDSHAKE.replace("host: x", "host: x\r\nconnection: close");
        let all = HANDSHAKE.repeat(count - 1) + &last;
        writer.write_all(all.as_bytes()).await.unwrap();
        writer
    };
    let read = async move {
        let mut answers = String::new();
        reader.read_to_string(&mut answers).await.unwrap();
        let taken = answers.matches("HTTP/1.1 200").count();
        let end = &answers[answers.len().saturating_sub(300)..];
        assert_eq!(
            taken,
            count,
            "of {} answers; {end}",
            answers.matches("HTTP/1.1").count()
        );
    };
    within(async { tokio::join!(write, read) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_handshakes_takes_no_place_of_those_who_join() {
    let server = TestServer::with(SocketIo::builder().configure(|config| {
        config.engine.max_sessions = 200;
        config.max_unjoined = 100;
        config.max_unjoined_per_peer = 50;
    }))
    .await;
    server.io.namespace("/").on("ping", async || "pong");
    let mut before = server.connect().await;
    let honest = async {
        for _ in 0..20 {
            let mut client = server.connect().await;
            client.send("420[\"nothing\"]").await;
        }
    };
    tokio::join!(flood(&server, 2_000), honest);
    let _after = server.connect().await;
    let metrics = server.io.metrics();
    assert!((1..=50).contains(&metrics.num_unjoined), "{metrics:?}");
    assert!(metrics.unjoined_shed >= 1_900, "{metrics:?}");
    before.send("420[\"ping\"]").await;
    before.expect("430[\"pong\"]").await;
}

#[tokio::test]
async fn where_all_places_are_taken_those_who_joined_nothing_make_room() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.engine.max_sessions = 5)).await;
    flood(&server, 5).await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(server.connect().await);
    }
    let metrics = server.io.metrics();
    assert_eq!((metrics.num_unjoined, metrics.unjoined_shed), (0, 5));
    let refused = request(server.address, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
}

#[tokio::test]
async fn those_who_left_before_they_joined_are_forgotten() {
    let server = TestServer::start().await;
    for _ in 0..3 {
        drop(server.open().await);
    }
    server.is_empty().await;
    within(async {
        while server.io.metrics().num_unjoined > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Answers with more than a kernel takes for a client that does not read; tells when the last of it is gone.
#[derive(Clone, Default)]
struct Long(Arc<Notify>);

struct Told(Vec<u8>, Arc<Notify>);

impl AsRef<[u8]> for Told {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.1.notify_one();
    }
}

impl<B> Service<Request<B>> for Long {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let bytes = Bytes::from_owner(Told(vec![0; 30_000_000], self.0.clone()));
        ready(Ok(Response::new(ResponseBody::new(bytes))))
    }
}

#[tokio::test]
async fn an_answer_of_any_service_that_its_client_does_not_read_is_given_up() {
    let io = SocketIo::builder()
        .configure(|config| config.http_write_timeout = Duration::from_millis(200))
        .build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let long = Long::default();
    tokio::spawn(socket_io::service::serve_with(
        listener,
        io,
        long.clone(),
        std::future::pending(),
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    within(long.0.notified()).await;
    let mut rest = Vec::new();
    let _ = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < 30_000_000);
}

#[tokio::test]
async fn a_connection_on_which_no_request_comes_is_closed_after_the_time_that_is_configured() {
    let server =
        TestServer::with(SocketIo::builder().configure(|config| config.http_idle_timeout = Duration::from_millis(300)))
            .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(HANDSHAKE.as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() >= Duration::from_millis(250), "{:?}", begun.elapsed());
}

/// Writes to a connection of its own, and keeps it.
async fn left_behind(server: std::net::SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

#[tokio::test]
async fn the_end_of_a_server_takes_less_than_a_second_despite_what_its_clients_left_half_done() {
    let io = SocketIo::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = socket_io::service::serve_with(listener, io.clone(), Long::default(), async { drop(stopped.await) });
    let serving = tokio::spawn(serving);
    let mut left = Vec::new();
    for text in [
        "",
        "GET / HT",
        "GET / HTTP/1.1\r\nho",
        HANDSHAKE,
        "GET /long HTTP/1.1\r\nhost: x\r\n\r\n",
        UPGRADE,
    ] {
        left.push(left_behind(address, text).await);
    }
    left.push(left_behind(address, &format!("{UPGRADE}\r\n")).await);
    // A poll that waits, and half a POST.
    let sid = |answer: &str| answer.split(r#""sid":""#).nth(1).unwrap()[..20].to_owned();
    let path = "/socket.io/?EIO=4&transport=polling";
    for rest in ["GET", "POST"] {
        let sid = sid(&request(address, "GET", path, "").await);
        let head = format!("{rest} {path}&sid={sid} HTTP/1.1\r\nhost: x\r\n");
        let tail = if rest == "POST" {
            "content-length: 100\r\n\r\n4"
        } else {
            "\r\n"
        };
        left.push(left_behind(address, &(head + tail)).await);
    }
    let mut joined = Client::open(address).await;
    joined.join("/").await;
    // The server has begun with all of them.
    within(async {
        while io.metrics().engine.open_sessions < 5 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let begun = Instant::now();
    stop.send(()).unwrap();
    within(serving).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_more_events_a_second_than_it_may_is_read_more_slowly_and_loses_none() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.max_events_per_second = 20)).await;
    server
        .io
        .namespace("/")
        .on("count", async |Data(number): Data<u32>| number);
    let mut client = server.connect().await;
    let mut other = server.connect().await;
    let begun = Instant::now();
    for number in 0..50 {
        client.send(&format!("42{number}[\"count\",{number}]")).await;
    }
    other.send("420[\"count\",7]").await;
    other.expect("430[7]").await;
    for number in 0..50 {
        client.expect(&format!("43{number}[{number}]")).await;
    }
    // Two seconds were used up, and the third begun.
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "{:?}", begun.elapsed());
    // On a slow machine the clock alone may have held it back once.
    assert!((1..=2).contains(&server.io.metrics().event_pauses));
}

#[tokio::test]
async fn a_drain_disconnects_clients_for_the_shutdown_and_accepts_no_more() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    assert!(!server.io.is_draining());
    within(server.io.drain(Duration::from_secs(20))).await;
    assert!(server.io.is_draining());
    while client.next().await.is_some() {}
    let refused = request(server.address, "GET", "/socket.io/?EIO=4&transport=polling", "").await;
    assert!(
        refused.starts_with("HTTP/1.1 503") && refused.contains("retry-after: "),
        "{refused}"
    );
    server.is_empty().await;
    let metrics = server.io.metrics().engine;
    assert_eq!(
        (
            metrics.closed.get(CloseReason::ServerShutdown),
            metrics.handshakes_unavailable
        ),
        (1, 1)
    );
}
