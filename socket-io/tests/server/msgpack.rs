//! The server with MessagePack packets, byte by byte.

use bytes::Bytes;
use serde_json::{Value, json};
use socket_io::{Ack, Auth, Data, Parser, Payload, Refusal, Socket, SocketIo};

use crate::client::{Client, TestServer, request, within};

/// A MessagePack map `{type, nsp, …}`, the rest of which is given.
fn packet(num_keys: u8, kind: u8, namespace: &str, rest: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80 | num_keys];
    packet.extend_from_slice(b"\xa4type");
    packet.push(kind);
    packet.extend_from_slice(b"\xa3nsp");
    packet.push(0xa0 | u8::try_from(namespace.len()).unwrap());
    packet.extend_from_slice(namespace.as_bytes());
    packet.extend_from_slice(rest);
    packet
}

fn event(data: &[u8]) -> Vec<u8> {
    packet(3, 2, "/", &[b"\xa4data", data].concat())
}

/// An event whose acknowledgement has the number 7.
fn asking(data: &[u8]) -> Vec<u8> {
    packet(4, 2, "/", &[b"\xa2id\x07\xa4data", data].concat())
}

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
        socket.emit_payload("back", arguments)
    });
    root.on("hint", async |socket: Socket| {
        socket.emit_volatile("hinted", &1).map(|_| ())
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

#[tokio::test]
async fn refusals_and_disconnects_are_messagepack_too() {
    let server = server().await;
    server
        .io
        .namespace("/")
        .on_connect(async |Auth(auth): Auth<Option<Value>>| match auth {
            Some(_) => Ok(()),
            None => Err(Refusal::new("no").with_data(&json!([1]))),
        });
    server
        .io
        .namespace("/")
        .on("bye", async |socket: Socket| socket.disconnect());
    let mut client = server.open().await;
    client.send_bytes(packet(2, 0, "/x", b"")).await;
    let expected = packet(3, 4, "/x", b"\xa4data\x81\xa7message\xb1Invalid namespace");
    assert_eq!(client.binary().await, expected);
    // What JavaScript writes if there are no authentication details.
    client.send_bytes(packet(3, 0, "/", b"\xa4data\xd4\x00\x00")).await;
    let expected = packet(3, 4, "/", b"\xa4data\x82\xa7message\xa2no\xa4data\x91\x01");
    assert_eq!(client.binary().await, expected);
    client.send_bytes(packet(3, 0, "/", b"\xa4data\x81\xa1a\x01")).await;
    assert!(
        client
            .binary()
            .await
            .starts_with(&packet(3, 0, "/", b"\xa4data\x81\xa3sid"))
    );
    client.send_bytes(event(b"\x91\xa3bye")).await;
    // Without `data`: JavaScript's parser refuses a DISCONNECT with data, null included.
    assert_eq!(client.binary().await, packet(2, 1, "/", b""));
}

#[tokio::test]
async fn malformed_messagepack_closes_the_connection() {
    let server = server().await;
    for malformed in [
        b"".to_vec(),
        b"\x80".to_vec(),
        event(b"\x90"),
        event(b"\x91\xc0"),
        event(b"\x91\x80"),
        event(b"\xa1a"),
        event(b"\x91\xa7connect"),
        event(b"\x91\xaadisconnect"),
        packet(2, 2, "/", b""),
        packet(2, 0, "/", b""),
        packet(2, 4, "/", b""),
        packet(3, 1, "/", b"\xa4data\x80"),
        packet(3, 2, "/not joined", b"\xa4data\x91\xa1a"),
        packet(3, 3, "/", b"\xa4data\x90"),
        [&event(b"\x91\xa1a")[..], b"\x00"].concat(),
        event(&[&b"\x91"[..]; 200].concat()),
    ] {
        let mut client = joined(&server).await;
        client.send_bytes(malformed).await;
        client.expect_closed().await;
    }
    // Text belongs to the other parser.
    let mut client = joined(&server).await;
    client.send("42[\"a\"]").await;
    client.expect_closed().await;
    server.is_empty().await;
}

#[tokio::test]
async fn attachments_are_limited_as_with_json() {
    let builder = SocketIo::builder().configure(|config| {
        config.parser = Parser::MsgPack;
        config.max_attachments = 2;
        config.max_attachment_bytes = 4;
    });
    let server = TestServer::with(builder).await;
    server.io.namespace("/").on("a", async || "fits");
    for (data, fits) in [
        (&b"\x93\xa1a\xc4\x02xx\xc4\x02xx"[..], true),
        (&b"\x94\xa1a\xc4\x00\xc4\x00\xc4\x00"[..], false),
        (&b"\x93\xa1a\xc4\x03xxx\xc4\x02xx"[..], false),
    ] {
        let mut client = joined(&server).await;
        client.send_bytes(asking(data)).await;
        match fits {
            true => assert_eq!(
                client.binary().await,
                packet(4, 3, "/", b"\xa2id\x07\xa4data\x91\xa4fits")
            ),
            false => client.expect_closed().await,
        }
    }
    within(server.is_empty()).await;
}
