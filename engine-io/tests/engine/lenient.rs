//! Unusual requests that Node accepts, too.

use engine_io::Config;

use crate::client::Pending;
use crate::support::Server;

const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The head of the response to the opening handshake of a WebSocket.
async fn opening(server: &Server, headers: &str) -> String {
    let request = format!("GET /?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\n{UPGRADE}{headers}\r\n");
    let mut pending = Pending::raw(server.addr, request.as_bytes()).await;
    pending.head().await
}

#[tokio::test]
async fn a_client_that_offers_subprotocols_gets_the_first() {
    let server = Server::start(Config::default()).await;
    let head = opening(&server, "sec-websocket-protocol: chat, superchat\r\n").await;
    assert!(head.contains("sec-websocket-protocol: chat\r\n"), "{head}");
    let head = opening(&server, "").await;
    assert!(!head.contains("sec-websocket-protocol"), "{head}");
}

#[tokio::test]
async fn names_of_parameters_may_be_percent_encoded() {
    let server = Server::start(Config::default()).await;
    let response = server.get("/?%45IO=4&transp%6Frt=polling").await;
    assert_eq!(response.status, 200, "{}", response.body);
}
