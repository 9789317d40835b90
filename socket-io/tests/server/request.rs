//! The request that opened the connection, as handlers see it.

use http::HeaderMap;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::json;
use socket_io::extract::{Extension, Query, Rejection};
use socket_io::service::PeerAddr;
use socket_io::{Refusal, SocketIo};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tower_service::Service;

use crate::client::{TestServer, request, request_on, within};

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
async fn the_address_of_a_client_is_its_own_and_not_that_of_the_server() {
    let server = TestServer::start().await;
    let (peers, mut told) = mpsc::unbounded_channel();
    server.io.namespace("/").on_connect(move |PeerAddr(peer): PeerAddr| {
        peers.send(peer).unwrap();
        async {}
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 2], 0).into()).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let own = stream.local_addr().unwrap();
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = request_on(stream, "GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    // From elsewhere: what counts is who opened the connection.
    request(server.address, "POST", &format!("{path}&sid={}", &rest[..20]), "40").await;
    let peer = within(told.recv()).await.unwrap();
    assert_eq!(peer, own);
    assert_eq!(peer.ip().to_string(), "127.0.0.2");
}

#[tokio::test]
async fn what_may_be_absent_is_an_option() {
    let io = SocketIo::new();
    io.namespace("/")
        .on_connect(async |peer: Option<PeerAddr>, user: Option<Extension<User>>| {
            let seen = json!([peer.is_some(), user.map(|Extension(user)| user.is_admin)]);
            Err::<(), _>(Refusal::new("no").with_data(&seen))
        });
    assert!(first_reply(&io, None).await.contains("\"data\":[false,null]"));
    let seen = first_reply(&io, Some(User { is_admin: true })).await;
    assert!(seen.contains("\"data\":[false,true]"), "{seen}");
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
        let reply = first_reply(&io, Some(User { is_admin })).await;
        assert!(reply.starts_with(expected), "{reply}");
    }
}

/// Connects by polling, with requests that a layer has put a user into; returns what the server says to it.
async fn first_reply(io: &SocketIo, user: Option<User>) -> String {
    let mut service = io.service();
    let mut ask = async |method: &str, path: &str, body: &str| {
        let request = http::Request::builder().method(method).uri(path);
        let mut request = request.body(body.to_owned()).unwrap();
        if let Some(user) = &user {
            request.extensions_mut().insert(user.clone());
        }
        let response = within(service.call(request)).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    };
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = ask("GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    let path = format!("{path}&sid={}", &rest[..20]);
    assert_eq!(ask("POST", &path, "40").await, "ok");
    ask("GET", &path, "").await
}
