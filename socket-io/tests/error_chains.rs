//! Errors of handlers in the log: with what led to them.
//!
//! A process of its own, because what limits lines is shared by a whole process.
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/client.rs"]
mod client;

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/lines.rs"]
mod lines;

use socket_io::Error;
use socket_io::manager_api::ErrorKind;

use client::TestServer;
use lines::Lines;

#[tokio::test]
async fn an_error_of_a_handler_is_logged_with_what_led_to_it() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let server = TestServer::start().await;
    let failing = async || {
        let refused = std::io::Error::other("connection refused");
        Err::<(), _>(Error::new(ErrorKind::Connect, "no database").with_source(refused))
    };
    server
        .io
        .namespace("/")
        .on("fails", failing)
        .on("ok", async || "ok")
        .use_event(async |event: socket_io::manager_api::EventName| match event.as_str() {
            "refused" => Err(Error::new(ErrorKind::Busy, "not now").with_source(std::io::Error::other("pool empty"))),
            _ => Ok(()),
        });
    let mut client = server.connect().await;
    client.send("42[\"fails\"]").await;
    client.send("42[\"refused\"]").await;
    client.send("420[\"ok\"]").await;
    client.expect("430[\"ok\"]").await;
    for (text, error) in [
        ("a handler failed", "no database: connection refused"),
        ("middleware refused an event", "not now: pool empty"),
    ] {
        let found = lines.with(text);
        assert!(found.len() == 1 && found[0].contains(error), "{}", lines.text());
    }
    assert_eq!(server.io.metrics().handler_failures, 1);
}
