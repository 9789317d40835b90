//! The server in other host frameworks, and its end.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::routing::get;
use http_body_util::BodyExt;
use manager_api::memory::MemoryBus;
use socket_io::service::PeerAddr;
use socket_io::{Socket, SocketIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_service::Service;

use crate::client::{Client, TestServer, request, within};

async fn http_get(address: SocketAddr, path: &str) -> String {
    request(address, "GET", path, "").await
}

#[tokio::test]
async fn it_is_a_layer_of_an_axum_application() {
    let io = SocketIo::new();
    io.namespace("/").on("ping", async || "pong");
    let app = Router::new().route("/hello", get(async || "hello")).layer(io.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    let mut client = Client::open(address).await;
    client.join("/").await;
    client.send("420[\"ping\"]").await;
    client.expect("430[\"pong\"]").await;
    assert!(http_get(address, "/hello").await.ends_with("hello"));
    assert!(http_get(address, "/socket.io-admin/").await.starts_with("HTTP/1.1 404"));
    assert!(
        http_get(address, "/socket.io/?EIO=4&transport=polling")
            .await
            .contains("\"upgrades\":[\"websocket\"]")
    );
}

/// Tells the server what axum knows by another name.
async fn with_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(PeerAddr(peer));
    request
}

#[tokio::test]
async fn a_handler_that_takes_the_address_refuses_no_client_in_an_axum_application() {
    let io = SocketIo::new();
    let (peers, mut told) = tokio::sync::mpsc::unbounded_channel();
    io.namespace("/").on_connect(move |PeerAddr(peer): PeerAddr| {
        peers.send(peer).unwrap();
        async {}
    });
    let app = Router::new().layer(io.layer()).layer(map_request(with_peer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await });
    Client::open(address).await.join("/").await;
    let peer = within(told.recv()).await.unwrap();
    assert!(peer.ip().is_loopback() && peer != address, "{peer}");
}

#[tokio::test]
async fn a_server_that_has_gone_deaf_says_so() {
    assert!(SocketIo::new().health().is_none());
    let bus = MemoryBus::new();
    let io = SocketIo::builder().manager(bus.manager("socketio")).build();
    within(io.ready()).await;
    let listens = || io.health().unwrap().listening_since.is_some();
    assert!(listens());
    bus.stop();
    within(async {
        while listens() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn it_is_a_tower_service() {
    let mut service = SocketIo::new().service();
    let request = |path: &str| http::Request::get(path).body(String::new()).unwrap();
    let refused = service
        .call(request("/socket.io/?EIO=3&transport=polling"))
        .await
        .unwrap();
    assert_eq!(refused.status(), 400);
    let body = refused.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "{\"code\":5,\"message\":\"Unsupported protocol version\"}");
    assert_eq!(service.call(request("/elsewhere")).await.unwrap().status(), 404);
}

#[tokio::test]
async fn shutdown_disconnects_all_clients_runs_their_handlers_and_ends() {
    let io = SocketIo::new();
    let (told, mut reasons) = tokio::sync::mpsc::unbounded_channel();
    io.namespace("/")
        .on_disconnect(move |_: Socket, reason: socket_io::socket::DisconnectReason| {
            let told = told.clone();
            async move { told.send(reason.as_str()).map_err(|error| error.to_string()) }
        });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(socket_io::serve(listener, io, async { drop(stopped.await) }));
    let mut client = Client::open(address).await;
    client.join("/").await;
    stop.send(()).unwrap();
    client.expect_closed().await;
    within(serving).await.unwrap().unwrap();
    assert_eq!(reasons.try_recv(), Ok("server shutting down"));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_where_http_demands_one() {
    let server = TestServer::start().await;
    for (version, headers, status) in [("1.1", "", "400"), ("1.1", "host: x\r\n", "200"), ("1.0", "", "200")] {
        let path = "/socket.io/?EIO=4&transport=polling";
        let head = format!("GET {path} HTTP/{version}\r\nconnection: close\r\n{headers}\r\n");
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        within(stream.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(
            answer.split(' ').nth(1),
            Some(status),
            "{version} {headers:?}: {answer}"
        );
    }
}
