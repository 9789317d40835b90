//! socket.io-client and python-socketio's client against python-socketio's server: where these fail, the scripts are at
//! fault and not sio.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::driven::binary;
use integration::python::{PyEmitter, PyManager, PyServer};
use serde_json::json;

async fn server() -> (PyServer, String, String) {
    let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
    (PyServer::start(PyManager::Redis, &url, &channel).await, url, channel)
}

#[tokio::test]
async fn connect_emit_acks_both_ways_binary_and_disconnect() {
    let (mut server, ..) = server().await;
    for kind in Kind::ALL {
        let mut options = ConnectOptions::to(server.url());
        options.auth = Some(json!({ "token": "t" }));
        let mut client = RealClient::spawn(kind).await;
        let sid = client.connect(&options).await.unwrap();
        let seen = server.until(DEADLINE, |event| event["event"] == "connect").await;
        assert_eq!((&seen["sid"], &seen["auth"]), (&json!(sid), &json!({ "token": "t" })));
        client.upgraded_to("websocket").await;

        let arguments = json!([1, { "deep": binary(b"\x00\xff") }, null]);
        let answer = client.emit_with_ack("echo", arguments.clone(), DEADLINE).await;
        assert_eq!(answer.map(serde_json::Value::from), Some(arguments), "{kind:?}");

        server
            .call(json!({ "cmd": "emit", "name": "question", "args": ["?", binary(b"b")], "room": sid, "callback": 7 }))
            .await;
        let question = client.next_message(DEADLINE).await;
        assert_eq!(
            (question.name.as_str(), question.args),
            ("question", vec![json!("?"), binary(b"b")])
        );
        client
            .ack(question.ack.expect("the server asked"), json!(["yes", binary(b"no")]))
            .await;
        let answer = server.until(DEADLINE, |event| event["event"] == "callback").await;
        assert_eq!(
            (&answer["id"], &answer["args"]),
            (&json!(7), &json!(["yes", binary(b"no")]))
        );

        client.disconnect().await;
        let gone = server.until(DEADLINE, |event| event["event"] == "disconnect").await;
        assert_eq!(gone["sid"], json!(sid));
        if kind == Kind::Node {
            // The Python client closes its transport in the same breath, and the server may see that first.
            assert_eq!(gone["reason"], "client disconnect");
        }
    }
}

#[tokio::test]
async fn a_worker_reaches_a_room_and_no_other_client() {
    let (server, url, channel) = server().await;
    let mut worker = PyEmitter::start(PyManager::Redis, &url, &channel).await;
    for kind in Kind::ALL {
        let mut inside = RealClient::connected(kind, &ConnectOptions::to(server.url()).only("websocket")).await;
        let mut outside = RealClient::connected(kind, &ConnectOptions::to(server.url()).only("polling")).await;
        assert_eq!(
            inside.emit_with_ack("join", json!(["room"]), DEADLINE).await,
            Some(vec![json!(true)])
        );
        worker.emit("news", json!([{ "a": 1 }]), Some("room")).await;
        worker.emit("end", json!([]), None).await;
        let got = inside.messages_before("end").await;
        assert_eq!(got.len(), 1);
        assert_eq!((got[0].name.as_str(), &got[0].args), ("news", &vec![json!({ "a": 1 })]));
        assert_eq!(outside.messages_before("end").await, []);
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_is_reported() {
    let (server, ..) = server().await;
    for kind in Kind::ALL {
        let mut client = RealClient::connected(kind, &ConnectOptions::to(server.url())).await;
        assert_eq!(
            client.emit_with_ack("ask", json!([]), Duration::from_millis(50)).await,
            None
        );
    }
}

#[tokio::test]
async fn a_broken_transport_is_seen_by_both_sides_and_mended_if_asked() {
    let (mut server, ..) = server().await;
    for kind in Kind::ALL {
        for transport in ["polling", "websocket"] {
            let mut options = ConnectOptions::to(server.url()).only(transport);
            options.reconnect = true;
            let mut client = RealClient::connected(kind, &options).await;
            client.break_transport().await;
            client.disconnected(DEADLINE).await;
            if transport == "websocket" {
                // A lost poller is noticed by its silence only, after the ping's time.
                server.until(DEADLINE, |event| event["event"] == "disconnect").await;
            }
            client
                .driven()
                .until(DEADLINE, |event| event["event"] == "connect")
                .await;
        }
    }
}

#[tokio::test]
async fn two_namespaces_in_one_client() {
    let (server, ..) = server().await;
    for kind in Kind::ALL {
        let mut options = ConnectOptions::to(server.url()).only("websocket");
        let mut client = RealClient::connected(kind, &options).await;
        options.namespace = "/admin".to_owned();
        client.connect(&options).await.unwrap();
        assert_eq!(
            client.emit_with_ack("echo", json!(["a"]), DEADLINE).await,
            Some(vec![json!("a")])
        );
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_refusal() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    for kind in Kind::ALL {
        let mut client = RealClient::spawn(kind).await;
        let options = ConnectOptions::to(&format!("http://127.0.0.1:{port}"));
        assert!(client.connect(&options).await.is_err());
    }
}
