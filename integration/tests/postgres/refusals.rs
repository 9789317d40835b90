//! What is refused: named with what is missing, at once, and never taken for an outage.

use std::time::{Duration, Instant};

use integration::brokers::postgres::{BARE, HBA, PostgresBroker, PostgresTls, ask};
use integration::brokers::{Flavour, unique_channel};
use manager_api::{ClientManager, ErrorKind};
use manager_postgres::PostgresManager;
use manager_postgres::schema::{Installation, install};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{manager, next_text, options};
use crate::support::{eventually, whole_text};

/// Publishes and subscribes; both must be refused within moments, and say `said` and no secret.
async fn is_refused(url: &str, kind: ErrorKind, said: &str) {
    let manager = manager(url, "socketio");
    let begun = Instant::now();
    let (published, subscribed) = (manager.publish("x".into()).await, manager.subscribe().await);
    assert!(begun.elapsed() < Duration::from_secs(5), "{url}: {:?}", begun.elapsed());
    for error in [published.unwrap_err(), subscribed.map(drop).unwrap_err()] {
        assert_eq!(
            (error.kind(), error.is_refusal(), error.is_retryable()),
            (kind, true, false),
            "{error}"
        );
        assert!(error.to_string().contains(said), "{error}");
        assert!(!whole_text(&error).contains("hunter2"), "{error:?}");
    }
    assert!(manager.health().num_refusals >= 2);
}

fn with(url: &str, from: &str, to: &str) -> String {
    assert!(url.contains(from), "{url}");
    url.replacen(from, to, 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_login_database_or_schema_is_named_at_once() {
    let hba = format!("{HBA}host all secured all scram-sha-256");
    let broker = PostgresBroker::start_with(&[BARE, &hba]).await;
    let url = broker.url();
    is_refused(&url, ErrorKind::Config, "run `sio postgres install`").await;
    ask(&url, "CREATE ROLE secured LOGIN PASSWORD 'right'").await.unwrap();
    is_refused(
        &with(&url, "postgres@", "secured:hunter2@"),
        ErrorKind::Connect,
        "password authentication failed",
    )
    .await;
    is_refused(
        &with(&url, "postgres@", "secured@"),
        ErrorKind::Connect,
        "authentication failed",
    )
    .await;
    is_refused(
        &with(&url, "postgres@", "unknown_user:hunter2@"),
        ErrorKind::Connect,
        "unknown_user",
    )
    .await;
    is_refused(&format!("{url}_none"), ErrorKind::Config, "postgres_none").await;
    // What is wrong is put right while the manager waits: the next attempt succeeds.
    let listener = manager(&url, "socketio");
    assert!(listener.subscribe().await.is_err());
    install(&url, &options("socketio"), &Installation::default())
        .await
        .unwrap();
    listener.subscribe().await.unwrap();
    let right = with(&url, "postgres@", "secured:right@");
    is_refused(&right, ErrorKind::Connect, "GRANT USAGE ON SCHEMA \"sio\"").await;
    let elsewhere = format!("{url}?schema=elsewhere");
    is_refused(
        &elsewhere,
        ErrorKind::Config,
        "the schema \"elsewhere\" is not installed",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_right_is_named_and_the_documented_ones_suffice() {
    let broker = PostgresBroker::start().await;
    let url = broker.url();
    let channel = unique_channel();
    ask(
        &url,
        "CREATE ROLE emitter LOGIN; CREATE ROLE server LOGIN; GRANT USAGE ON SCHEMA sio TO emitter, server",
    )
    .await
    .unwrap();
    let emitter = manager(&with(&url, "postgres@", "emitter@"), &channel);
    emitter.publish("x".into()).await.unwrap();
    let refused = emitter.subscribe().await.unwrap_err();
    assert!(
        refused.is_refusal()
            && refused
                .to_string()
                .contains("GRANT SELECT ON ALL TABLES IN SCHEMA \"sio\""),
        "{refused}"
    );
    ask(&url, "GRANT SELECT ON ALL TABLES IN SCHEMA sio TO server")
        .await
        .unwrap();
    let server = manager(&with(&url, "postgres@", "server@"), &channel);
    let mut subscription = server.subscribe().await.unwrap();
    server.publish("by the server".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "by the server");
    // An application emits with the rights of an emitter.
    let emit = format!("SET ROLE emitter; SET sio.channel = '{channel}'; SELECT sio_emit('r', 'e')");
    ask(&url, &emit).await.unwrap();
    assert!(next_text(&mut subscription).await.contains("\"e\""));
    // Neither may read or change the log by itself, beyond what servers read.
    for statement in [
        "SET ROLE emitter; SELECT * FROM sio.message",
        "SET ROLE server; DELETE FROM sio.message",
        "SET ROLE server; UPDATE sio.state SET max_rows = 0",
    ] {
        let error = ask(&url, statement).await.unwrap_err();
        assert!(error.contains("permission denied"), "{statement}: {error}");
    }
    // A right that is taken away is a refusal of a listener that had it, and heals.
    ask(&url, "REVOKE SELECT ON ALL TABLES IN SCHEMA sio FROM server")
        .await
        .unwrap();
    emitter.publish("unread".into()).await.unwrap();
    eventually("refused and unhealthy", || {
        let health = server.health();
        health.num_refusals > 1 && health.listening_since.is_none()
    })
    .await;
    ask(&url, "GRANT SELECT ON ALL TABLES IN SCHEMA sio TO server")
        .await
        .unwrap();
    assert_eq!(next_text(&mut subscription).await, "unread");
    assert_eq!(server.health().num_gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_only_reads_is_refused_and_the_primary_is_found_among_several() {
    let broker = PostgresBroker::start().await;
    let mut standby = PostgresBroker::start_with(&[BARE]).await;
    // A standby in all that clients see: it recovers, from nowhere.
    std::fs::write(standby.folder().join("data/standby.signal"), "").unwrap();
    standby.restart().await;
    is_refused(&standby.url(), ErrorKind::Connect, "a standby").await;
    let both = format!(
        "postgres://postgres@{},{}/postgres",
        standby.address(),
        broker.address()
    );
    let channel = unique_channel();
    let listener = manager(&both, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    manager(&broker.url(), &channel).publish("x".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_service_is_named_and_a_closed_port_is_an_outage() {
    let web = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = web.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = web.accept().await {
            // As a web server responds to what is not a request.
            let _ = stream.read(&mut [0; 64]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    is_refused(
        &format!("postgres://me:hunter2@{address}"),
        ErrorKind::Config,
        "another service",
    )
    .await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let mut impatient = options("socketio");
    impatient.common.deadline = Duration::from_millis(500);
    let manager = PostgresManager::new(&format!("postgres://me:hunter2@{address}"), impatient).unwrap();
    let error = manager.publish("x".into()).await.unwrap_err();
    assert!(
        error.is_retryable() && error.to_string().contains("connection refused"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_that_is_missing_superfluous_or_not_trusted_is_named() {
    let tls = PostgresTls::try_start().await.unwrap();
    let untrusted = tls.url().split("&ca=").next().unwrap().to_owned();
    is_refused(&untrusted, ErrorKind::Connect, "not trusted").await;
    let plain = PostgresBroker::shared().await.url();
    is_refused(&format!("{plain}?sslmode=require"), ErrorKind::Config, "speaks no TLS").await;
    let hba = format!("{HBA}hostssl all guarded all trust\n{HBA}host all guarded all reject");
    let hba: Vec<_> = hba.lines().collect();
    let guarded = PostgresBroker::start_with(&hba).await;
    ask(&guarded.url(), "CREATE ROLE guarded LOGIN").await.unwrap();
    is_refused(
        &with(&guarded.url(), "postgres@", "guarded@"),
        ErrorKind::Connect,
        "sslmode=require",
    )
    .await;
    // Over TLS, with the authority: served.
    let manager = manager(&tls.url(), &unique_channel());
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("x".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "x");
}
