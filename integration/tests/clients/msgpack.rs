//! MessagePack clients of other implementations.

use bytes::Bytes;
use integration::DEADLINE;
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::driven::binary;
use serde_json::{Value, json};
use socket_io::SocketIo;
use socket_io::config::Parser;

use super::{Over, Way, values};
use crate::served::{Served, any_port};

fn server() -> Served {
    Served::start_on(
        any_port(),
        SocketIo::builder().configure(|config| config.parser = Parser::MsgPack),
    )
}

fn options(way: Way, server: &Served) -> ConnectOptions {
    let mut options = way.to(server);
    options.parser = Some("msgpack");
    options
}

async fn everything(way: Way) {
    let mut server = server();
    let mut options = options(way, &server);
    let data = json!({ "why": ["zażółć", 1, null], "retry": false });
    options.auth = Some(json!({ "refuse": data }));
    let mut client = RealClient::spawn(way.kind).await;
    let refusal = client.connect(&options).await.unwrap_err();
    assert_eq!((refusal.message.as_str(), refusal.data), ("not you", data));

    options.auth = Some(json!({ "token": "🦀", "list": [1, { "a": null }] }));
    let mut client = RealClient::connected(way.kind, &options).await;
    way.settled(&mut client).await;
    let (socket, auth) = server.accepted().await;
    assert_eq!(auth, options.auth);

    for wanted in values::arguments() {
        let answer = client.emit_with_ack("echo", wanted.clone(), DEADLINE).await;
        assert_eq!(answer.map(Value::from), Some(wanted.clone()), "an answer");
        client.emit("back", wanted.clone()).await;
        assert_eq!(
            Value::from(client.next_message(DEADLINE).await.args),
            wanted,
            "an event"
        );
    }

    socket.join("room").unwrap();
    let news = (1, Bytes::from_static(b"\x00\xff"));
    server.io.to("room").emit("news", &news).await.unwrap();
    let message = client.next_message(DEADLINE).await;
    assert_eq!(
        (message.name.as_str(), &message.args[..]),
        ("news", &[json!(1), binary(b"\x00\xff")][..])
    );

    let call = socket.call::<_, (String, Bytes)>("question", &"?", DEADLINE);
    let answering = async {
        let question = client.next_message(DEADLINE).await;
        let id = question.ack.expect("the server asked");
        client.ack(id, json!(["yes", binary(b"\xfe\x00")])).await;
    };
    let (answer, ()) = tokio::join!(call, answering);
    assert_eq!(answer.unwrap(), ("yes".to_owned(), Bytes::from_static(b"\xfe\x00")));

    // JavaScript's parser refuses a DISCONNECT with data, null included.
    socket.disconnect();
    let reason = client.disconnected(DEADLINE).await;
    let expected = match way.kind {
        Kind::Python => "server disconnect",
        _ => "io server disconnect",
    };
    assert_eq!(reason.as_deref(), Some(expected));
}

async fn leaves(way: Way) {
    let mut server = server();
    let mut client = RealClient::connected(way.kind, &options(way, &server)).await;
    let (socket, _) = server.accepted().await;
    client.disconnect().await;
    assert_eq!(server.left().await.0.id(), socket.id());
}

macro_rules! by {
    ($($way:ident: $kind:ident, $over:ident;)*) => {
        $(mod $way {
            use super::{Kind, Over, Way};

            const WAY: Way = Way { kind: Kind::$kind, over: Over::$over };

            #[tokio::test]
            async fn everything_passes_both_ways() {
                super::everything(WAY).await;
            }

            #[tokio::test]
            async fn the_client_disconnects() {
                super::leaves(WAY).await;
            }
        })*
    };
}

by! {
    node_by_polling: Node, Polling;
    node_by_websocket: Node, WebSocket;
    node_by_upgrade: Node, Upgrade;
    node_4_5_by_upgrade: Node45, Upgrade;
    browser_by_polling: Browser, Polling;
    browser_by_upgrade: Browser, Upgrade;
    python_by_polling: Python, Polling;
    python_by_websocket: Python, WebSocket;
}

#[tokio::test]
async fn a_date_arrives_as_with_json() {
    let way = Way {
        kind: Kind::Node,
        over: Over::WebSocket,
    };
    let mut answers = Vec::new();
    for parser in [None, Some("msgpack")] {
        let server = match parser {
            None => Served::start(),
            Some(_) => server(),
        };
        let mut options = way.to(&server);
        options.parser = parser;
        let mut client = RealClient::connected(way.kind, &options).await;
        let dates = json!([{ "$date": 1_709_251_199_999_u64 }, { "at": { "$date": -1 } }]);
        answers.push(client.emit_with_ack("echo", dates, DEADLINE).await);
    }
    let expected = vec![
        json!("2024-02-29T23:59:59.999Z"),
        json!({ "at": "1969-12-31T23:59:59.999Z" }),
    ];
    assert_eq!(answers, [Some(expected.clone()), Some(expected)]);
}

#[tokio::test]
async fn a_client_with_the_other_parser_is_refused_and_harms_no_other() {
    let way = Way {
        kind: Kind::Node,
        over: Over::WebSocket,
    };
    let mut server = server();
    let mut fitting = RealClient::connected(way.kind, &options(way, &server)).await;
    server.accepted().await;
    let mut other = RealClient::spawn(Kind::Node).await;
    let mut command = json!(way.to(&server));
    command["cmd"] = json!("connect");
    other.command(command).await;
    // It is closed for what it says; its client does not call that an event, so the server is asked.
    tokio::time::timeout(DEADLINE, async {
        while server.io.metrics().engine.opened < 2 || server.io.metrics().engine.open_sessions > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the other one is closed");
    let answer = fitting.emit_with_ack("echo", json!([1]), DEADLINE).await;
    assert_eq!(answer, Some(vec![json!(1)]));
}
