//! The end of clients: how they leave, and that nothing of them stays.

use std::time::Duration;

use socket_io::socket::DisconnectReason;
use socket_io::{Data, Socket, SocketIo};
use tokio::sync::{mpsc, watch};

use crate::client::{TestServer, request, within};

/// A server that tells the reasons for which clients of `/` and `/chat` left.
async fn server() -> (TestServer, mpsc::UnboundedReceiver<(String, &'static str)>) {
    let server = TestServer::start().await;
    let (reasons, told) = mpsc::unbounded_channel();
    for name in ["/", "/chat"] {
        let reasons = reasons.clone();
        server
            .io
            .namespace(name)
            .on_disconnect(move |socket: Socket, reason: DisconnectReason| {
                let reasons = reasons.clone();
                async move {
                    assert!(!socket.is_connected());
                    assert_eq!(socket.rooms().first(), Some(&socket.id().into()));
                    reasons
                        .send((socket.namespace().to_string(), reason.as_str()))
                        .map_err(|error| error.to_string())
                }
            });
    }
    (server, told)
}

#[tokio::test]
async fn a_client_leaves_one_namespace_and_stays_in_the_other() {
    let (server, mut told) = server().await;
    let mut client = server.connect().await;
    client.join("/chat").await;
    client.send("41").await;
    assert_eq!(
        within(told.recv()).await.unwrap(),
        ("/".into(), "client namespace disconnect")
    );
    server.io.of("/chat").emit("still here", &()).await.unwrap();
    client.expect("42/chat,[\"still here\"]").await;
    // It may come back.
    client.join("/").await;
    assert_eq!(server.io.namespace("/").num_clients(), 1);
}

#[tokio::test]
async fn handlers_of_a_client_that_polls_run_although_it_asks_for_nothing() {
    let (server, mut told) = server().await;
    let (sockets, mut accepted) = mpsc::unbounded_channel();
    server.io.namespace("/").on_connect(move |socket: Socket| {
        sockets.send(socket).expect("the test runs");
        std::future::ready(())
    });
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = request(server.address, "GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    let path = format!("{path}&sid={}", &rest[..20]);
    assert!(request(server.address, "POST", &path, "40").await.ends_with("ok"));
    let socket = within(accepted.recv()).await.unwrap();
    assert!(request(server.address, "GET", &path, "").await.contains("40{"));
    socket.disconnect();
    assert_eq!(
        within(told.recv()).await.unwrap(),
        ("/".into(), "server namespace disconnect")
    );
}

#[tokio::test]
async fn the_server_disconnects_from_a_namespace_or_altogether() {
    let (server, mut told) = server().await;
    server
        .io
        .namespace("/")
        .on("leave me", async |socket: Socket| socket.disconnect());
    server
        .io
        .namespace("/chat")
        .on("leave me", async |socket: Socket| socket.disconnect_all());
    let mut client = server.connect().await;
    client.join("/chat").await;
    client.send("42[\"leave me\"]").await;
    client.expect("41").await;
    assert_eq!(
        within(told.recv()).await.unwrap(),
        ("/".into(), "server namespace disconnect")
    );
    client.send("42/chat,[\"leave me\"]").await;
    client.expect("41/chat,").await;
    client.expect_closed().await;
    assert_eq!(
        within(told.recv()).await.unwrap(),
        ("/chat".into(), "server namespace disconnect")
    );
    server.is_empty().await;
}

#[tokio::test]
async fn a_lost_connection_ends_the_client_in_every_namespace() {
    let (server, mut told) = server().await;
    let mut client = server.connect().await;
    client.join("/chat").await;
    drop(client);
    let mut namespaces = [
        within(told.recv()).await.unwrap().0,
        within(told.recv()).await.unwrap().0,
    ];
    namespaces.sort();
    assert_eq!(namespaces, ["/", "/chat"]);
    server.is_empty().await;
}

#[tokio::test]
async fn a_panicking_disconnect_handler_leaks_neither_client_nor_room() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on_connect(async |socket: Socket| socket.join("r").map_err(|_| "gone"));
    server
        .io
        .namespace("/")
        .on_disconnect(async || -> () { panic!("on purpose") });
    for _ in 0..10 {
        server.connect().await;
    }
    server.is_empty().await;
    let answers = server
        .io
        .to("r")
        .timeout(Duration::from_secs(60))
        .emit_with_ack("q", &())
        .await
        .unwrap();
    assert_eq!(within(answers.all()).await.unwrap().len(), 0, "the room is empty");
}

#[tokio::test]
async fn events_received_before_the_end_are_handled_before_the_disconnect_handler() {
    let (server, mut told) = server().await;
    let (events, mut handled) = mpsc::unbounded_channel();
    server.io.namespace("/").on("bye", move || {
        let events = events.clone();
        async move {
            tokio::task::yield_now().await;
            events.send("bye").map_err(|error| error.to_string())
        }
    });
    let mut client = server.connect().await;
    client.send("42[\"bye\"]").await;
    client.send("41").await;
    within(told.recv()).await.unwrap();
    assert_eq!(handled.try_recv(), Ok("bye"));
}

#[tokio::test]
async fn events_that_wait_when_a_packet_is_refused_are_handled_and_the_disconnect_handler_runs() {
    let (server, mut told) = server().await;
    let (proceed, gate) = watch::channel(false);
    let (events, mut handled) = mpsc::unbounded_channel();
    server.io.namespace("/").on("wait", move |Data(n): Data<u8>| {
        let (mut gate, events) = (gate.clone(), events.clone());
        async move {
            events.send(n).unwrap();
            gate.wait_for(|open| *open).await.unwrap();
        }
    });
    let mut client = server.connect().await;
    for n in 0..3 {
        client.send(&format!("42[\"wait\",{n}]")).await;
    }
    assert_eq!(within(handled.recv()).await, Some(0));
    client.send("42/chat,[\"not joined\"]").await;
    client.expect_closed().await;
    proceed.send_replace(true);
    assert_eq!(within(handled.recv()).await, Some(1));
    assert_eq!(within(handled.recv()).await, Some(2));
    assert_eq!(within(told.recv()).await.unwrap(), ("/".into(), "forced close"));
}

#[tokio::test]
async fn a_slow_handler_of_one_client_holds_up_no_other() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on("hang", async || std::future::pending::<()>().await);
    server.io.namespace("/").on("ok", async || "ok");
    let mut stuck = server.connect().await;
    stuck.send("42[\"hang\"]").await;
    stuck.send("420[\"ok\"]").await;
    let mut other = server.connect().await;
    other.send("420[\"ok\"]").await;
    other.expect("430[\"ok\"]").await;
    // Even the stuck client still gets what is sent to it.
    server.io.emit("news", &()).await.unwrap();
    stuck.expect("42[\"news\"]").await;
}

#[tokio::test]
async fn closing_the_connection_disconnects_every_namespace_first() {
    let (server, mut told) = server().await;
    let root = server.io.namespace("/");
    root.on("close all", async |socket: Socket| socket.disconnect_all());
    let mut client = server.connect().await;
    client.join("/chat").await;
    client.send("42[\"close all\"]").await;
    client.expect("41").await;
    client.expect("41/chat,").await;
    client.expect_closed().await;
    let mut left = [within(told.recv()).await.unwrap(), within(told.recv()).await.unwrap()];
    left.sort();
    let reason = "server namespace disconnect";
    assert_eq!(left, [("/".to_owned(), reason), ("/chat".to_owned(), reason)]);
}

#[tokio::test]
async fn a_packet_against_the_rules_is_a_forced_close_and_one_that_cannot_be_read_a_parse_error() {
    let (server, mut told) = server().await;
    for packet in ["42{}", "40", "42/chat,[\"not joined\"]", "44{}"] {
        let mut client = server.connect().await;
        client.send(packet).await;
        client.expect_closed().await;
        assert_eq!(within(told.recv()).await.unwrap().1, "forced close", "{packet}");
    }
    let mut client = server.connect().await;
    client.send("x").await;
    client.expect_closed().await;
    assert_eq!(within(told.recv()).await.unwrap().1, "parse error");
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_gone_by_ping_timeout() {
    let builder = SocketIo::builder().configure(|config| {
        config.engine.ping_interval = Duration::from_millis(100);
        // Long enough to join on a busy machine.
        config.engine.ping_timeout = Duration::from_secs(1);
    });
    let server = TestServer::with(builder).await;
    let (reasons, mut told) = mpsc::unbounded_channel();
    server.io.namespace("/").on_disconnect(move |reason: DisconnectReason| {
        reasons.send(reason.as_str()).unwrap();
        async {}
    });
    // It is not read from any more, and so answers nothing.
    let _client = server.connect().await;
    assert_eq!(within(told.recv()).await, Some("ping timeout"));
}

#[tokio::test]
async fn a_client_that_says_goodbye_on_its_transport_is_gone_by_transport_close() {
    let (server, mut told) = server().await;
    drop(server.connect().await);
    assert_eq!(within(told.recv()).await.unwrap().1, "transport close");
    let mut client = server.connect().await;
    client.send("1").await;
    client.expect_closed().await;
    assert_eq!(within(told.recv()).await.unwrap().1, "transport close");
}

#[tokio::test]
async fn a_poll_that_comes_twice_is_a_transport_error() {
    let (server, mut told) = server().await;
    let path = "/socket.io/?EIO=4&transport=polling";
    let opening = request(server.address, "GET", path, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    let path = format!("{path}&sid={}", &rest[..20]);
    request(server.address, "POST", &path, "40").await;
    assert!(request(server.address, "GET", &path, "").await.contains("40{"));
    let (address, path) = (server.address, path.clone());
    let polls = [(); 2].map(|()| request(address, "GET", &path, ""));
    futures_util::future::join_all(polls).await;
    assert_eq!(within(told.recv()).await.unwrap().1, "transport error");
}
