//! Log lines under the hands of a client that tries to forge some.
//!
//! A process of its own, because what limits lines is shared by a whole process.
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/client.rs"]
mod client;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/lines.rs"]
mod lines;

use socket_io::Data;
use socket_io::manager_api::EventName;

use client::TestServer;
use lines::Lines;

#[tokio::test]
async fn nothing_that_a_client_sends_ends_a_log_line_or_begins_another() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(lines.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let server = TestServer::start().await;
    for namespace in [&*server.io.namespace("/"), &server.io.any_namespace()] {
        namespace.on_any(async |event: EventName, Data(text): Data<String>| match event == "ok" {
            true => Ok("ok"),
            // An application that quotes what it was sent.
            false => Err(format!("no such order: {text}")),
        });
    }
    let mut client = server.connect().await;
    let forged = r"x\n2026-01-01T00:00:00Z ERROR socket_io: forged by=a\r\u001b[2J\u009b1m\u2028\u202e\u0000";
    client.send(&format!("42[\"{forged}\",\"{forged}\"]")).await;
    client.send(&format!("42[\"{forged}\",{{\"{forged}\":1}}]")).await;
    let quoted = r#"a\" sid=\"forged"#;
    client.send(&format!("42[\"{quoted}\",\"{quoted}\"]")).await;
    client.send("420[\"ok\",\"1\"]").await;
    client.expect("430[\"ok\"]").await;
    // Namespaces may hold anything but a comma.
    let namespace = "/x\u{a0}\u{9b}2J\n2026-01-01T00:00:00Z ERROR forged by=a";
    client.send(&format!("40{namespace},")).await;
    client.send(&format!("42{namespace},[\"lost\",1]")).await;
    client.send(&format!("42{namespace},1[\"ok\",\"1\"]")).await;
    let accepted = client.text().await;
    assert!(accepted.starts_with(&format!("40{namespace},")), "{accepted:?}");
    client.expect(&format!("43{namespace},1[\"ok\"]")).await;
    let text = lines.text();
    let acts = |letter: char| letter != '\n' && manager_api::log::Escaped::acts(letter);
    assert!(!text.contains(acts), "{text:?}");
    assert!(
        text.contains("a handler failed") && text.contains("no such order"),
        "{text}"
    );
    for line in text.lines() {
        assert!(
            !line.starts_with("2026-01-01") && line.contains(" socket_io: ") || line.contains(" engine_io: "),
            "{line:?}"
        );
        assert!(!line.contains(" sid=\"forged") && line.len() < 1500, "{line:?}");
    }
}
