//! What others have locked: it delays publishing for a moment at most, and nothing happens after its caller was told otherwise.

use std::time::Duration;

use integration::brokers::postgres::{Pooler, PostgresBroker, ask};
use integration::brokers::unique_channel;
use manager_api::ClientManager;
use manager_postgres::schema::{Installation, install, status, uninstall};
use manager_postgres::{PostgresManager, PostgresOptions};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, NoTls};

use super::{manager, next_text, options};
use crate::support::within;

/// Takes locks, until the client is dropped.
async fn locked(url: &str, statement: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; {statement}")).await.unwrap();
    client
}

/// Waits until this many sessions whose names begin so, and which wait for a lock if `and` says so, are there.
async fn until_sessions(url: &str, name: &str, and: &str, count: u64) {
    let question = format!("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '{name}%' {and}");
    let reached = async {
        while ask(url, &question).await.unwrap() != [[count.to_string()]] {
            sleep(Duration::from_millis(10)).await;
        }
    };
    within("the sessions", reached).await;
}

const WAITING: &str = "AND wait_event_type = 'Lock'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_waits_for_a_lock_holds_up_no_message() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    let brief = Installation {
        retention: Some(Duration::from_millis(200)),
        ..Installation::default()
    };
    install(&url, &PostgresOptions::default(), &brief).await.unwrap();
    let never = PostgresOptions {
        trim_interval: Duration::ZERO,
        ..options(&channel)
    };
    let listener = PostgresManager::new(&url, never.clone()).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    listener.publish("locked".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "locked");
    let _locks = locked(&url, "SELECT FROM sio.message FOR UPDATE").await;
    let trimming = PostgresOptions {
        trim_interval: Duration::from_millis(1),
        ..never
    };
    let publisher = PostgresManager::new(&url, trimming).unwrap();
    publisher.publish("first".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "first");
    until_sessions(&url, "sio publish", WAITING, 1).await;
    let published = timeout(Duration::from_secs(5), publisher.publish("second".into())).await;
    published.expect("it waits for the lock").unwrap();
    assert_eq!(next_text(&mut subscription).await, "second");
}

/// The end of a connection says nothing about a commit that was under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_whose_connection_an_operator_ends_is_in_doubt_also_behind_a_pooler() {
    let broker = PostgresBroker::start().await;
    let url = broker.url();
    let server = format!("server = {}", broker.address());
    let pooler = Pooler::start_with(&[&server, "pool_mode = transaction"]).await;
    for through in [&url, &pooler.url()] {
        let publisher = manager(through, &unique_channel());
        publisher.publish("x".into()).await.unwrap();
        let _locks = locked(&url, "LOCK TABLE sio.message").await;
        let publishing = tokio::spawn(async move { publisher.publish("y".into()).await });
        until_sessions(&url, "sio publish", WAITING, 1).await;
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sio publish%' {WAITING}"
        );
        ask(&url, &end).await.unwrap();
        let error = within("an error", publishing).await.unwrap().unwrap_err();
        assert!(
            error.may_have_been_published() && !error.is_refusal(),
            "{through}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_and_a_removal_that_took_too_long_do_not_happen_later() {
    let broker = PostgresBroker::start().await;
    let url = broker.url();
    let installed = status(&url, &PostgresOptions::default()).await.unwrap();
    let mut impatient = options("socketio");
    impatient.common.deadline = Duration::from_millis(300);
    let wanted = Installation {
        max_messages: Some(7),
        ..Installation::default()
    };
    let locks = locked(&url, "LOCK TABLE sio.message").await;
    install(&url, &impatient, &wanted).await.unwrap_err();
    uninstall(&url, &impatient).await.unwrap_err();
    drop(locks);
    until_sessions(&url, "sio install", "", 0).await;
    let after = status(&url, &PostgresOptions::default()).await.unwrap();
    assert_eq!(after.max_messages, installed.max_messages);
}
