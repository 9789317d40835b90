//! Events both ways: order, rooms, binary, and what a client must not send.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use socket_io::extract::State;
use socket_io::manager_api::Payload;
use socket_io::socket::{CloseReason, DisconnectReason};
use socket_io::{Data, Socket, SocketIo};
use tokio::sync::mpsc;

use crate::client::{TestServer, within};

#[tokio::test]
async fn events_carry_several_arguments_and_binary_both_ways() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on("mirror", async |socket: Socket, arguments: Payload| {
            socket.emit_payload("back", arguments).await
        });
    server
        .io
        .namespace("/")
        .on("swap", async |socket: Socket, Data((a, b)): Data<(Bytes, String)>| {
            socket.emit("back", &(b, a)).await
        });
    let mut client = server.connect().await;
    client.send("42[\"mirror\",1,{\"a\":[null]},\"x\"]").await;
    client.expect("42[\"back\",1,{\"a\":[null]},\"x\"]").await;
    client
        .send("451-[\"swap\",{\"_placeholder\":true,\"num\":0},\"text\"]")
        .await;
    client.send_binary(b"\x01\xff").await;
    client
        .expect("451-[\"back\",\"text\",{\"_placeholder\":true,\"num\":0}]")
        .await;
    assert_eq!(client.binary().await, b"\x01\xff");
}

#[tokio::test]
async fn events_of_a_client_are_handled_in_order_even_if_the_first_takes_longer() {
    let server = TestServer::start().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    server.io.namespace("/").on("n", move |Data(n): Data<u32>| {
        let log = log.clone();
        async move {
            for _ in 0..(n % 7) {
                tokio::task::yield_now().await;
            }
            log.lock().unwrap().push(n);
            n
        }
    });
    let mut client = server.connect().await;
    for n in 0..500 {
        client.send(&format!("42{n}[\"n\",{n}]")).await;
    }
    for n in 0..500 {
        client.expect(&format!("43{n}[{n}]")).await;
    }
    assert_eq!(*seen.lock().unwrap(), (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_sent_right_behind_connect_is_not_lost() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on_connect(async |socket: Socket| {
        // Time enough for a server that answers, or takes events, before this has ended.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        socket.save_session("saved").is_ok() && socket.join("joined").is_ok()
    });
    root.on("first", async |socket: Socket| {
        let session = socket.get_session::<&'static str>().map(|session| *session);
        (session, socket.rooms().len())
    });
    for _ in 0..100 {
        let mut client = server.connect().await;
        client.send("420[\"first\"]").await;
        client.expect("430[\"saved\",2]").await;
    }
}

#[tokio::test]
async fn an_event_for_a_room_reaches_its_members_once_and_not_its_sender() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room).map(|()| "ok")
    });
    root.on("leave", async |socket: Socket, Data(room): Data<String>| {
        socket.leave(room).map(|()| "ok")
    });
    root.on("say", async |socket: Socket, Data(text): Data<String>| {
        socket.to("a").to("b").emit("said", &text).await
    });
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    for client in [&mut one, &mut two] {
        for room in ["a", "b"] {
            client.send(&format!("420[\"join\",\"{room}\"]")).await;
            client.expect("430[\"ok\"]").await;
        }
    }
    one.send("421[\"say\",\"hi\"]").await;
    one.expect("431[]").await;
    two.expect("42[\"said\",\"hi\"]").await;
    two.send("421[\"leave\",\"a\"]").await;
    two.expect("431[\"ok\"]").await;
    server.io.to("a").emit("only one", &()).await.unwrap();
    server
        .io
        .to("b")
        .skip(one.sid.as_str())
        .emit("only two", &())
        .await
        .unwrap();
    one.expect("42[\"only one\"]").await;
    two.expect("42[\"only two\"]").await;
}

#[tokio::test]
async fn a_client_cannot_run_lifecycle_handlers_by_emitting_their_names() {
    let server = TestServer::start().await;
    let runs = Arc::new(Mutex::new(Vec::new()));
    let (connects, disconnects) = (runs.clone(), runs.clone());
    let root = server.io.namespace("/");
    root.on_connect(move || {
        connects.lock().unwrap().push("connect");
        async {}
    });
    root.on_disconnect(move || {
        disconnects.lock().unwrap().push("disconnect");
        async {}
    });
    for event in ["connect", "disconnect"] {
        runs.lock().unwrap().clear();
        let mut client = server.connect().await;
        client.send(&format!("42[\"{event}\",\"forged\"]")).await;
        client.expect_closed().await;
        server.is_empty().await;
        let expected = ["connect", "disconnect"];
        within(async {
            while runs.lock().unwrap().len() < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(*runs.lock().unwrap(), expected, "once each, for the connection itself");
    }
}

#[tokio::test]
async fn malformed_packets_close_the_connection() {
    let server = TestServer::start().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    server.io.namespace("/").on_disconnect(move |reason: DisconnectReason| {
        ends.send(reason.as_str()).unwrap();
        async {}
    });
    let packets = [
        "4",
        "42{}",
        "42[]",
        "42[null]",
        "42[true]",
        "42[\"a\"",
        "43{}",
        "4\u{fc}",
        "47",
        "49[]",
        "44{}",
        "42/x,[\"a\"]",
        "42/a,b,[\"x\"]",
        "41{}",
        "45-[\"a\"]",
        "450-[\"a\"]",
        "4511-[\"a\"]",
        "4299999999999999999999[\"a\"]",
        "451-[\"a\",{\"_placeholder\":true,\"num\":0}]4",
    ];
    for packet in packets {
        let mut client = server.connect().await;
        client.send(packet).await;
        client.send("42[\"never\"]").await;
        client.expect_closed().await;
        assert_eq!(within(ended.recv()).await, Some("forced close"), "after {packet}");
    }
    // Refused, each of them: what closes for another reason is counted elsewhere.
    let closed = server.io.metrics().engine.closed;
    assert_eq!(closed.get(CloseReason::ParseError), packets.len() as u64);
    server.is_empty().await;
}

#[tokio::test]
async fn text_between_attachments_and_attachments_without_text_close_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send_binary(b"x").await;
    client.expect_closed().await;
    let mut client = server.connect().await;
    client
        .send("452-[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")
        .await;
    client.send_binary(b"x").await;
    client.send("42[\"a\"]").await;
    client.expect_closed().await;
}

#[tokio::test]
async fn attachments_are_bounded_together() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.max_attachment_bytes = 10)).await;
    let mut client = server.connect().await;
    client
        .send("452-[\"a\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]")
        .await;
    client.send_binary(b"12345678").await;
    client.send_binary(b"9abcdefg").await;
    client.expect_closed().await;
}

#[tokio::test]
async fn state_is_handed_to_handlers() {
    let server = TestServer::with(SocketIo::builder().state("the state")).await;
    server
        .io
        .namespace("/")
        .on("get", async |State(state): State<&'static str>| state);
    let mut client = server.connect().await;
    client.send("420[\"get\"]").await;
    client.expect("430[\"the state\"]").await;
}
