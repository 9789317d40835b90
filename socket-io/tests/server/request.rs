//! What handlers see of the request that opened the connection.

use http::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use socket_io::{Extension, PeerAddr, Query, Refusal, Rejection};
use tokio::sync::mpsc;

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
