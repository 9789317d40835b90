//! Defects that others had, by their symptoms; the table in `main.rs` says whose, and where the others are tested.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use socket_io::extract::State;
use socket_io::socket::DisconnectReason;
use socket_io::{Auth, Data, Socket, SocketIo};
use tokio::sync::mpsc;

use crate::client::{TestServer, request, within};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a session that polls, and returns its path and its Engine.IO id.
async fn open_polling(server: &TestServer) -> (String, String) {
    let opening = request(server.address, "GET", POLLING, "").await;
    let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
    let id = rest[..20].to_owned();
    (format!("{POLLING}&sid={id}"), id)
}

fn count_ends(server: &TestServer) -> mpsc::UnboundedReceiver<(String, DisconnectReason)> {
    let (ends, ended) = mpsc::unbounded_channel();
    server
        .io
        .namespace("/")
        .on_disconnect(move |socket: Socket, reason: DisconnectReason| {
            ends.send((socket.id().to_string(), reason)).unwrap();
            async {}
        });
    ended
}

#[tokio::test]
async fn a_second_connect_neither_replaces_the_client_nor_swallows_its_disconnect_handler() {
    let server = TestServer::start().await;
    let mut ended = count_ends(&server);
    let mut client = server.connect().await;
    client.send("40").await;
    client.expect_closed().await;
    assert_eq!(within(ended.recv()).await.unwrap().0, client.sid);
    server.is_empty().await;
    assert!(ended.try_recv().is_err(), "once");
}

#[tokio::test]
async fn a_disconnect_handler_that_cannot_be_called_leaks_neither_client_nor_room() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on_connect(async |socket: Socket| socket.join("r").is_ok());
    root.on_disconnect(async |State(_): State<u128>| {});
    for _ in 0..10 {
        server.connect().await;
    }
    server.is_empty().await;
    let metrics = server.io.metrics();
    assert_eq!((metrics.num_clients, metrics.num_rooms), (0, 0));
}

#[tokio::test]
async fn one_limit_of_size_holds_for_both_transports() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.engine.max_payload = 1_000)).await;
    server
        .io
        .namespace("/")
        .on("ok", async |Data(text): Data<String>| text.len());
    let mut client = server.connect().await;
    client.send(&format!("420[\"ok\",\"{}\"]", "x".repeat(900))).await;
    client.expect("430[900]").await;
    client.send(&format!("421[\"ok\",\"{}\"]", "x".repeat(1_000))).await;
    client.expect_closed().await;
    let (path, _) = open_polling(&server).await;
    let large = format!("421[\"ok\",\"{}\"]", "x".repeat(1_000));
    assert!(
        request(server.address, "POST", &path, &large)
            .await
            .starts_with("HTTP/1.1 413")
    );
}

#[tokio::test]
async fn what_is_configured_stays_after_other_settings() {
    let builder = SocketIo::builder()
        .configure(|config| config.engine.max_payload = 777)
        .state("a state")
        .configure(|config| config.max_namespaces = 1);
    let server = TestServer::with(builder).await;
    server.io.namespace("/other");
    server
        .io
        .namespace("/")
        .on("get", async |State(state): State<&'static str>| state);
    assert!(
        request(server.address, "GET", POLLING, "")
            .await
            .contains("\"maxPayload\":777")
    );
    let mut client = server.connect().await;
    client.send("420[\"get\"]").await;
    client.expect("430[\"a state\"]").await;
    client.send("40/other,").await;
    client.expect("44/other,{\"message\":\"Too many namespaces\"}").await;
}

#[tokio::test]
async fn the_public_id_of_a_client_is_no_key_to_its_connection() {
    let server = TestServer::start().await;
    let (path, secret) = open_polling(&server).await;
    request(server.address, "POST", &path, "40").await;
    let reply = request(server.address, "GET", &path, "").await;
    let (_, rest) = reply.split_once("40{\"sid\":\"").unwrap();
    let public = &rest[..20];
    assert_ne!(public, secret);
    let stolen = request(server.address, "GET", &format!("{POLLING}&sid={public}"), "").await;
    assert!(stolen.contains("Session ID unknown"), "{stolen}");
}

#[tokio::test]
async fn an_unasked_pong_harms_nothing() {
    let server = TestServer::start().await;
    server.io.namespace("/").on("ok", async || "ok");
    let mut client = server.connect().await;
    client.send("3").await;
    client.send("3").await;
    client.send("420[\"ok\"]").await;
    client.expect("430[\"ok\"]").await;
}

#[tokio::test]
async fn a_client_that_misses_an_event_is_named_by_its_own_end() {
    let server = TestServer::with(SocketIo::builder().configure(|config| {
        config.engine.outbox_soft_limit = 100_000;
        config.engine.outbox_hard_limit = 200_000;
    }))
    .await;
    let mut ended = count_ends(&server);
    let stuck = server.connect().await;
    let mut reader = server.connect().await;
    let large = "x".repeat(60_000);
    let flood = async {
        loop {
            server.io.emit("much", &large).await.unwrap();
            assert!(reader.text().await.starts_with("42[\"much\""));
        }
    };
    let (sid, reason) = tokio::select! {
        ended = within(ended.recv()) => ended.unwrap(),
        () = flood => unreachable!("it floods until a client is gone"),
    };
    assert_eq!((sid, reason.as_str()), (stuck.sid.clone(), "overflow"));
    assert!(server.io.namespace("/").socket(&reader.sid.as_str().into()).is_some());
}

#[tokio::test]
async fn many_packets_in_one_request_are_all_handled() {
    let server = TestServer::start().await;
    server.io.namespace("/").on("n", async |Data(n): Data<u32>| n);
    let (path, _) = open_polling(&server).await;
    let packets: Vec<_> = (0..200).map(|n| format!("42{n}[\"n\",{n}]")).collect();
    let body = format!("40\u{1e}{}", packets.join("\u{1e}"));
    assert!(request(server.address, "POST", &path, &body).await.ends_with("ok"));
    let mut replies = String::new();
    while !replies.contains("43199[199]") {
        replies += &request(server.address, "GET", &path, "").await;
    }
    for n in 0..200 {
        assert!(replies.contains(&format!("43{n}[{n}]")), "{n}: {replies}");
    }
}

#[tokio::test]
async fn a_client_whose_connect_handler_failed_gets_and_does_nothing() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on_connect(async |socket: Socket, Auth(fail): Auth<Option<serde_json::Value>>| {
        socket.join("r").map_err(|_| "gone")?;
        assert!(fail.is_none(), "on purpose");
        Ok::<_, &str>(())
    });
    let (ran, mut runs) = mpsc::unbounded_channel();
    root.on("act", move || {
        ran.send(()).unwrap();
        async {}
    });
    let mut clients = join_all((0..5).map(|_| server.open())).await;
    for client in &mut clients {
        client.send("40{\"fail\":true}").await;
        client.expect("44{\"message\":\"Connection rejected by server\"}").await;
    }
    server.io.to("r").emit("for members", &()).await.unwrap();
    server.io.emit("for all", &()).await.unwrap();
    assert_eq!((server.io.metrics().num_clients, server.io.metrics().num_rooms), (0, 0));
    for client in &mut clients {
        client.send("42[\"act\"]").await;
        client.expect_closed().await;
    }
    assert!(runs.try_recv().is_err());
}

#[tokio::test]
async fn a_connect_handler_that_hangs_ends_with_the_connect_timeout_and_leaves_nothing() {
    let builder = SocketIo::builder().configure(|config| config.connect_timeout = Duration::from_secs(2));
    let server = TestServer::with(builder).await;
    let running = Arc::new(());
    let held = Arc::downgrade(&running);
    server.io.namespace("/").use_connect(move || {
        let running = running.clone();
        async move {
            std::future::pending::<()>().await;
            drop(running);
        }
    });
    let mut client = server.open().await;
    client.send("40").await;
    client.expect_closed().await;
    within(async {
        // The middleware itself holds one.
        while held.strong_count() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_event_that_names_its_attachment_again_and_again_is_refused() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on("take", async |Data(all): Data<Vec<bytes::Bytes>>| all.len());
    let placeholders = vec![r#"{"_placeholder":true,"num":0}"#; 100].join(",");
    let mut client = server.connect().await;
    client.send(&format!("451-1[\"take\",[{placeholders}]]")).await;
    client.send_bytes(vec![7; 10_000]).await;
    client.expect_closed().await;
}

#[tokio::test]
async fn what_a_javascript_client_may_send_does_not_close_its_connection() {
    let server = TestServer::start().await;
    server.io.namespace("/").on("ok", async || "ok");
    let deep = "[".repeat(50_000) + &"]".repeat(50_000);
    let mut client = server.connect().await;
    for value in [r#""\ud800""#, "1e400", &deep] {
        for head in ["2", "3999"] {
            client.send(&format!("4{head}[\"e\",{value}]")).await;
        }
        for head in ["51-", "61-999"] {
            let placeholder = r#"{"_placeholder":true,"num":0}"#;
            client.send(&format!("4{head}[\"e\",{value},{placeholder}]")).await;
            client.send_binary(b"x").await;
        }
        client.send("420[\"ok\"]").await;
        client.expect("430[\"ok\"]").await;
    }
    client.send(r#"42["\ud800",1]"#).await;
    client.send("420[\"ok\"]").await;
    client.expect("430[\"ok\"]").await;
}
