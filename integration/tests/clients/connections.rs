//! Connecting to namespaces: acceptance, refusal, middleware.

use integration::DEADLINE;
use integration::client::{Kind, RealClient, Refusal};
use serde_json::{Value, json};
use socket_io::SocketIo;

use super::{Over, Way};
use crate::served::{OTHER, Served, any_port};

pub(super) async fn auth(way: Way) {
    let mut server = Served::start();
    let mut options = way.to(&server);
    options.auth = Some(json!({ "token": "zażółć 🦀", "list": [1, { "a": null }] }));
    options.headers.insert("x-test".to_owned(), "a header".to_owned());
    let mut client = RealClient::spawn(way.kind).await;
    let sid = client.connect(&options).await.unwrap();
    let (socket, auth) = server.accepted().await;
    assert_eq!((socket.id().as_str(), auth), (sid.as_str(), options.auth));
    assert_eq!(sid.len(), 20);
    // A browser's WebSocket cannot carry headers of the page's choice.
    if (way.kind, way.over) != (Kind::Browser, Over::WebSocket) {
        assert_eq!(socket.handshake().header("x-test"), Some("a header"));
    }

    way.settled(&mut client).await;
    let place = client.emit_with_ack("where", json!([]), DEADLINE).await;
    assert_eq!(place, Some(vec![json!("/"), json!(way.transport())]));
    assert_eq!(server.io.metrics().engine.opened, 1);
}

pub(super) async fn refusal(way: Way) {
    let mut server = Served::start();
    let mut options = way.to(&server);
    let data = json!({ "why": ["zażółć", 1, null], "retry": false });
    options.auth = Some(json!({ "refuse": data }));
    let mut client = RealClient::spawn(way.kind).await;
    let refusal = client.connect(&options).await.unwrap_err();
    assert_eq!((refusal.message.as_str(), refusal.data), ("not you", data));

    options.auth = Some(json!({ "token": "another try" }));
    let sid = client.connect(&options).await.unwrap();
    // The first to be accepted: the refused one never was.
    assert_eq!(server.accepted().await.0.id().as_str(), sid);
}

pub(super) async fn unknown_namespace(way: Way) {
    let server = Served::start();
    let mut options = way.to(&server);
    options.namespace = "/nowhere".to_owned();
    let mut client = RealClient::spawn(way.kind).await;
    let refused = Refusal {
        message: "Invalid namespace".to_owned(),
        data: Value::Null,
    };
    assert_eq!(client.connect(&options).await, Err(refused));
}

pub(super) async fn namespaces(way: Way) {
    let mut server = Served::start();
    let mut options = way.to(&server);
    options.namespaces = vec![OTHER.to_owned()];
    let (mut client, _) = way.join_with(&mut server, &options).await;
    client
        .driven()
        .until(DEADLINE, |event| {
            event["event"] == "connect" && event["namespace"] == OTHER
        })
        .await;
    let (second, _) = server.accepted().await;
    let metrics = server.io.metrics().engine;
    assert_eq!((metrics.opened, metrics.open_sessions), (1, 1));

    for namespace in ["/", OTHER] {
        client.switch_to(namespace);
        let place = client.emit_with_ack("where", json!([]), DEADLINE).await;
        assert_eq!(place, Some(vec![json!(namespace), json!(way.transport())]));
        let binary = json!([integration::driven::binary(b"\x00"), namespace]);
        let echo = client.emit_with_ack("echo", binary.clone(), DEADLINE).await;
        assert_eq!(echo.map(Value::from), Some(binary));
        server.io.of(namespace).emit("only here", namespace).await.unwrap();
        let message = client.next_message(DEADLINE).await;
        assert_eq!(
            (message.namespace.as_str(), &message.args),
            (namespace, &vec![json!(namespace)])
        );
    }

    // The one disconnected is whichever was accepted second; the other one lives on, over the same connection.
    let gone = second.namespace().to_string();
    let stays = if gone == OTHER { "/" } else { OTHER };
    second.disconnect();
    client.switch_to(&gone);
    client.disconnected(DEADLINE).await;
    assert_eq!(server.left().await.0.id(), second.id());
    client.switch_to(stays);
    let echo = client.emit_with_ack("echo", json!([1]), DEADLINE).await;
    assert_eq!(echo, Some(vec![json!(1)]));
    assert_eq!(server.io.metrics().engine.open_sessions, 1);
}

pub(super) async fn wrong_path(way: Way) {
    let builder = SocketIo::builder().configure(|config| config.engine.path = "/chat/".to_owned());
    let mut server = Served::start_on(any_port(), builder);
    let mut options = way.to(&server);
    let mut client = RealClient::spawn(way.kind).await;
    assert!(client.connect(&options).await.is_err());
    assert_eq!(server.io.metrics().engine.opened, 0);

    options.path = "/chat/".to_owned();
    let sid = client.connect(&options).await.unwrap();
    assert_eq!(server.accepted().await.0.id().as_str(), sid);
}
