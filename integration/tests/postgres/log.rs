//! The log: how long messages are kept, and what a listener says of those that it missed.

use std::time::Duration;

use integration::brokers::postgres::{PostgresBroker, ask};
use integration::brokers::unique_channel;
use integration::proxy::TcpProxy;
use manager_api::ClientManager;
use manager_postgres::schema::{Installation, install, status, uninstall};
use manager_postgres::{PostgresManager, PostgresOptions};
use tokio::time::{sleep, timeout};

use super::{manager, next_gap, next_text, options};
use crate::support::{eventually, within};

/// Makes the log keep messages for hardly any time.
async fn forgetful(url: &str) {
    let wanted = Installation {
        retention: Some(Duration::from_millis(200)),
        ..Installation::default()
    };
    install(url, &PostgresOptions::default(), &wanted).await.unwrap();
}

async fn num_messages(url: &str) -> u64 {
    status(url, &PostgresOptions::default()).await.unwrap().num_messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_messages_are_deleted_and_a_listener_that_was_away_for_longer_says_so_once() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    forgetful(&url).await;
    let (proxy, through) = TcpProxy::before(&url).await;
    let listener = manager(&through, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    let trimming = PostgresManager::new(
        &url,
        PostgresOptions {
            trim_interval: Duration::from_millis(50),
            ..options(&channel)
        },
    )
    .unwrap();
    trimming.publish("first".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "first");
    proxy.cut().await;
    trimming.publish("missed".into()).await.unwrap();
    let is_empty = async {
        while num_messages(&url).await > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("the log is empty", is_empty).await;
    proxy.restore();
    assert!(next_gap(&mut subscription).await.contains("deleted"));
    trimming.publish("later".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "later");
    assert_eq!(listener.health().num_gaps, 1);
    // A listener that was not away misses nothing, however soon messages are deleted.
    for number in 0..50 {
        trimming.publish(number.to_string().into()).await.unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(next_text(&mut subscription).await, number.to_string());
    }
    assert_eq!(listener.health().num_gaps, 1);
}

/// The deletion's answer is lost, and it is always due: what is published does not wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_is_not_answered_holds_up_no_message() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    let direct = manager(&url, &channel);
    let mut subscription = direct.subscribe().await.unwrap();
    let (proxy, through) = TcpProxy::before(&url).await;
    let trimming = PostgresOptions {
        trim_interval: Duration::from_millis(1),
        ..options(&channel)
    };
    let publisher = PostgresManager::new(&through, trimming).unwrap();
    publisher.publish("a".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "a");
    proxy.mute();
    // Longer than the interval: a deletion is under way, and its answer does not arrive.
    sleep(Duration::from_millis(50)).await;
    tokio::select! {
        ended = publisher.publish("b".into()) => panic!("it ended without an answer: {ended:?}"),
        arrived = timeout(Duration::from_secs(5), next_text(&mut subscription)) => {
            assert_eq!(arrived.expect("it waits for the deletion"), "b");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_long_transaction_is_kept_from_its_commit_on() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    forgetful(&url).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    let emit = format!("BEGIN; SELECT sio_publish('{channel}', '7')");
    client.batch_execute(&emit).await.unwrap();
    let never = PostgresOptions {
        trim_interval: Duration::ZERO,
        ..options(&channel)
    };
    let listener = PostgresManager::new(&url, never).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    listener.publish("6".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "6");
    // What was written later, and committed at once, is deleted for its age.
    let is_deleted = async {
        while ask(&url, "SELECT sio.trim()").await.unwrap() != [["1"]] {
            sleep(Duration::from_millis(20)).await;
        }
    };
    within("the deletion", is_deleted).await;
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(ask(&url, "SELECT sio.trim()").await.unwrap(), [["0"]]);
    assert_eq!(num_messages(&url).await, 1);
    assert_eq!(next_text(&mut subscription).await, "7");
    assert_eq!(listener.health().num_gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_operator_deletes_or_truncates_is_admitted() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    let (proxy, through) = TcpProxy::before(&url).await;
    let listener = manager(&through, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = manager(&url, &channel);
    for statement in ["DELETE FROM sio.message", "TRUNCATE sio.message"] {
        proxy.cut().await;
        publisher.publish("missed".into()).await.unwrap();
        ask(&url, statement).await.unwrap();
        publisher.publish("kept".into()).await.unwrap();
        proxy.restore();
        assert!(next_gap(&mut subscription).await.contains("deleted"), "{statement}");
        assert_eq!(next_text(&mut subscription).await, "kept");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_that_is_installed_anew_is_a_gap_and_the_listener_goes_on() {
    let broker = PostgresBroker::start().await;
    let (url, channel) = (broker.url(), unique_channel());
    let listener = manager(&url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    listener.publish("before".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "before");
    uninstall(&url, &PostgresOptions::default()).await.unwrap();
    let refused = listener.publish("refused".into()).await.unwrap_err();
    assert!(
        refused.is_refusal() && refused.to_string().contains("sio postgres install"),
        "{refused}"
    );
    assert!(
        ask(&url, "SELECT sio_emit('r', 'e')").await.is_err(),
        "its functions are gone, too"
    );
    install(&url, &PostgresOptions::default(), &Installation::default())
        .await
        .unwrap();
    // It finds out at the next look, at the latest.
    ask(&url, &format!("SELECT sio_publish('{channel}', '\"any\"')"))
        .await
        .unwrap();
    assert!(next_gap(&mut subscription).await.contains("installed anew"));
    within("accepted", async {
        while listener.publish("after".into()).await.is_err() {}
    })
    .await;
    while next_text(&mut subscription).await != "after" {}
}

/// Transactions of a crashed server may be numbered again: what was seen of them must not hide others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_after_a_crash_is_received_although_numbers_of_transactions_are_used_again() {
    // Their records stay in memory for as long as that is possible.
    let mut broker = PostgresBroker::start_with(&["wal_writer_delay = 10s", "wal_writer_flush_after = 100MB"]).await;
    let (url, channel) = (broker.url(), unique_channel());
    let listener = manager(&url, &channel);
    let mut subscription = listener.subscribe().await.unwrap();
    listener.publish("0".into()).await.unwrap();
    assert_eq!(next_text(&mut subscription).await, "0");
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..500 {
        client
            .batch_execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
            .await
            .unwrap();
    }
    // The listener has seen snapshots behind them.
    sleep(Duration::from_millis(100)).await;
    broker.kill();
    broker.restart().await;
    for number in 1..20 {
        within("accepted", async {
            while listener.publish(number.to_string().into()).await.is_err() {}
        })
        .await;
        assert_eq!(next_text(&mut subscription).await, number.to_string());
    }
    eventually("no gap", || listener.health().num_gaps == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_installation_is_repeated_updated_and_kept_apart_from_another() {
    let broker = PostgresBroker::start().await;
    let url = broker.url();
    forgetful(&url).await;
    let again = install(&url, &PostgresOptions::default(), &Installation::default())
        .await
        .unwrap();
    assert_eq!(
        (again.retention, again.version),
        (Duration::from_millis(200), 1),
        "as it was"
    );
    let other = PostgresOptions {
        schema: "it's \"other\"".to_owned(),
        ..PostgresOptions::default()
    };
    let taken = install(&url, &other, &Installation::default()).await.unwrap_err();
    assert!(taken.to_string().contains("another installation"), "{taken}");
    let beside = Installation {
        functions: Some(other.schema.clone()),
        ..Installation::default()
    };
    install(&url, &other, &beside).await.unwrap();
    // The same channel of both is two.
    let channel = unique_channel();
    let (one, two) = (
        manager(&url, &channel),
        PostgresManager::new(
            &url,
            PostgresOptions {
                schema: other.schema.clone(),
                ..options(&channel)
            },
        )
        .unwrap(),
    );
    let (mut at_one, mut at_two) = (one.subscribe().await.unwrap(), two.subscribe().await.unwrap());
    one.publish("one".into()).await.unwrap();
    two.publish("two".into()).await.unwrap();
    assert_eq!(next_text(&mut at_one).await, "one");
    assert_eq!(next_text(&mut at_two).await, "two");
    uninstall(&url, &other).await.unwrap();
    ask(&url, "SELECT sio_emit('r', 'e')").await.unwrap();
    uninstall(&url, &other).await.unwrap();
}
