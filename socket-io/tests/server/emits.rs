//! The ways to emit, and rooms by the id of a client.

use std::time::Duration;

use http_body_util::BodyExt;
use socket_io::SocketIo;
use socket_io::manager_api::{ErrorKind, Room, Sid};
use tower_service::Service;

use crate::client::{Client, TestServer, within};

fn sid(client: &Client) -> Sid {
    Sid::from(client.sid.as_str())
}

#[tokio::test]
async fn rooms_are_entered_left_closed_and_listed_by_the_id_of_a_client() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    let (one, two) = (server.connect().await, server.connect().await);
    root.enter_room(sid(&one), "a").await.unwrap();
    root.enter_room(sid(&one), "b").await.unwrap();
    root.enter_room(sid(&two), "a").await.unwrap();
    let own = |client: &Client| Room::from(client.sid.as_str());
    assert_eq!(root.rooms(&sid(&one)), [own(&one), "a".into(), "b".into()]);
    root.leave_room(sid(&one), "b").await.unwrap();
    assert_eq!(root.rooms(&sid(&one)), [own(&one), "a".into()]);
    root.close_room("a").await.unwrap();
    assert_eq!(
        (root.rooms(&sid(&one)), root.rooms(&sid(&two))),
        (vec![own(&one)], vec![own(&two)])
    );
    assert_eq!(server.io.metrics().num_rooms, 0);
    assert!(root.rooms(&Sid::from("unknown")).is_empty() && root.socket(&Sid::from("unknown")).is_none());
}

#[tokio::test]
async fn a_client_is_found_called_and_disconnected_by_its_id() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    let mut client = server.connect().await;
    assert_eq!(root.socket(&sid(&client)).unwrap().id(), client.sid.as_str());
    let (namespace, to) = (root.clone(), sid(&client));
    let call = tokio::spawn(async move {
        namespace
            .call::<_, String>(to, "question", &"?", Duration::from_secs(60))
            .await
    });
    let question = client.text().await;
    let (id, rest) = question.strip_prefix("42").unwrap().split_once('[').unwrap();
    assert_eq!(rest, "\"question\",\"?\"]");
    client.send(&format!("43{id}[\"answer\"]")).await;
    assert_eq!(within(call).await.unwrap().unwrap(), "answer");
    root.disconnect(sid(&client)).await.unwrap();
    client.expect("41").await;
    assert!(root.socket(&sid(&client)).is_none());
    let unknown = root
        .call::<_, String>(sid(&client), "question", &(), Duration::from_millis(50))
        .await;
    assert_eq!(unknown.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn message_is_the_event_of_send() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    root.send(&("to", "all")).await.unwrap();
    root.socket(&sid(&one)).unwrap().send(&1).await.unwrap();
    root.emit("done", &()).await.unwrap();
    for packet in ["42[\"message\",\"to\",\"all\"]", "42[\"message\",1]", "42[\"done\"]"] {
        one.expect(packet).await;
    }
    for packet in ["42[\"message\",\"to\",\"all\"]", "42[\"done\"]"] {
        two.expect(packet).await;
    }
}

#[tokio::test]
async fn a_volatile_event_reaches_a_client_that_reads_and_is_dropped_for_one_that_does_not() {
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    let mut client = server.connect().await;
    let socket = root.socket(&sid(&client)).unwrap();
    assert!(socket.emit_volatile("now", &1).await.unwrap());
    client.expect("42[\"now\",1]").await;
    let large = "x".repeat(100_000);
    within(async {
        while socket.emit_volatile("much", &large).await.unwrap() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(
        socket.is_connected(),
        "what was dropped does not count against the client"
    );
    drop(client);
    server.is_empty().await;
    assert_eq!(
        socket.emit_volatile("late", &()).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_volatile_event_for_many_reaches_those_that_read_and_is_dropped_for_one_that_does_not() {
    let server = TestServer::start().await;
    let (stuck, mut reader) = (server.connect().await, server.connect().await);
    let large = "x".repeat(100_000);
    let dropped = || server.io.metrics().engine.volatile_dropped;
    within(async {
        while dropped() == 0 {
            server.io.broadcast().volatile().emit("much", &large).await.unwrap();
            assert!(reader.text().await.starts_with("42[\"much\""));
        }
    })
    .await;
    let socket = server.io.namespace("/").socket(&sid(&stuck)).unwrap();
    assert!(
        socket.is_connected(),
        "what was dropped does not count against the client"
    );
}

#[tokio::test]
async fn an_event_is_compressed_unless_its_emitter_says_otherwise() {
    let io = SocketIo::new();
    let mut service = io.service();
    let path = "/socket.io/?EIO=4&transport=polling";
    let request = |method: &str, path: &str, body: &str| {
        let request = http::Request::builder().method(method).uri(path);
        request.header("accept-encoding", "gzip").body(body.to_owned()).unwrap()
    };
    let opened = service.call(request("GET", path, "")).await.unwrap();
    let opened = opened.into_body().collect().await.unwrap().to_bytes();
    let opened: serde_json::Value = serde_json::from_slice(&opened[1..]).unwrap();
    let session = format!("{path}&sid={}", opened["sid"].as_str().unwrap());
    service.call(request("POST", &session, "40")).await.unwrap();
    service.call(request("GET", &session, "")).await.unwrap();

    let long = "long ".repeat(1000);
    for (compress, encoding) in [(false, None), (true, Some("gzip"))] {
        io.broadcast().compress(compress).emit("e", &long).await.unwrap();
        let answer = service.call(request("GET", &session, "")).await.unwrap();
        let header = answer.headers().get("content-encoding");
        assert_eq!(header.map(|value| value.to_str().unwrap()), encoding);
    }
}
