//! Lost connections: their reasons, and what follows.

use std::time::Duration;

use integration::DEADLINE;
use integration::client::{Kind, RealClient};
use serde_json::json;
use socket_io::SocketIo;
use socket_io::socket::{CloseReason, DisconnectReason};

use super::{Over, Way};
use crate::served::{Served, any_port, lasting_port};

pub(super) async fn by_server(way: Way) {
    let mut server = Served::start();
    let (mut client, socket) = way.join(&mut server).await;
    socket.emit("last", &()).await.unwrap();
    socket.disconnect();
    assert_eq!(client.next_message(DEADLINE).await.name, "last");
    let expected = match way.kind {
        Kind::Node | Kind::Node45 | Kind::Browser => "io server disconnect",
        Kind::Python => "server disconnect",
    };
    assert_eq!(client.disconnected(DEADLINE).await.as_deref(), Some(expected));
    let (left, reason) = server.left().await;
    assert_eq!(left.id(), socket.id());
    assert_eq!(reason, DisconnectReason::ServerNamespaceDisconnect);
    assert!(socket.emit("too late", &()).await.is_err());
}

pub(super) async fn by_closing(way: Way) {
    let mut server = Served::start();
    let (mut client, socket) = way.join(&mut server).await;
    socket.emit("last", &()).await.unwrap();
    socket.disconnect_all();
    assert_eq!(client.next_message(DEADLINE).await.name, "last");
    client.disconnected(DEADLINE).await;
    assert_eq!(server.left().await.0.id(), socket.id());
}

pub(super) async fn by_client(way: Way) {
    let mut server = Served::start();
    let (mut client, socket) = way.join(&mut server).await;
    socket.join("room").unwrap();
    client.disconnect().await;
    let (left, reason, rooms) = server.rooms_left().await;
    assert_eq!(left.id(), socket.id());
    let expected = match (way.kind, way.transport()) {
        // This client closes its WebSocket before it has sent its last packets.
        (Kind::Python, "websocket") => DisconnectReason::Connection(CloseReason::TransportClose),
        _ => DisconnectReason::ClientNamespaceDisconnect,
    };
    assert_eq!(reason, expected);
    assert_eq!(rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(), ["room"]);
    assert!(!left.is_connected());
}

pub(super) async fn by_network(way: Way) {
    // Over a lost WebSocket comes the end of the stream; a client that polled is missed only when it answers no ping.
    let builder = SocketIo::builder().configure(|config| {
        if way.over == Over::Polling {
            config.engine.ping_interval = Duration::from_secs(1);
            config.engine.ping_timeout = Duration::from_secs(4);
        }
    });
    let mut server = Served::start_on(any_port(), builder);
    let (mut client, socket) = way.join(&mut server).await;
    client.break_transport().await;
    let (left, reason) = server.left().await;
    assert_eq!(left.id(), socket.id());
    let DisconnectReason::Connection(reason) = reason else {
        panic!("a lost connection is not {reason}");
    };
    let expected: &[_] = match way.over {
        Over::Polling => &[
            CloseReason::PingTimeout,
            CloseReason::TransportError,
            CloseReason::TransportClose,
        ],
        _ => &[CloseReason::TransportError, CloseReason::TransportClose],
    };
    assert!(expected.contains(&reason), "{reason:?}");
}

/// The server dies without a word, and another one comes up in its place.
pub(super) async fn restart(way: Way) {
    comes_back(way, Served::kill).await;
}

/// The server says goodbye, and another one comes up in its place.
pub(super) async fn shutdown(way: Way) {
    if (way.kind, way.over) == (Kind::Python, Over::Polling) {
        // This client takes the end of the session, which the protocol has a packet for, as meant for ever.
        let mut server = Served::start();
        let mut options = way.to(&server);
        options.reconnect = true;
        let (mut client, _socket) = way.join_with(&mut server, &options).await;
        server.shut_down().await;
        let reason = client.disconnected(DEADLINE).await;
        return assert_eq!(reason.as_deref(), Some("server disconnect"));
    }
    comes_back(way, Served::shut_down).await;
}

async fn comes_back(way: Way, end: impl AsyncFnOnce(Served)) {
    let mut server = Served::start_on(lasting_port(), SocketIo::builder());
    let mut options = way.to(&server);
    options.reconnect = true;
    options.auth = Some(json!({ "token": "again" }));
    let (mut client, before) = way.join_with(&mut server, &options).await;
    let address = server.address;
    end(server).await;
    client.disconnected(DEADLINE).await;

    let listener = std::net::TcpListener::bind(address).unwrap();
    let mut server = Served::start_on(listener, SocketIo::builder());
    let (after, auth) = server.accepted().await;
    assert_ne!(after.id(), before.id());
    assert_eq!(auth, options.auth);
    came_back(&mut client, after.id().as_str()).await;
    let answer = client.emit_with_ack("echo", json!(["works", "again"]), DEADLINE).await;
    assert_eq!(answer, Some(vec![json!("works"), json!("again")]));
    after.emit("news", "of the new one").await.unwrap();
    assert_eq!(client.next_message(DEADLINE).await.args, [json!("of the new one")]);
}

async fn came_back(client: &mut RealClient, sid: &str) {
    client
        .driven()
        .until(DEADLINE, |event| event["event"] == "connect" && event["sid"] == sid)
        .await;
}
