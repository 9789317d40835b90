//! The log of handlers: whose, and never with what arguments.
//!
//! A process of its own, because what limits lines is shared by a whole process.
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/client.rs"]
mod client;

#[path = "server/lines.rs"]
mod lines;

use socket_io::Data;
use socket_io::manager_api::EventName;

use client::TestServer;
use lines::Lines;

#[tokio::test]
async fn failures_of_handlers_are_logged_with_event_and_client_and_without_arguments() {
    let lines = Lines::default();
    // Everything in these tests runs on the thread of the test.
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let server = TestServer::start().await;
    let root = server.io.namespace("/");
    root.on("fails", async || Err::<(), _>("on purpose"));
    root.on("panics", async |Data(_): Data<String>| -> u8 { panic!("on purpose") });
    root.on("unfit", async |Data(_): Data<u8>| {});
    root.on("ok", async || "ok").on("refused", async || "never");
    root.use_event(async |event: EventName| event != "refused");
    let (mut client, mut other) = (server.connect().await, server.connect().await);
    for event in ["fails", "panics", "unfit", "refused", "missing"] {
        client.send(&format!("42[\"{event}\",\"a secret\"]")).await;
    }
    for client in [&mut client, &mut other] {
        client.send("420[\"ok\"]").await;
        client.expect("430[\"ok\"]").await;
    }
    for (event, level, text) in [
        ("fails", "ERROR", "a handler failed"),
        ("panics", "ERROR", "a handler panicked"),
        ("unfit", "WARN", "an event does not fit its handler"),
        ("refused", "WARN", "middleware refused an event"),
        ("missing", "DEBUG", "no handler for an event"),
    ] {
        let found = lines.with(text);
        assert_eq!(found.len(), 1, "{text}: {}", lines.text());
        let line = &found[0];
        assert!(
            line.contains(level) && line.contains(" socket_io: ") && line.contains(event),
            "{line}"
        );
        let subject = format!("sid={} namespace=\"/\"", client.sid);
        assert!(line.contains(&subject), "{line}");
    }
    let metrics = server.io.metrics();
    assert_eq!((metrics.handler_panics, metrics.handler_failures), (1, 1));
    // A client that repeats all that, with a name as long as it likes, fills no log.
    let long = format!("missing{}", "é".repeat(1_000));
    for _ in 0..10 {
        for event in ["fails", "panics", &long] {
            client.send(&format!("42[\"{event}\",\"a secret\"]")).await;
        }
    }
    client.send("420[\"ok\"]").await;
    client.expect("430[\"ok\"]").await;
    let metrics = server.io.metrics();
    assert_eq!((metrics.handler_panics, metrics.handler_failures), (11, 11));
    let told = lines.with("a handler failed").len() + lines.with("a handler panicked").len();
    // Those of the second that has begun, and of the next if the machine is slow.
    assert!(told <= 10, "{}", lines.text());
    assert!(lines.text().lines().all(|line| line.len() < 500), "{}", lines.text());
    assert!(!lines.text().contains("a secret"), "{}", lines.text());
    assert!(!lines.text().contains(&other.sid), "{}", lines.text());
}

#[tokio::test]
async fn more_attachments_than_clients_accept_are_warned_of() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let server = TestServer::start().await;
    let attachments = |count| vec![bytes::Bytes::from_static(b"x"); count];
    server.io.emit("ten", &attachments(10)).await.unwrap();
    server.connect().await;
    server.io.emit("eleven", &attachments(11)).await.unwrap();
    let found = lines.with("more attachments than JavaScript's clients accept");
    assert_eq!(found.len(), 1, "{}", lines.text());
    assert!(
        found[0].contains("event=\"eleven\"") && found[0].contains("attachments=11"),
        "{found:?}"
    );
}
