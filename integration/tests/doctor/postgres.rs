//! PostgreSQL: the installation, rights, poolers, standbys, other channels.

use integration::brokers::postgres::{BARE, Pooler, PostgresBroker, ask};
use integration::brokers::unique_channel;
use manager_postgres::PostgresOptions;
use manager_postgres::schema::{Installation, install};

use super::{Diagnosis, a_channel_with_a_server_is_healthy, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_channel_is_called_healthy() {
    a_channel_with_a_server_is_healthy(PostgresBroker::shared().await.url(), &unique_channel()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_silent_behind_or_of_another_time_and_pickles_are_named() {
    let url = PostgresBroker::shared().await.url();
    super::servers_and_publishers_that_are_not_well_are_named(url, &unique_channel()).await;
}

/// One after the other, on one server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_misconfiguration_of_a_database_is_named() {
    let broker = PostgresBroker::start_with(&[BARE]).await;
    let url = broker.url();
    let quick = ["--timeout", "8s"];
    Diagnosis::of(&url, "socketio", &quick)
        .await
        .names("not-installed", "sio postgres install")
        .lacks("no-server");
    Diagnosis::of(&format!("{url}_none"), "socketio", &quick)
        .await
        .names("database-missing", "postgres_none");
    let mut brief = Installation {
        retention: Some(std::time::Duration::from_secs(5)),
        ..Installation::default()
    };
    install(&url, &PostgresOptions::default(), &brief).await.unwrap();
    Diagnosis::of(&url, "socketio", &[])
        .await
        .names("short-retention", "5 s")
        .names("no-server", "no process listens")
        .lacks("other-channel");
    brief.retention = Some(std::time::Duration::from_secs(600));
    install(&url, &PostgresOptions::default(), &brief).await.unwrap();
    ask(
        &url,
        "CREATE ROLE emitter LOGIN; GRANT USAGE ON SCHEMA sio TO emitter; SELECT sio.publish('elsewhere', ARRAY['x'::bytea])",
    )
    .await
    .unwrap();
    let emitter = url.replacen("postgres@", "emitter@", 1);
    Diagnosis::of(&emitter, "socketio", &[])
        .await
        .names("missing-right", "GRANT SELECT ON ALL TABLES");
    Diagnosis::of(&url, "socketio", &[])
        .await
        .names("other-channel", "elsewhere");
    let _server = server(&url, "socketio").await;
    Diagnosis::of(&url, "socketio", &[]).await.is_healthy();
    let pooled = format!("server = {}", broker.address());
    let pooler = Pooler::start_with(&[&pooled, "pool_mode = transaction"]).await;
    Diagnosis::of(&pooler.url(), "socketio", &[])
        .await
        .names("pooler", "pool_mode = transaction")
        .names("pooler", "pool_mode = session");
}
