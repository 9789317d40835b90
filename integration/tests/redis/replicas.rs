//! Replicas, and masters that are demoted: messages on them reach their own subscribers only.

use std::time::{Duration, Instant};

use manager_api::{ClientManager, ErrorKind};
use manager_redis::{RedisManager, RedisOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use super::faults::{PATIENCE, expect_message, hasty, until_gap};
use super::flavours::{follow, server_ok};
use super::refusals::add_user;
use super::server::Server;

/// Publishing and subscribing fails within a second and says `text`.
async fn named_at_once(url: &str, kind: ErrorKind, text: &str) {
    let manager = RedisManager::new(url, RedisOptions::default()).unwrap();
    let begun = Instant::now();
    let published = manager.publish("x".into()).await.unwrap_err();
    let subscribed = manager.subscribe().await.unwrap_err();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for error in [published, subscribed] {
        assert_eq!(error.kind(), kind);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[tokio::test]
async fn a_publish_on_a_replica_fails_and_names_its_master() {
    let (master, replica) = tokio::join!(Server::start(), Server::start());
    follow(&replica, &master).await;
    named_at_once(
        &replica.url(),
        ErrorKind::Connect,
        &format!("a replica of 127.0.0.1:{}", master.port),
    )
    .await;
    // A user who may not ask for the role learns of it all the same.
    add_user(&replica, &["+publish", "+subscribe"]).await;
    named_at_once(
        &format!("redis://me:pw@127.0.0.1:{}", replica.port),
        ErrorKind::Connect,
        "a replica, on which",
    )
    .await;
}

#[tokio::test]
async fn a_replica_that_knows_no_hello_is_known_by_its_role() {
    let old = ["--rename-command", "HELLO", ""];
    let (master, replica) = tokio::join!(Server::start_with(&old), Server::start_with(&old));
    super::flavours::round_trip(&RedisManager::new(&replica.url(), hasty()).unwrap()).await;
    follow(&replica, &master).await;
    named_at_once(&replica.url(), ErrorKind::Connect, "a replica of 127.0.0.1").await;
}

#[tokio::test]
async fn a_sentinel_that_is_taken_for_a_server_is_named() {
    let sentinel = Server::new(super::server::free_port(), &["{dir}/sentinel.conf", "--sentinel"]);
    let config = format!("port {}\n", sentinel.port);
    std::fs::write(sentinel.dir.path().join("sentinel.conf"), config).unwrap();
    sentinel.restart_sentinel().await;
    named_at_once(&sentinel.url(), ErrorKind::Config, "redis+sentinel://").await;
}

#[tokio::test]
async fn a_server_that_is_taken_for_a_sentinel_is_named() {
    let server = Server::start().await;
    named_at_once(
        &format!("redis+sentinel://127.0.0.1:{}/mymaster", server.port),
        ErrorKind::Config,
        "connect by redis:// instead of redis+sentinel://",
    )
    .await;
}

#[tokio::test]
async fn another_service_that_is_taken_for_redis_is_named() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    named_at_once(&url, ErrorKind::Config, "another service listens at this port").await;
    serving.abort();
}

/// Demotes the server while the manager of `url` publishes all the time, and promotes it again.
async fn left_and_found_again(server: &Server, master: &Server, url: &str) {
    let manager = RedisManager::new(url, hasty()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("before".into()).await.unwrap();
    expect_message(&mut subscription, "before").await;
    let demoted = Instant::now();
    follow(server, master).await;
    let error = loop {
        if let Err(error) = manager.publish("during".into()).await {
            break error;
        }
        assert!(demoted.elapsed() < Duration::from_secs(10), "a replica took publishes");
    };
    assert!(error.to_string().contains("replica"), "{error}");
    while manager.health().listening_since.is_some() {
        assert!(
            demoted.elapsed() < Duration::from_secs(10),
            "a subscription stayed on a replica"
        );
        sleep(Duration::from_millis(10)).await;
    }
    let promote = redis::cmd("REPLICAOF").arg("NO").arg("ONE").to_owned();
    server_ok(server, &promote).await;
    until_gap(&mut subscription).await;
    // The publishing connection may find out later than the subscription: until then it says what the server was.
    while let Err(error) = manager.publish("after".into()).await {
        assert!(
            error.to_string().contains("replica") || error.is_retryable(),
            "{error:?}"
        );
        assert!(demoted.elapsed() < PATIENCE, "{error:?}");
    }
    expect_message(&mut subscription, "after").await;
}

#[tokio::test]
async fn a_demoted_master_is_left_by_publishers_and_listeners_and_the_loss_is_admitted() {
    let (server, master) = tokio::join!(Server::start(), Server::start());
    left_and_found_again(&server, &master, &server.url()).await;
}

#[tokio::test]
async fn a_demoted_master_is_left_by_a_user_who_may_not_ask_for_the_role() {
    let (server, master) = tokio::join!(Server::start(), Server::start());
    add_user(&server, &["+publish", "+subscribe"]).await;
    left_and_found_again(&server, &master, &format!("redis://me:pw@127.0.0.1:{}", server.port)).await;
}
