//! Middleware: what clients pass before they are connected, and events before they are handled.

use std::sync::{Arc, Mutex};

use serde_json::json;
use socket_io::extract::Rejection;
use socket_io::manager_api::{EventName, NamespaceName, Payload};
use socket_io::{Auth, Data, Refusal, Socket};

use crate::client::TestServer;

type Log = Arc<Mutex<Vec<String>>>;

#[tokio::test]
async fn connect_middleware_runs_in_order_before_the_handler_and_may_refuse() {
    let server = TestServer::start().await;
    let log = Log::default();
    let note = |name: &'static str| {
        let log = log.clone();
        move || {
            log.lock().unwrap().push(name.to_owned());
            async {}
        }
    };
    let root = server.io.namespace("/");
    root.use_connect(note("first"));
    root.use_connect(async |socket: Socket, Auth(auth): Auth<serde_json::Value>| {
        socket.emit("from middleware", &()).await.map_err(|_| "gone")?;
        match auth["token"].as_str() {
            Some("good") => Ok(()),
            _ => Err(Refusal::new("bad token").with_data(&json!({"got": auth["token"]}))),
        }
    });
    root.use_connect(note("last"));
    root.on_connect(note("handler"));
    server.io.any_namespace().use_connect(note("of any"));
    let mut client = server.open().await;
    client.send("40{\"token\":\"bad\"}").await;
    client
        .expect("44{\"message\":\"bad token\",\"data\":{\"got\":\"bad\"}}")
        .await;
    assert_eq!(*log.lock().unwrap(), ["of any", "first"]);
    log.lock().unwrap().clear();
    client.send("40{\"token\":\"good\"}").await;
    assert!(client.text().await.starts_with("40{\"sid\""));
    client.expect("42[\"from middleware\"]").await;
    assert_eq!(*log.lock().unwrap(), ["of any", "first", "last", "handler"]);
}

#[tokio::test]
async fn connect_middleware_that_panics_or_cannot_be_called_refuses() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/panics")
        .use_connect(async || -> bool { panic!("on purpose") })
        .on_connect(async || {});
    server.io.namespace("/unfit").use_connect(async |Auth(_): Auth<u8>| {});
    let mut client = server.open().await;
    for name in ["/panics", "/unfit"] {
        client.send(&format!("40{name},")).await;
        client
            .expect(&format!("44{name},{{\"message\":\"Connection rejected by server\"}}"))
            .await;
        assert_eq!(server.io.namespace(name).num_clients(), 0);
    }
}

#[tokio::test]
async fn event_middleware_runs_in_order_and_may_change_or_refuse() {
    let server = TestServer::start().await;
    let log = Log::default();
    let seen = log.clone();
    server
        .io
        .any_namespace()
        .use_event(move |event: EventName, namespace: NamespaceName| {
            seen.lock().unwrap().push(format!("{namespace} {event}"));
            async {}
        });
    let root = server.io.namespace("/");
    root.use_event(
        async |event: EventName, data: Result<Data<u32>, Rejection>| match data {
            Ok(Data(n)) if event == "double" => Payload::new(&(n * 2)).map_err(|error| error.to_string()),
            Ok(Data(n)) => Payload::new(&n).map_err(|error| error.to_string()),
            Err(_) => Err("numbers only".to_owned()),
        },
    );
    root.use_event(async |Data(n): Data<u32>| n < 100);
    root.on("double", async |Data(n): Data<u32>| n)
        .on("same", async |Data(n): Data<u32>| n);
    let mut client = server.connect().await;
    for event in [
        "1[\"double\",50]",
        "2[\"double\",\"x\"]",
        "3[\"missing\",1]",
        "4[\"double\",21]",
    ] {
        client.send(&format!("42{event}")).await;
    }
    client.expect("434[42]").await;
    client.send("425[\"same\",99]").await;
    client.expect("435[99]").await;
    let expected = ["/ double", "/ double", "/ missing", "/ double", "/ same"];
    assert_eq!(*log.lock().unwrap(), expected);
}

#[tokio::test]
async fn event_middleware_that_panics_harms_only_that_event() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .use_event(async |event: EventName| assert!(event != "bad", "on purpose"))
        .on_any(async |event: EventName| event.to_string());
    let mut client = server.connect().await;
    client.send("420[\"bad\"]").await;
    client.send("421[\"good\"]").await;
    client.expect("431[\"good\"]").await;
}
