//! Packets of the MessagePack parser: a map `{type, nsp, data?, id?}` in one binary message.

use serde_json::{Value, json};
use socket_io::config::Parser;
use socket_io::{Auth, Refusal, SocketIo, SocketIoBuilder};

use crate::Over;
use crate::peer::{Peer, Received, Server};

#[path = "../msgpack/packets.rs"]
mod packets;
use packets::{asking, event, packet};

/// The acknowledgement with the number 7.
fn answer(namespace: &str, data: &[u8]) -> Vec<u8> {
    packet(4, 3, namespace, &[b"\xa2id\x07\xa4data", data].concat())
}

fn msgpack() -> SocketIoBuilder {
    SocketIo::builder().configure(|config| config.parser = Parser::MsgPack)
}

async fn join(peer: &mut Peer, namespace: &str) {
    peer.send_binary(&packet(2, 0, namespace, b"")).await;
    let Received::Binary(reply) = peer.next().await else {
        panic!("not accepted");
    };
    let head = packet(3, 0, namespace, b"\xa4data\x81\xa3sid\xb4");
    peer.sid = String::from_utf8(reply.strip_prefix(&head[..]).unwrap().to_vec()).unwrap();
}

async fn joined(server: &Server, over: Over) -> Peer {
    let mut peer = server.open(over).await;
    join(&mut peer, "/").await;
    peer
}

/// The connection lives, and nothing came that was not looked at.
async fn expect_alive(peer: &mut Peer) {
    peer.send_binary(&asking(b"\x92\xa4echo\xa5alive")).await;
    peer.expect_binary(&answer("/", b"\x91\xa5alive")).await;
}

pub(crate) async fn refusals_and_disconnects_are_messagepack_too(over: Over) {
    let server = Server::with(msgpack()).await;
    let root = server.io.namespace("/");
    root.on_connect(async |Auth(auth): Auth<Option<Value>>| match auth {
        Some(_) => Ok(()),
        None => Err(Refusal::new("no").with_data(&json!([1]))),
    });
    root.on("bye", async |socket: socket_io::Socket| socket.disconnect());
    let mut peer = server.open(over).await;
    peer.send_binary(&packet(2, 0, "/x", b"")).await;
    let expected = packet(3, 4, "/x", b"\xa4data\x81\xa7message\xb1Invalid namespace");
    peer.expect_binary(&expected).await;
    // What JavaScript writes if there are no authentication details.
    peer.send_binary(&packet(3, 0, "/", b"\xa4data\xd4\x00\x00")).await;
    let expected = packet(3, 4, "/", b"\xa4data\x82\xa7message\xa2no\xa4data\x91\x01");
    peer.expect_binary(&expected).await;
    peer.send_binary(&packet(3, 0, "/", b"\xa4data\x81\xa1a\x01")).await;
    let Received::Binary(accepted) = peer.next().await else {
        panic!("not accepted");
    };
    assert!(accepted.starts_with(&packet(3, 0, "/", b"\xa4data\x81\xa3sid")));
    peer.send_binary(&event(b"\x91\xa3bye")).await;
    // Without `data`: JavaScript's parser refuses a DISCONNECT with data, null included.
    peer.expect_binary(&packet(2, 1, "/", b"")).await;
}

pub(crate) async fn malformed_messagepack_closes(over: Over) {
    let mut server = Server::with(msgpack()).await;
    let packets = [
        b"".to_vec(),
        b"\x80".to_vec(),
        event(b"\x90"),
        event(b"\x91\xc0"),
        event(b"\x91\x80"),
        event(b"\xa1a"),
        event(b"\x91\xa7connect"),
        event(b"\x91\xaadisconnect"),
        // An EVENT has data, which text may leave out.
        packet(2, 2, "/", b""),
        packet(3, 2, "/", b"\xa4data\xc0"),
        packet(2, 0, "/", b""),
        packet(2, 4, "/", b""),
        packet(3, 1, "/", b"\xa4data\x80"),
        packet(3, 2, "/not joined", b"\xa4data\x91\xa1a"),
        // The data of an ACK is an array.
        answer("/", b"\x80"),
        answer("/", b"\xa1a"),
        answer("/", b"\x01"),
        packet(3, 3, "/", b"\xa4data\x80"),
        // An id is a whole number: not 1.5, not text.
        packet(
            4,
            2,
            "/",
            b"\xa2id\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00\xa4data\x91\xa4echo",
        ),
        packet(4, 2, "/", b"\xa2id\xa17\xa4data\x91\xa4echo"),
        // So is a type: not null, not 2.5.
        b"\x83\xa4type\xc0\xa3nsp\xa1/\xa4data\x91\xa4echo".to_vec(),
        b"\x83\xa4type\xcb\x40\x04\x00\x00\x00\x00\x00\x00\xa3nsp\xa1/\xa4data\x91\xa4echo".to_vec(),
        [&event(b"\x91\xa1a")[..], b"\x00"].concat(),
        event(&[&b"\x91"[..]; 200].concat()),
    ];
    for packet in &packets {
        let mut peer = joined(&server, over).await;
        peer.send_binary(packet).await;
        peer.expect_closed(&format!("{packet:?}")).await;
        assert_eq!(
            server.left().await,
            ("/".to_owned(), "forced close"),
            "after {packet:?}"
        );
    }
    // Text belongs to the other parser.
    let mut peer = joined(&server, over).await;
    peer.send("2[\"a\"]").await;
    peer.expect_closed("text").await;
    server.expect_refused(packets.len() + 1);
}

pub(crate) async fn authentication_in_messagepack_that_is_not_a_map_is_refused_by_message(over: Over) {
    let server = Server::with(msgpack()).await;
    let data = [&b"\x90"[..], b"\x91\x80", b"\xa5token", b"\x01", b"\xc3"];
    for data in data {
        let mut peer = server.open(over).await;
        peer.send_binary(&packet(3, 0, "/", &[b"\xa4data", data].concat()))
            .await;
        let refusal = b"\xa4data\x81\xa7message\xb6auth must be an object";
        peer.expect_binary(&packet(3, 4, "/", refusal)).await;
    }
    assert_eq!(server.io.metrics().num_clients, 0);
}

pub(crate) async fn leaving_in_messagepack_keeps_the_other_namespaces(over: Over) {
    let mut server = Server::with(msgpack()).await;
    let mut peer = joined(&server, over).await;
    for leave in [
        packet(2, 1, "/admin", b""),
        // As python-socketio and as JavaScript write what is absent.
        packet(3, 1, "/admin", b"\xa4data\xc0"),
        packet(3, 1, "/admin", b"\xa4data\xd4\x00\x00"),
    ] {
        join(&mut peer, "/admin").await;
        peer.send_binary(&leave).await;
        let left = ("/admin".to_owned(), "client namespace disconnect");
        assert_eq!(server.left().await, left);
        expect_alive(&mut peer).await;
    }
    // Byte by byte what python-socketio sends.
    join(&mut peer, "/admin").await;
    peer.send_binary(b"\x83\xa4type\x01\xa4data\xc0\xa3nsp\xa1/").await;
    assert_eq!(server.left().await, ("/".to_owned(), "client namespace disconnect"));
    let echo = packet(4, 2, "/admin", b"\xa2id\x07\xa4data\x91\xa4echo");
    peer.send_binary(&echo).await;
    peer.expect_binary(&answer("/admin", b"\x90")).await;
}

pub(crate) async fn what_clients_of_messagepack_add_is_ignored(over: Over) {
    let server = Server::with(msgpack()).await;
    let mut peer = joined(&server, over).await;
    // JavaScript adds `options: {compress: true}` to each packet.
    let options = b"\xa2id\x07\xa4data\x92\xa4echo\x01\xa7options\x81\xa8compress\xc3";
    peer.send_binary(&packet(5, 2, "/", options)).await;
    peer.expect_binary(&answer("/", b"\x91\x01")).await;
    // Answers to nothing, with an id and without.
    peer.send_binary(&answer("/", b"\x90")).await;
    peer.send_binary(&packet(3, 3, "/", b"\xa4data\x90")).await;
    expect_alive(&mut peer).await;
}

pub(crate) async fn attachments_in_messagepack_are_limited_as_with_json(over: Over) {
    let builder = msgpack().configure(|config| {
        config.max_attachments = 2;
        config.max_attachment_bytes = 4;
    });
    let mut server = Server::with(builder).await;
    let mut peer = joined(&server, over).await;
    peer.send_binary(&asking(b"\x93\xa4echo\xc4\x02xx\xc4\x02xx")).await;
    peer.expect_binary(&answer("/", b"\x92\xc4\x02xx\xc4\x02xx")).await;
    let packets = [
        asking(b"\x94\xa4echo\xc4\x00\xc4\x00\xc4\x00"),
        asking(b"\x93\xa4echo\xc4\x03xxx\xc4\x02xx"),
    ];
    for packet in &packets {
        let mut peer = joined(&server, over).await;
        peer.send_binary(packet).await;
        peer.expect_closed(&format!("{packet:?}")).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    }
    server.expect_refused(packets.len());
}
