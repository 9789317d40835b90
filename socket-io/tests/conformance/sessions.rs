//! The effects of packets: which client is in which namespace, and what reaches it.

use std::time::Duration;

use serde_json::{Value, json};
use socket_io::manager_api::ErrorKind;
use socket_io::{Auth, Refusal, SocketIo};
use tokio::sync::mpsc;

use crate::Over;
use crate::peer::{DEADLINE, Peer, Server, within};

pub(crate) async fn nothing_happens_before_connect(over: Over) {
    let server = Server::start().await;
    let packets = [
        "2[\"back\"]",
        "21[\"echo\"]",
        "31[]",
        "2",
        "2/admin,[\"back\"]",
        "2/nowhere,[\"back\"]",
    ];
    for packet in packets {
        let mut peer = server.open(over).await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
    }
    server.expect_refused(packets.len());
}

/// A client of one namespace is in no other.
pub(crate) async fn a_packet_for_a_namespace_that_was_not_joined_closes(over: Over) {
    let mut server = Server::start().await;
    let packets = ["21[\"echo\"]", "31[]", "3", "2/nowhere,[\"echo\"]", "3/nowhere,1[]"];
    for packet in packets {
        let mut peer = server.open(over).await;
        peer.join("/admin").await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
        assert_eq!(
            server.left().await,
            ("/admin".to_owned(), "forced close"),
            "after {packet}"
        );
    }
    server.expect_refused(packets.len());
}

pub(crate) async fn a_namespace_that_does_not_exist_is_refused_by_message(over: Over) {
    let server = Server::start().await;
    let mut peer = server.open(over).await;
    for (packet, name) in [
        ("0/random", "/random"),
        ("0/random,{\"token\":1}", "/random"),
        ("0/admin?query=1,", "/admin?query=1"),
        ("0/ADMIN,", "/ADMIN"),
        ("0/admin/,", "/admin/"),
        ("0/żółć 🦀,", "/żółć 🦀"),
        ("0/__proto__,", "/__proto__"),
    ] {
        peer.send(packet).await;
        peer.expect(&format!("4{name},{{\"message\":\"Invalid namespace\"}}"))
            .await;
    }
    peer.join("/").await;
    peer.expect_alive().await;
}

pub(crate) async fn a_refusal_has_data_only_if_there_is_some(over: Over) {
    let server = Server::start().await;
    let (root, admin) = (server.io.namespace("/"), server.io.namespace("/admin"));
    root.on_connect(async || Err::<(), _>(Refusal::new("not authorized").with_data(&json!({"code": 7}))));
    admin.on_connect(async || Err::<(), _>("say \"please\""));
    server.io.namespace("/no").on_connect(async || false);
    let mut peer = server.open(over).await;
    for (packet, reply) in [
        ("0", "4{\"message\":\"not authorized\",\"data\":{\"code\":7}}"),
        ("0/admin,", "4/admin,{\"message\":\"say \\\"please\\\"\"}"),
        ("0/no,", "4/no,{\"message\":\"Connection rejected by server\"}"),
    ] {
        peer.send(packet).await;
        peer.expect(reply).await;
    }
    assert_eq!(server.io.metrics().num_clients, 0);
}

pub(crate) async fn a_refused_client_may_try_again(over: Over) {
    let server = Server::start().await;
    let accept = async |Auth(auth): Auth<Value>| auth["token"] == "good";
    server.io.namespace("/").on_connect(accept);
    let mut peer = server.open(over).await;
    peer.send("0{\"token\":\"bad\"}").await;
    peer.expect("4{\"message\":\"Connection rejected by server\"}").await;
    peer.send("0{\"token\":\"good\"}").await;
    peer.joined("").await;
    peer.expect_alive().await;
}

pub(crate) async fn a_second_connect_closes(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.send("0").await;
    peer.expect_closed("a second CONNECT").await;
    assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    server.expect_refused(1);
}

pub(crate) async fn a_second_connect_closes_while_the_first_is_not_answered(over: Over) {
    let server = Server::start().await;
    let slow = server.io.namespace("/slow");
    let (entered, mut enters) = mpsc::unbounded_channel();
    slow.on_connect(move || {
        entered.send(()).unwrap();
        std::future::pending::<()>()
    });
    let mut peer = server.open(over).await;
    peer.send("0/slow,").await;
    within(enters.recv()).await.unwrap();
    peer.send("0/slow,").await;
    peer.expect_closed("a second CONNECT").await;
    server.expect_refused(1);
    assert!(enters.try_recv().is_err(), "the connect handler runs once");
    assert_eq!(server.io.metrics().num_clients, 0);
}

pub(crate) async fn a_connection_that_joins_nothing_is_closed(over: Over) {
    let builder = SocketIo::builder().configure(|config| config.connect_timeout = Duration::from_secs(2));
    let server = Server::with(builder).await;
    let mut joined = server.join(over).await;
    let mut idle = server.open(over).await;
    let mut refused = server.open(over).await;
    refused.send("0/nowhere,").await;
    refused.expect("4/nowhere,{\"message\":\"Invalid namespace\"}").await;
    idle.expect_closed("the timeout").await;
    refused.expect_closed("the timeout").await;
    joined.expect_alive().await;
}

pub(crate) async fn leaving_one_namespace_keeps_the_others(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    for leave in ["1/admin,", "1/admin"] {
        peer.join("/admin").await;
        peer.send(leave).await;
        assert_eq!(
            server.left().await,
            ("/admin".to_owned(), "client namespace disconnect")
        );
        peer.expect_alive().await;
    }
    peer.join("/admin").await;
    peer.send("1").await;
    assert_eq!(server.left().await, ("/".to_owned(), "client namespace disconnect"));
    peer.send("2/admin,1[\"echo\"]").await;
    peer.expect("3/admin,1[]").await;
}

/// Node closes the connection; here a client may leave while the server puts it out.
pub(crate) async fn leaving_what_was_not_joined_changes_nothing(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.open(over).await;
    for packet in ["1", "1/admin,", "1/nowhere,", "1/nowhere"] {
        peer.send(packet).await;
    }
    peer.join("/").await;
    peer.join("/admin").await;
    server.socket("/admin", &peer).disconnect();
    peer.expect("1/admin,").await;
    assert_eq!(
        server.left().await,
        ("/admin".to_owned(), "server namespace disconnect")
    );
    for packet in ["1/admin,", "1/nowhere,"] {
        peer.send(packet).await;
    }
    peer.expect_alive().await;
    for _ in 0..2 {
        peer.send("1").await;
    }
    assert_eq!(server.left().await, ("/".to_owned(), "client namespace disconnect"));
    peer.join("/").await;
    peer.expect_alive().await;
}

pub(crate) async fn an_event_for_a_namespace_that_was_left_closes(over: Over) {
    let mut server = Server::start().await;
    let packets = ["2/admin,[\"back\"]", "3/admin,1[]"];
    for packet in packets {
        let mut peer = server.join(over).await;
        peer.join("/admin").await;
        peer.send("1/admin,").await;
        assert_eq!(server.left().await.0, "/admin");
        peer.send(packet).await;
        peer.expect_closed(packet).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {packet}");
    }
    server.expect_refused(packets.len());
}

pub(crate) async fn an_event_for_a_namespace_that_the_server_ended_closes(over: Over) {
    let mut server = Server::start().await;
    let packets = ["2/admin,[\"back\"]", "3/admin,1[]"];
    for packet in packets {
        let mut peer = server.join(over).await;
        peer.join("/admin").await;
        server.socket("/admin", &peer).disconnect();
        peer.expect("1/admin,").await;
        assert_eq!(server.left().await.0, "/admin");
        peer.send(packet).await;
        peer.expect_closed(packet).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {packet}");
    }
    server.expect_refused(packets.len());
}

pub(crate) async fn the_server_ends_a_membership(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    let root = peer.sid.clone();
    peer.join("/admin").await;
    server.socket("/admin", &peer).disconnect();
    peer.expect("1/admin,").await;
    assert_eq!(
        server.left().await,
        ("/admin".to_owned(), "server namespace disconnect")
    );
    peer.join("/admin").await;
    server.io.of("/").disconnect(root.as_str()).await.unwrap();
    peer.expect("1").await;
    assert_eq!(server.left().await, ("/".to_owned(), "server namespace disconnect"));
    peer.send("2/admin,1[\"echo\"]").await;
    peer.expect("3/admin,1[]").await;
}

pub(crate) async fn the_server_ends_the_connection_and_every_membership_first(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    let socket = server.socket("/", &peer);
    peer.join("/admin").await;
    socket.disconnect_all();
    peer.expect("1").await;
    peer.expect("1/admin,").await;
    peer.expect_closed("the end").await;
    for _ in 0..2 {
        assert_eq!(server.left().await.1, "server namespace disconnect");
    }
}

pub(crate) async fn a_server_that_shuts_down_sends_no_disconnect(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    let io = server.io.clone();
    let closing = tokio::spawn(async move { io.close().await });
    peer.expect_closed("shutdown").await;
    assert_eq!(server.left().await, ("/".to_owned(), "server shutting down"));
    within(closing).await.unwrap().unwrap();
}

pub(crate) async fn every_client_has_a_room_of_its_own(over: Over) {
    let server = Server::start().await;
    let (mut one, mut two) = (server.join(over).await, server.join(over).await);
    server.io.to(one.sid.as_str()).emit("you", &1).await.unwrap();
    server.io.to(two.sid.as_str()).emit("you", &2).await.unwrap();
    one.expect("2[\"you\",1]").await;
    two.expect("2[\"you\",2]").await;
}

pub(crate) async fn rooms_are_a_union_without_whom_they_except(over: Over) {
    let server = Server::start().await;
    let mut peers: Vec<Peer> = Vec::new();
    for rooms in [&["a"][..], &["a", "b"], &["b", "muted"], &[]] {
        let peer = server.join(over).await;
        let socket = server.socket("/", &peer);
        rooms.iter().for_each(|room| socket.join(*room).unwrap());
        peers.push(peer);
    }
    let io = &server.io;
    io.to("a").to("b").emit("both", &()).await.unwrap();
    io.to("a").to("b").except("muted").emit("unmuted", &()).await.unwrap();
    let second = server.socket("/", &peers[1]);
    second.to("a").to("b").emit("others", &()).await.unwrap();
    io.emit("end", &()).await.unwrap();
    for (peer, events) in peers.iter_mut().zip([
        &["both", "unmuted", "others", "end"][..],
        &["both", "unmuted", "end"],
        &["both", "others", "end"],
        &["end"],
    ]) {
        for event in events {
            peer.expect(&format!("2[\"{event}\"]")).await;
        }
    }
}

pub(crate) async fn the_server_cannot_emit_reserved_names(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    let socket = server.socket("/", &peer);
    for name in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "",
    ] {
        assert_eq!(server.io.emit(name, &()).await.unwrap_err().kind(), ErrorKind::Config);
        assert_eq!(socket.emit(name, &()).await.unwrap_err().kind(), ErrorKind::Config);
    }
    peer.expect_alive().await;
}

pub(crate) async fn answers_of_many_are_collected_until_the_deadline(over: Over) {
    let server = Server::start().await;
    let (mut one, mut two, mut silent) = (
        server.join(over).await,
        server.join(over).await,
        server.join(over).await,
    );
    let io = server.io.clone();
    let asking = tokio::spawn(async move {
        let answers = io
            .broadcast()
            .timeout(Duration::from_secs(2))
            .emit_with_ack("q", &())
            .await?;
        answers.all().await
    });
    let question = one.text().await;
    let id = question
        .strip_prefix('2')
        .unwrap()
        .strip_suffix("[\"q\"]")
        .unwrap()
        .to_owned();
    assert_eq!((two.text().await, silent.text().await), (question.clone(), question));
    one.send(&format!("3{id}[1]")).await;
    // Once is enough.
    one.send(&format!("3{id}[\"again\"]")).await;
    two.send(&format!("3{id}[2]")).await;
    let answers = tokio::time::timeout(DEADLINE, asking).await.unwrap().unwrap().unwrap();
    let mut numbers: Vec<u8> = answers.iter().map(|answer| answer.payload.parse().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    // Too late.
    silent.send(&format!("3{id}[3]")).await;
    silent.expect_alive().await;
}

pub(crate) async fn ids_are_20_characters_and_differ_by_namespace(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    let root = peer.sid.clone();
    peer.join("/admin").await;
    assert_eq!((root.len(), peer.sid.len()), (20, 20));
    assert_ne!(root, peer.sid);
}

pub(crate) async fn authentication_that_is_not_an_object_is_refused_by_message(over: Over) {
    let server = Server::start().await;
    let mut peer = server.open(over).await;
    for (packet, namespace) in [
        ("0[]", ""),
        ("0\"token\"", ""),
        ("0true", ""),
        ("0/admin,[]", "/admin,"),
    ] {
        peer.send(packet).await;
        peer.expect(&format!("4{namespace}{{\"message\":\"auth must be an object\"}}"))
            .await;
    }
    assert_eq!(server.io.metrics().num_clients, 0);
}
