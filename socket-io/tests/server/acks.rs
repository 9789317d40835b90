//! Acknowledgements both ways.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use socket_io::extract::Rejection;
use socket_io::manager_api::{ErrorKind, Payload};
use socket_io::{Ack, Data, Socket};

use crate::client::{TestServer, within};

#[tokio::test]
async fn what_a_handler_returns_is_the_acknowledgement() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on("nothing", async || {});
    root.on("tuple", async || ("OK", 123));
    root.on("list", async || vec![1, 2]);
    root.on("own", async || Ack(json!({"a": 1})));
    root.on("binary", async || Bytes::from_static(b"\x01"));
    root.on("fine", async || Ok::<_, String>("fine"));
    let mut client = server.connect().await;
    for (id, event, reply) in [
        (0, "nothing", "430[]"),
        (1, "tuple", "431[\"OK\",123]"),
        (2, "list", "432[[1,2]]"),
        (3, "own", "433[{\"a\":1}]"),
        (4, "fine", "434[\"fine\"]"),
    ] {
        client.send(&format!("42{id}[\"{event}\"]")).await;
        client.expect(reply).await;
    }
    client.send("425[\"binary\"]").await;
    client.expect("461-5[{\"_placeholder\":true,\"num\":0}]").await;
    assert_eq!(client.binary().await, b"\x01");
}

#[tokio::test]
async fn there_is_no_acknowledgement_if_none_was_asked_for_or_the_handler_is_missing_fails_panics_or_does_not_fit() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on("fails", async || Err::<(), _>("on purpose"));
    root.on("panics", async || -> u8 { panic!("on purpose") });
    root.on("number", async |Data(n): Data<u32>| n);
    root.on("checked", async |data: Result<Data<u32>, Rejection>| data.is_ok());
    root.on("ok", async || "ok");
    let mut client = server.connect().await;
    for event in [
        "[\"ok\"]",
        "1[\"missing\"]",
        "2[\"fails\"]",
        "3[\"panics\"]",
        "4[\"number\",\"x\"]",
    ] {
        client.send(&format!("42{event}")).await;
    }
    client.send("425[\"checked\",\"x\"]").await;
    client.expect("435[false]").await;
}

#[tokio::test]
async fn the_server_calls_a_client_from_within_its_own_handler() {
    let server = TestServer::start().await;
    server.io.namespace("/").on("start", async |socket: Socket| {
        socket
            .call::<_, (String, u8)>("question", &"really?", Duration::from_secs(5))
            .await
            .map(Ack)
    });
    let mut client = server.connect().await;
    client.send("420[\"start\"]").await;
    let question = client.text().await;
    let id = question.strip_prefix("42").unwrap().split('[').next().unwrap();
    client.send(&format!("43{id}[\"yes\",7]")).await;
    client.expect("430[\"yes\",7]").await;
}

#[tokio::test]
async fn a_call_ends_at_its_deadline_or_when_the_client_leaves() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    let (calls, mut called) = tokio::sync::mpsc::unbounded_channel();
    root.on("call", move |socket: Socket, Data(timeout): Data<u64>| {
        let calls = calls.clone();
        async move {
            let answer = socket.call::<_, Value>("q", &(), Duration::from_millis(timeout)).await;
            calls.send(answer.unwrap_err().kind()).unwrap();
        }
    });
    let mut client = server.connect().await;
    client.send("42[\"call\",50]").await;
    assert_eq!(within(called.recv()).await, Some(ErrorKind::Timeout));
    assert_eq!(
        server.io.metrics().hub.pending_acks,
        0,
        "though the client is still here"
    );
    client.send("42[\"call\",3600000]").await;
    assert!(client.text().await.contains("\"q\""));
    assert!(client.text().await.contains("\"q\""));
    drop(client);
    assert_eq!(within(called.recv()).await, Some(ErrorKind::Timeout));
    assert_eq!(server.io.metrics().hub.pending_acks, 0);
}

#[tokio::test]
async fn answers_of_a_room_are_collected_and_forged_ones_ignored() {
    let server = TestServer::start().await;
    let (mut one, mut two, mut three) = (server.connect().await, server.connect().await, server.connect().await);
    let io = server
        .io
        .broadcast()
        .skip(three.sid.as_str())
        .timeout(Duration::from_secs(5));
    let answers = io.emit_with_ack("q", &()).await.unwrap();
    let question = one.text().await;
    let id = question
        .strip_prefix("42")
        .unwrap()
        .split('[')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(two.text().await, question);
    three.send(&format!("43{id}[\"forged\"]")).await;
    one.send(&format!("43{id}[\"one\"]")).await;
    one.send(&format!("43{id}[\"again\"]")).await;
    two.send(&format!("43{id}[\"two\"]")).await;
    let answers = within(answers.all()).await.unwrap();
    let mut texts: Vec<String> = answers.iter().map(|answer| answer.payload.parse().unwrap()).collect();
    texts.sort();
    assert_eq!(texts, ["one", "two"]);
}

#[tokio::test]
async fn null_is_an_argument_like_any_other_in_events_and_acknowledgements() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on("echo", async |arguments: Payload| arguments);
    root.on("last", async |Data((first, last)): Data<(u8, Option<u8>)>| {
        (first, last)
    });
    root.on("null", async || None::<u8>);
    root.on("ask", async |socket: Socket| {
        let answer = socket.call::<_, (u8, Option<u8>)>("q", &(1, None::<u8>), Duration::from_secs(5));
        answer.await.map(Ack)
    });
    let mut client = server.connect().await;
    for (event, answer) in [
        ("421[\"echo\",null]", "431[null]"),
        ("422[\"echo\",1,null]", "432[1,null]"),
        ("423[\"last\",1,null]", "433[1,null]"),
        ("424[\"last\",1]", "434[1,null]"),
        ("425[\"null\"]", "435[null]"),
    ] {
        client.send(event).await;
        client.expect(answer).await;
    }
    client.send("426[\"ask\"]").await;
    let question = client.text().await;
    let (id, rest) = question.strip_prefix("42").unwrap().split_once('[').unwrap();
    assert_eq!(rest, "\"q\",1,null]");
    client.send(&format!("43{id}[2,null]")).await;
    client.expect("436[2,null]").await;
}
