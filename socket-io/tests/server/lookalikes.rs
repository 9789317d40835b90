//! Objects of a user that clients would take for binary, `{"_placeholder":true,"num":0}`, beside binary.

use bytes::Bytes;
use manager_api::memory::MemoryBus;
use manager_api::{ClientManager, Emitter, Incoming};
use serde_json::{Value, json};
use socket_io::config::Parser;
use socket_io::manager_api::ErrorKind;
use socket_io::{Data, Error, Socket, SocketIo};
use tokio::sync::mpsc;

use crate::client::{DEADLINE, TestServer, within};

const OBJECT: &str = r#"{"_placeholder":true,"num":7}"#;

fn beside_binary(object: Value) -> (Value, Bytes) {
    (object, Bytes::from_static(b"\x01"))
}

async fn on(bus: &MemoryBus, parser: Parser) -> TestServer {
    let builder = SocketIo::builder().configure(|config| config.parser = parser);
    let server = TestServer::with(builder.manager(bus.manager("socketio"))).await;
    within(server.io.ready()).await;
    server
}

#[tokio::test]
async fn what_one_client_sends_never_closes_the_connections_of_others_because_it_looks_like_binary() {
    let server = TestServer::start().await;
    let (results, mut refused) = mpsc::unbounded_channel();
    server
        .io
        .namespace("/")
        .on("share", move |socket: Socket, Data(object): Data<Value>| {
            let results = results.clone();
            async move {
                let data = beside_binary(object);
                let mut outcomes: Vec<Result<(), Error>> = vec![
                    socket.broadcast().emit("shared", &data).await,
                    socket.to("room").emit("shared", &data).await,
                    socket.emit("shared", &data).await,
                    socket.emit_volatile("shared", &data).await.map(drop),
                    socket.broadcast().emit_with_ack("shared", &data).await.map(drop),
                    socket.call::<_, Value>("shared", &data, DEADLINE).await.map(drop),
                ];
                outcomes.retain(Result::is_err);
                results.send(outcomes).unwrap();
                data
            }
        });
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for object in [OBJECT, r#"{"a":[{"\u005fplaceholder":1,"num":0}]}"#] {
        one.send(&format!("421[\"share\",{object}]")).await;
        let refused = within(refused.recv()).await.unwrap();
        assert_eq!(refused.len(), 6, "{object}");
        for error in refused {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("\"_placeholder\""), "{error}");
        }
    }
    // Nothing came, the acknowledgement included, and both are still there; what cannot be mistaken passes.
    one.send("422[\"share\",{\"_placeholder\":false}]").await;
    let packet = "[\"shared\",{\"\\u005fplaceholder\":false},{\"_placeholder\":true,\"num\":0}]";
    assert!(two.text().await.starts_with("451-"));
    assert_eq!(two.binary().await, b"\x01");
    one.expect(&format!("451-{packet}")).await;
    assert_eq!(
        server.io.metrics().handler_failures,
        2,
        "an acknowledgement is refused too"
    );
}

#[tokio::test]
async fn a_server_passes_over_what_others_emit_if_its_clients_would_take_it_for_binary() {
    let bus = MemoryBus::new();
    let (json, msgpack) = (on(&bus, Parser::Json).await, on(&bus, Parser::MsgPack).await);
    let mut client = json.connect().await;
    let data = beside_binary(json!({"_placeholder": true, "num": 7}));
    // Where packets are MessagePack nothing can be mistaken.
    msgpack.io.emit("shared", &data).await.unwrap();
    msgpack.io.emit("end", &()).await.unwrap();
    client.expect("42[\"end\"]").await;
    assert_eq!(json.io.metrics().hub.undecodable, 1);
    // Who does not know how packets are written assumes JSON.
    let emitter = Emitter::new(bus.manager("socketio"));
    let error = emitter.emit("shared", &data).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let manager = bus.manager("socketio");
    let mut passing = manager.subscribe().await.unwrap();
    json.io.emit("shared", &data).await.unwrap_err();
    json.io.emit("end", &()).await.unwrap();
    loop {
        let Incoming::Message(message) = within(passing.recv()).await.unwrap() else {
            panic!("a gap");
        };
        let message = String::from_utf8(message.to_vec()).unwrap();
        assert!(
            !message.contains("shared"),
            "refused before anything is published: {message}"
        );
        if message.contains("\"end\"") {
            break;
        }
    }
}
