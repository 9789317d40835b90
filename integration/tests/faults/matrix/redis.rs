//! Redis keeps nothing: messages published while a listener is away are lost, and a gap is admitted.

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, cmd};
use integration::brokers::redis::ask;
use integration::brokers::{RedisBroker, unique_channel};
use integration::proxy::TcpProxy;
use manager_redis::{RedisManager, RedisOptions};
use tokio::time::sleep;

use super::Run;
use super::outage::{Cut, OUTAGE, cut_off_thrice, down_for_a_while, stand_still, until};
use super::run::options;

/// Listens by a manager that notices faults soon, and publishes in another process with the defaults.
async fn start(listen_at: &str, publish_at: &str) -> Run {
    let channel = unique_channel();
    let mut common = options(&channel);
    // More than any number takes.
    common.max_message_bytes = 1 << 10;
    let options = RedisOptions {
        common,
        keepalive_interval: Duration::from_millis(300),
        keepalive_timeout: Duration::from_secs(1),
        ..RedisOptions::default()
    };
    let listener = Arc::new(RedisManager::new(listen_at, options).unwrap());
    Run::start_with(listener, publish_at, &channel).await
}

async fn tell(url: &str, words: &[&str]) {
    let mut command = Cmd::new();
    words.iter().for_each(|word| {
        command.arg(word);
    });
    let _: ::redis::Value = ask(url, &command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_restarted_loses_nothing_silently() {
    let mut broker = RedisBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    for num_gaps in 1..=3 {
        broker.kill();
        broker.restart().await;
        run.until_gaps(num_gaps).await;
        run.flows(100).await;
    }
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_down_for_a_while_loses_nothing_silently() {
    let mut broker = RedisBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    down_for_a_while(&mut broker).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_loses_nothing_silently() {
    let broker = RedisBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    stand_still(&broker).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_cut_off_from_redis_loses_nothing_silently() {
    let broker = RedisBroker::start().await;
    let (proxy, url) = TcpProxy::before(&broker.url()).await;
    let run = start(&url, &broker.url()).await;
    cut_off_thrice(&proxy, &run, Cut::MakesGaps).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_cut_off_from_redis_loses_nothing_silently() {
    let broker = RedisBroker::start().await;
    let (proxy, url) = TcpProxy::before(&broker.url()).await;
    let run = start(&broker.url(), &url).await;
    cut_off_thrice(&proxy, &run, Cut::MissesNothing).await;
    run.balance().await.assert_nothing_lost();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_redis_kills_lose_nothing_silently() {
    let broker = RedisBroker::start().await;
    let run = start(&broker.url(), &broker.url()).await;
    for num_gaps in 1..=5 {
        tell(&broker.url(), &["CLIENT", "KILL", "TYPE", "normal"]).await;
        tell(&broker.url(), &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
        run.until_gaps(num_gaps).await;
        run.flows(100).await;
    }
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_over_the_output_limit_of_redis_loses_nothing_silently() {
    let broker = RedisBroker::start_with(&["--client-output-buffer-limit", "pubsub 64kb 64kb 1"]).await;
    let (proxy, url) = TcpProxy::before(&broker.url()).await;
    let run = start(&url, &broker.url()).await;
    proxy.stall();
    let noise = "x".repeat(1 << 20);
    // Fills what the sockets on the way hold, sooner than numbers do; too large for the listener, should it come.
    until("over the limit", async || {
        tell(&broker.url(), &["PUBLISH", &run.channel, &noise]).await;
        let clients: String = ask(&broker.url(), cmd("CLIENT").arg("LIST").arg("TYPE").arg("pubsub"))
            .await
            .unwrap();
        clients.trim().is_empty()
    })
    .await;
    proxy.restore();
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_redis_takes_away_and_gives_back_loses_nothing_silently() {
    let broker = RedisBroker::start().await;
    tell(
        &broker.url(),
        &["ACL", "SETUSER", "me", "on", ">pw", "&*", "+publish", "+subscribe"],
    )
    .await;
    let url = broker.url().replace("redis://", "redis://me:pw@");
    let run = start(&url, &broker.url()).await;
    tell(&broker.url(), &["ACL", "SETUSER", "me", "-subscribe"]).await;
    tell(&broker.url(), &["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    until("refused and unhealthy", async || {
        let health = run.health();
        health.num_refusals > 2 && health.listening_since.is_none()
    })
    .await;
    tell(&broker.url(), &["ACL", "SETUSER", "me", "+subscribe"]).await;
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_demoted_and_promoted_again_loses_nothing_silently() {
    let (broker, other) = tokio::join!(RedisBroker::start(), RedisBroker::start());
    let run = start(&broker.url(), &broker.url()).await;
    let (host, port) = parts(&other);
    tell(&broker.url(), &["REPLICAOF", &host, &port]).await;
    until("left", async || run.health().listening_since.is_none()).await;
    sleep(OUTAGE).await;
    tell(&broker.url(), &["REPLICAOF", "NO", "ONE"]).await;
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}

fn parts(broker: &RedisBroker) -> (String, String) {
    let address = broker.address();
    let (host, port) = address.rsplit_once(':').unwrap();
    (host.to_owned(), port.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_of_redis_by_its_sentinel_loses_nothing_silently() {
    let (master, replica) = tokio::join!(RedisBroker::start(), RedisBroker::start());
    let (host, port) = parts(&master);
    tell(&replica.url(), &["REPLICAOF", &host, &port]).await;
    until("replicated", async || {
        let info: String = ask(&replica.url(), cmd("INFO").arg("replication")).await.unwrap();
        info.contains("master_link_status:up")
    })
    .await;
    let file = master.folder().join("sentinel.conf");
    std::fs::write(&file, "").unwrap();
    let sentinel = RedisBroker::start_with(&[&file.display().to_string(), "--sentinel"]).await;
    tell(&sentinel.url(), &["SENTINEL", "MONITOR", "main", &host, &port, "1"]).await;
    tell(
        &sentinel.url(),
        &["SENTINEL", "SET", "main", "down-after-milliseconds", "1000"],
    )
    .await;
    let (_, new_port) = parts(&replica);
    until("the replica is known", async || {
        let known: ::redis::Value = ask(&sentinel.url(), cmd("SENTINEL").arg("REPLICAS").arg("main"))
            .await
            .unwrap();
        format!("{known:?}").contains(&new_port)
    })
    .await;
    let url = format!("redis+sentinel://{}/main", sentinel.address());
    let run = start(&url, &url).await;
    tell(&sentinel.url(), &["SENTINEL", "FAILOVER", "main"]).await;
    run.until_gaps(1).await;
    run.balance().await.assert_loss_is_admitted();
}
