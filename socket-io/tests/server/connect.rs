//! Joining namespaces, and being refused.

use std::time::Duration;

use serde_json::{Value, json};
use socket_io::manager_api::Room;
use socket_io::{Auth, Refusal, Socket, SocketIo};

use crate::client::{TestServer, within};

#[tokio::test]
async fn a_client_joins_namespaces_and_has_another_public_id_in_each() {
    let server = TestServer::start().await;
    server.io.namespace("/chat");
    let mut client = server.connect().await;
    let root = client.sid.clone();
    client.join("/chat").await;
    assert_eq!((root.len(), client.sid.len()), (20, 20));
    assert_ne!(root, client.sid);
}

#[tokio::test]
async fn an_unknown_namespace_is_refused_as_node_does_and_the_connection_stays() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    client.send("40/random,{}").await;
    client.expect("44/random,{\"message\":\"Invalid namespace\"}").await;
    client.join("/").await;
}

#[tokio::test]
async fn a_connect_handler_refuses_with_message_and_data() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on_connect(async |Auth(auth): Auth<Option<Value>>| match auth {
            Some(auth) if auth["token"] == "good" => Ok(()),
            Some(_) => Err(Refusal::new("not authorized").with_data(&json!({"code": 7}))),
            None => Err("no token".into()),
        });
    let mut client = server.open().await;
    client.send("40").await;
    client.expect("44{\"message\":\"no token\"}").await;
    client.send("40{\"token\":\"bad\"}").await;
    client
        .expect("44{\"message\":\"not authorized\",\"data\":{\"code\":7}}")
        .await;
    client.send("40{\"token\":\"good\"}").await;
    assert!(client.text().await.starts_with("40{\"sid\":"));
}

#[tokio::test]
async fn a_connect_handler_that_says_false_panics_or_cannot_be_called_refuses() {
    let server = TestServer::start().await;
    server.io.namespace("/no").on_connect(async || false);
    server
        .io
        .namespace("/panic")
        .on_connect(async || -> bool { panic!("on purpose") });
    server
        .io
        .namespace("/typed")
        .on_connect(async |Auth(_): Auth<u64>| true);
    let mut client = server.open().await;
    for namespace in ["/no", "/panic", "/typed"] {
        client.send(&format!("40{namespace},")).await;
        client
            .expect(&format!(
                "44{namespace},{{\"message\":\"Connection rejected by server\"}}"
            ))
            .await;
        assert_eq!(server.io.namespace(namespace).num_clients(), 0);
    }
    // An event for a namespace that was refused is an event for one not joined.
    client.send("42/no,[\"x\"]").await;
    client.expect_closed().await;
}

#[tokio::test]
async fn nothing_reaches_a_client_before_its_acceptance_and_what_its_handler_sends_comes_right_after() {
    let server = TestServer::start().await;
    let (proceed, gate) = tokio::sync::watch::channel(false);
    server
        .io
        .namespace("/")
        .on_connect(move |socket: Socket, io: SocketIo| {
            let mut gate = gate.clone();
            async move {
                socket.emit("welcome", &1).await.unwrap();
                socket.join("lobby").unwrap();
                io.emit("to all", &()).await.unwrap();
                io.to("lobby").emit("to the lobby", &()).await.unwrap();
                gate.wait_for(|open| *open).await.unwrap();
            }
        });
    let mut client = server.open().await;
    client.send("40").await;
    within(async {
        while server.io.metrics().engine.open_sessions == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proceed.send_replace(true);
    assert!(client.text().await.starts_with("40{\"sid\":"));
    client.expect("42[\"welcome\",1]").await;
    server.io.to("lobby").emit("now", &()).await.unwrap();
    client.expect("42[\"now\"]").await;
}

#[tokio::test]
async fn rooms_entered_in_the_connect_handler_are_joined_when_the_acceptance_is_seen() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on_connect(async |socket: Socket| socket.join("lobby").map_err(|_| "gone"));
    for _ in 0..50 {
        let mut client = server.connect().await;
        server.io.to("lobby").emit("hello", &()).await.unwrap();
        client.expect("42[\"hello\"]").await;
        server
            .io
            .to(Room::from(client.sid.as_str()))
            .emit("you", &())
            .await
            .unwrap();
        client.expect("42[\"you\"]").await;
    }
}

#[tokio::test]
async fn a_second_connect_to_a_joined_namespace_closes_the_connection() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    client.send("40").await;
    client.expect_closed().await;
    server.is_empty().await;
}

#[tokio::test]
async fn a_connection_that_joins_nothing_is_closed_after_the_connect_timeout() {
    let builder = SocketIo::builder().configure(|config| config.connect_timeout = Duration::from_secs(2));
    let server = TestServer::with(builder).await;
    let mut joined = server.connect().await;
    let mut idle = server.open().await;
    idle.expect_closed().await;
    server.io.emit("still here", &()).await.unwrap();
    joined.expect("42[\"still here\"]").await;
}

#[tokio::test]
async fn a_connect_timeout_of_the_longest_duration_never_comes() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.connect_timeout = Duration::MAX)).await;
    let mut client = server.open().await;
    client.join("/").await;
    assert_eq!(server.io.metrics().engine.panics, 0);
}

#[tokio::test]
async fn malformed_authentication_closes_the_connection() {
    let server = TestServer::start().await;
    for packet in ["40{", "40[1", "40{}x"] {
        let mut client = server.open().await;
        client.send(packet).await;
        client.expect_closed().await;
    }
}

#[tokio::test]
async fn authentication_that_is_text_or_a_list_is_a_connect_error_and_the_connection_stays() {
    let server = TestServer::start().await;
    let mut client = server.open().await;
    for packet in ["40[1]", "40\"x\"", "40true"] {
        client.send(packet).await;
        client.expect("44{\"message\":\"auth must be an object\"}").await;
    }
    client.send("40null").await;
    assert!(client.text().await.starts_with("40{\"sid\":"));
}

#[tokio::test]
async fn one_connection_can_join_a_bounded_number_of_namespaces() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.max_namespaces = 2)).await;
    for name in ["/a", "/b", "/c"] {
        server.io.namespace(name);
    }
    let mut client = server.open().await;
    client.join("/a").await;
    client.join("/b").await;
    client.send("40/c,").await;
    client.expect("44/c,{\"message\":\"Too many namespaces\"}").await;
}
