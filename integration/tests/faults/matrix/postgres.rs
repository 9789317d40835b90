//! PostgreSQL keeps messages: only those that were deleted from the log are lost.

use std::sync::Arc;
use std::time::Duration;

use integration::brokers::postgres::{PostgresBroker, ask};
use integration::brokers::unique_channel;
use integration::proxy::TcpProxy;
use manager_postgres::{PostgresManager, PostgresOptions};

use super::Run;
use super::outage::{Cut, cut_off_thrice, down_for_a_while, stand_still, until};
use super::run::options;

/// Listens by a manager that notices faults soon, and publishes in another process with the defaults.
async fn start(listen_at: &str, publish_at: &str) -> Run {
    let channel = unique_channel();
    let options = PostgresOptions {
        common: options(&channel),
        keepalive_interval: Duration::from_millis(300),
        keepalive_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        ..PostgresOptions::default()
    };
    let listener = Arc::new(PostgresManager::new(listen_at, options).unwrap());
    Run::start_with(listener, publish_at, &channel).await
}

/// Ends the connections of one purpose, as an operator does.
async fn terminate(url: &str, purpose: &str) {
    let statement =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'sio {purpose}'");
    ask(url, &statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_restarted_loses_nothing() {
    let mut broker = PostgresBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    for _ in 0..3 {
        broker.kill();
        broker.restart().await;
        run.flows(100).await;
    }
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_for_a_while_loses_nothing() {
    let mut broker = PostgresBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    down_for_a_while(&mut broker).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_loses_nothing() {
    let broker = PostgresBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    stand_still(&broker).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_or_a_publisher_cut_off_from_a_database_loses_nothing() {
    let broker = PostgresBroker::start().await;
    for is_listener in [true, false] {
        let (proxy, through) = TcpProxy::before(&broker.url()).await;
        let run = match is_listener {
            true => start(&through, &broker.url()).await,
            false => start(&broker.url(), &through).await,
        };
        cut_off_thrice(&proxy, &run, Cut::MissesNothing).await;
        run.balance().await.assert_nothing_lost();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_an_operator_terminates_lose_nothing() {
    let broker = PostgresBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    for _ in 0..5 {
        terminate(&broker.url(), "listen").await;
        terminate(&broker.url(), "publish").await;
        run.flows(100).await;
    }
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_truncated_while_a_listener_is_away_loses_nothing_silently() {
    let broker = PostgresBroker::start().await;
    let (proxy, through) = TcpProxy::before(&broker.url()).await;
    let run = start(&through, &broker.url()).await;
    proxy.cut().await;
    until("some are unread", async || {
        let rows = ask(&broker.url(), "SELECT count(*) FROM sio.message").await.unwrap();
        rows[0][0].parse::<u64>().unwrap() > 200
    })
    .await;
    ask(&broker.url(), "TRUNCATE sio.message").await.unwrap();
    proxy.restore();
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_is_taken_away_and_given_back_loses_nothing() {
    let broker = PostgresBroker::start().await;
    let url = broker.url();
    ask(
        &url,
        "CREATE ROLE me LOGIN; GRANT USAGE ON SCHEMA sio TO me; GRANT SELECT ON ALL TABLES IN SCHEMA sio TO me",
    )
    .await
    .unwrap();
    let run = start(&url.replacen("postgres@", "me@", 1), &url).await;
    ask(&url, "REVOKE SELECT ON ALL TABLES IN SCHEMA sio FROM me")
        .await
        .unwrap();
    until("refused and unhealthy", async || {
        let health = run.health();
        health.num_refusals > 2 && health.listening_since.is_none()
    })
    .await;
    ask(&url, "GRANT SELECT ON ALL TABLES IN SCHEMA sio TO me")
        .await
        .unwrap();
    run.flows(100).await;
    run.balance().await.assert_nothing_lost();
}
