//! The server in other people's houses, and its end.

use axum::Router;
use axum::routing::get;
use http_body_util::BodyExt;
use socket_io::{Socket, SocketIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower_service::Service;

use crate::client::{Client, request, within};

async fn http_get(address: std::net::SocketAddr, path: &str) -> String {
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
async fn shutdown_disconnects_everybody_runs_their_handlers_and_ends() {
    let io = SocketIo::new();
    let (told, mut reasons) = tokio::sync::mpsc::unbounded_channel();
    io.namespace("/")
        .on_disconnect(move |_: Socket, reason: socket_io::DisconnectReason| {
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
