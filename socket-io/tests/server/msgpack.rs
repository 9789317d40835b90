//! The server with MessagePack packets; what of them it refuses is in `conformance::msgpack`.

use bytes::Bytes;
use serde_json::Value;
use socket_io::config::Parser;
use socket_io::manager_api::Payload;
use socket_io::{Ack, Data, Socket, SocketIo};

use crate::client::{Client, TestServer, request};

#[path = "../msgpack/packets.rs"]
mod packets;
use packets::{asking, event, packet};

async fn server() -> TestServer {
    TestServer::with(SocketIo::builder().configure(|config| config.parser = Parser::MsgPack)).await
}

async fn joined(server: &TestServer) -> Client {
    let mut client = server.open().await;
    client.send_bytes(packet(2, 0, "/", b"")).await;
    let reply = client.binary().await;
    let head = packet(3, 0, "/", b"\xa4data\x81\xa3sid\xb4");
    client.sid = String::from_utf8(reply.strip_prefix(&head[..]).unwrap().to_vec()).unwrap();
    client
}

#[tokio::test]
async fn a_client_connects_asks_and_answers_in_messagepack() {
    let server = server().await;
    let root = server.io.namespace("/");
    root.on("mirror", async |socket: Socket, arguments: Payload| {
        socket.emit_payload("back", arguments).await
    });
    root.on("hint", async |socket: Socket| {
        socket.emit_volatile("hinted", &1).await.map(|_| ())
    });
    root.on("swap", async |Data((a, b)): Data<(Bytes, String)>| (b, a));
    root.on("call", async |socket: Socket| {
        let answer = socket.call::<_, Value>("question", &1, crate::client::DEADLINE).await;
        answer.map(Ack)
    });
    let mut client = joined(&server).await;
    assert_eq!(client.sid.len(), 20);

    client
        .send_bytes(event(b"\x93\xa6mirror\xc4\x02\x00\xff\x81\xa1a\xc0"))
        .await;
    let expected = b"\x93\xa4back\xc4\x02\x00\xff\x81\xa1a\xc0";
    assert_eq!(client.binary().await, event(expected));

    client.send_bytes(event(b"\x91\xa4hint")).await;
    assert_eq!(client.binary().await, event(b"\x92\xa6hinted\x01"));

    client.send_bytes(asking(b"\x93\xa4swap\xc4\x01\x01\xa1x")).await;
    let expected = packet(4, 3, "/", b"\xa2id\x07\xa4data\x92\xa1x\xc4\x01\x01");
    assert_eq!(client.binary().await, expected);

    client.send_bytes(asking(b"\x91\xa4call")).await;
    let question = client.binary().await;
    let id = question[question.windows(3).position(|three| three == b"\xa2id").unwrap() + 3];
    let head = [b"\xa2id", &[id][..], b"\xa4data"].concat();
    assert_eq!(
        question,
        packet(4, 2, "/", &[&head[..], b"\x92\xa8question\x01"].concat())
    );
    client
        .send_bytes(packet(4, 3, "/", &[&head[..], b"\x91\xa3yes"].concat()))
        .await;
    assert_eq!(
        client.binary().await,
        packet(4, 3, "/", b"\xa2id\x07\xa4data\x91\xa3yes")
    );
}

#[tokio::test]
async fn an_event_for_many_reaches_a_client_that_polls_and_one_with_a_websocket() {
    let server = server().await;
    let mut client = joined(&server).await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = request(server.address, "GET", path, "").await;
    let path = format!("{path}&sid={}", &opening.split_once("\"sid\":\"").unwrap().1[..20]);
    // {type: 0, nsp: "/"}, in base64.
    request(server.address, "POST", &path, "bgqR0eXBlAKNuc3ChLw==").await;
    // {type: 0, nsp: "/", data: {sid: "…"}}
    let accepted = request(server.address, "GET", &path, "").await;
    assert!(accepted.contains("bg6R0eXBlAKNuc3ChL6RkYXRhgaNzaWS0"), "{accepted}");
    server.io.emit("n", &Bytes::from_static(b"\x01")).await.unwrap();
    let expected = event(b"\x92\xa1n\xc4\x01\x01");
    assert_eq!(client.binary().await, expected);
    let polled = request(server.address, "GET", &path, "").await;
    // The same bytes.
    assert!(polled.ends_with("bg6R0eXBlAqNuc3ChL6RkYXRhkqFuxAEB"), "{polled}");
}
