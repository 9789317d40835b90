//! Values: they arrive unchanged in both directions, and are acknowledged.

use std::time::Duration;

use bytes::Bytes;
use integration::DEADLINE;
use integration::client::{Kind, RealClient};
use integration::driven::binary;
use serde_json::{Value, json};
use socket_io::manager_api::ErrorKind;

use super::{Over, Way};
use crate::served::Served;

/// Lists of arguments that must come back as they are.
pub(super) fn arguments() -> Vec<Value> {
    let everything: Vec<u8> = (0..=255).collect();
    let attachments: Vec<Value> = (0..10).map(|number| binary(&[number; 3])).collect();
    vec![
        json!([]),
        json!(["text"]),
        json!(["", "several", 1, -2.5, true, false, null]),
        json!([null, "behind a null"]),
        json!([
            "zażółć 日本語 🦀\u{1d11e}",
            "\u{2028}\u{2029}\u{0}\u{7f}\"\\/",
            "{\"_placeholder\":true,\"num\":0}"
        ]),
        json!([{ "ключ": { "deep": [[[{}]], []] } }]),
        json!([9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64, 1e-7]),
        json!([binary(&everything)]),
        json!([binary(b"")]),
        json!(["before", { "a": [binary(b"\x00\xff"), { "b": binary(b"x") }] }, binary(b"y"), "after"]),
        json!(attachments),
    ]
}

pub(super) async fn both_ways(way: Way) {
    let mut server = Served::start();
    let (mut client, _socket) = way.join(&mut server).await;
    for wanted in arguments() {
        let answer = client.emit_with_ack("echo", wanted.clone(), DEADLINE).await;
        assert_eq!(answer.map(Value::from), Some(wanted.clone()), "an answer");
        client.emit("back", wanted.clone()).await;
        let message = client.next_message(DEADLINE).await;
        assert_eq!((message.name.as_str(), message.ack), ("back", None));
        assert_eq!(Value::from(message.args), wanted, "an event");
    }
}

pub(super) async fn large(way: Way) {
    let mut server = Served::start();
    let (mut client, _socket) = way.join(&mut server).await;
    let text = json!(["ż🦀 and so on ".repeat(31_250)]);
    assert!(text.to_string().len() > 500_000);
    let bytes: Vec<u8> = (0..500_000_u32).map(|number| ((number * 31) >> 3) as u8).collect();
    for wanted in [text, json!([binary(&bytes), "behind it"])] {
        let answer = client.emit_with_ack("echo", wanted.clone(), DEADLINE).await;
        // Not `assert_eq`, which would print a megabyte.
        assert!(answer.map(Value::from) == Some(wanted), "the answer is another one");
    }
}

/// Begins while an upgrade still runs, if there is one.
pub(super) async fn in_order(way: Way) {
    // python-socketio's client gives up when more than 16 packets come in one polling response, bytes being one more.
    let count = if (way.kind, way.over) == (Kind::Python, Over::Polling) {
        3
    } else {
        200_u64
    };
    let mut server = Served::start();
    let options = way.to(&server);
    let mut client = RealClient::connected(way.kind, &options).await;
    let (socket, _) = server.accepted().await;
    for number in 0..count {
        let bytes = Bytes::from(vec![number as u8; 8]);
        socket.emit("tick", &(number, bytes)).await.unwrap();
        client.emit("back", json!([number, binary(&[number as u8; 8])])).await;
    }
    let (mut ticks, mut back) = (Vec::new(), Vec::new());
    for _ in 0..2 * count {
        let message = client.next_message(DEADLINE).await;
        let number = message.args[0].as_u64().unwrap();
        assert_eq!(message.args[1], binary(&[number as u8; 8]));
        match message.name.as_str() {
            "tick" => ticks.push(number),
            _ => back.push(number),
        }
    }
    let expected: Vec<u64> = (0..count).collect();
    assert_eq!(ticks, expected);
    assert_eq!(back, expected);
    way.settled(&mut client).await;
    let place = client.emit_with_ack("where", json!([]), DEADLINE).await;
    assert_eq!(place, Some(vec![json!("/"), json!(way.transport())]));
}

pub(super) async fn asked(way: Way) {
    let mut server = Served::start();
    let (mut client, socket) = way.join(&mut server).await;

    let question = ("?", Bytes::from_static(b"\x00\xff"));
    let call = socket.call::<_, (String, Bytes)>("question", &question, DEADLINE);
    let answering = async {
        let question = client.next_message(DEADLINE).await;
        assert_eq!(question.name, "question");
        assert_eq!(question.args, [json!("?"), binary(b"\x00\xff")]);
        let id = question.ack.expect("the server asked");
        client.ack(id, json!(["yes", binary(b"\xfe\x00")])).await;
    };
    let (answer, ()) = tokio::join!(call, answering);
    assert_eq!(answer.unwrap(), ("yes".to_owned(), Bytes::from_static(b"\xfe\x00")));

    let call = socket.call::<_, Value>("empty question", &(), DEADLINE);
    let answering = async {
        let question = client.next_message(DEADLINE).await;
        assert_eq!((question.name.as_str(), question.args.len()), ("empty question", 0));
        client.ack(question.ack.expect("the server asked"), json!([])).await;
    };
    let (answer, ()) = tokio::join!(call, answering);
    assert_eq!(answer.unwrap(), Value::Null);

    let unanswered = socket.call::<_, Value>("ignored", &(), Duration::from_millis(50));
    assert_eq!(unanswered.await.unwrap_err().kind(), ErrorKind::Timeout);
}
