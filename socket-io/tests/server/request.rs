//! What handlers see of the request that opened the connection.

use http::HeaderMap;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use socket_io::{Extension, PeerAddr, Query, Refusal, Rejection, SocketIo};
use tokio::sync::mpsc;
use tower_service::Service;

use crate::client::{TestServer, request, within};

#[derive(Debug, Deserialize)]
struct Wanted {
    room: String,
    #[serde(default)]
    size: u8,
}

#[tokio::test]
async fn connect_handlers_take_headers_query_and_address_by_type() {
    let server = TestServer::start().await;
    let (facts, mut told) = mpsc::unbounded_channel();
    server.io.namespace("/").on_connect(
        move |headers: HeaderMap, Query(wanted): Query<Wanted>, PeerAddr(peer): PeerAddr| {
            facts.send((headers["host"].clone(), wanted, peer)).unwrap();
            async {}
        },
    );
    let path = "/socket.io/?EIO=4&transport=polling&room=a%20b%2Bc&size=7";
    let opening = request(server.address, "GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    let path = format!("/socket.io/?EIO=4&transport=polling&sid={}", &rest[..20]);
    request(server.address, "POST", &path, "40").await;
    let (host, wanted, peer) = within(told.recv()).await.unwrap();
    assert_eq!(
        (host.to_str().unwrap(), wanted.room.as_str(), wanted.size),
        ("x", "a b+c", 7)
    );
    assert!(peer.ip().is_loopback());
}

#[tokio::test]
async fn a_query_or_extension_that_is_missing_refuses_or_is_told() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/query")
        .on_connect(async |Query(_): Query<Wanted>| {});
    server
        .io
        .namespace("/extension")
        .on_connect(async |Extension(_): Extension<u8>| {});
    server
        .io
        .namespace("/told")
        .on_connect(async |extension: Result<Extension<u8>, Rejection>| match extension {
            Ok(_) => Ok(()),
            Err(why) => Err(Refusal::new("no").with_data(&json!([why.to_string()]))),
        });
    let mut client = server.open().await;
    for name in ["/query", "/extension"] {
        client.send(&format!("40{name},")).await;
        client
            .expect(&format!("44{name},{{\"message\":\"Connection rejected by server\"}}"))
            .await;
    }
    client.send("40/told,").await;
    client
        .expect("44/told,{\"message\":\"no\",\"data\":[\"the request has no extension of type u8\"]}")
        .await;
}

#[derive(Clone)]
struct User {
    is_admin: bool,
}

#[tokio::test]
async fn what_a_layer_put_into_the_extensions_reaches_the_connect_handler() {
    let io = SocketIo::new();
    io.namespace("/")
        .on_connect(async |Extension(user): Extension<User>| user.is_admin);
    for (is_admin, expected) in [(true, "40{\"sid\":"), (false, "44{\"message\":")] {
        let mut service = io.service();
        let mut ask = async |method: &str, path: &str, body: &str| {
            let request = http::Request::builder().method(method).uri(path);
            let mut request = request.body(body.to_owned()).unwrap();
            request.extensions_mut().insert(User { is_admin });
            let response = within(service.call(request)).await.unwrap();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let path = "/socket.io/?EIO=4&transport=polling";
        let opening = ask("GET", path, "").await;
        let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
        let path = format!("{path}&sid={}", &rest[..20]);
        assert_eq!(ask("POST", &path, "40").await, "ok");
        let reply = ask("GET", &path, "").await;
        assert!(reply.starts_with(expected), "{reply}");
    }
}
