//! Brokers that are away: the relay waits, unready, and acknowledges nothing.

use std::time::Duration;

use integration::brokers::redis::ask;
use integration::brokers::{Flavour, RedisBroker};
use integration::process::Process;
use integration::tools;
use tokio::process::Command;

use super::{Kind, RedisStream, acknowledged, page, ready};
use crate::support::within;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_acknowledged_while_the_servers_broker_is_away_and_all_is_emitted_after() {
    let mut broker = RedisBroker::try_start().await.unwrap();
    let mut source = RedisStream::new().await;
    let url = broker.url();
    let mut command = Command::new(tools::sio());
    command.arg("relay").args(source.arguments(1));
    command.args([
        "--event",
        "record",
        "--arg",
        "{/n}",
        "--url",
        &url,
        "--channel",
        "c",
        "--admin-listen",
        "0",
    ]);
    command.args(["--timeout", "1s"]);
    let mut relay = Process::spawn("sio relay", command);
    let address = ready(&mut relay).await;
    source.append_numbers(0..1).await;
    acknowledged(&address, 1).await;
    broker.kill();
    source.append_numbers(1..200).await;
    let reason = unready(&address).await;
    assert!(reason.contains("the broker does not accept events"), "{reason}");
    let (_, metrics) = page(&address, "/metrics").await;
    assert!(metrics.contains("sio_relay_acknowledged_total 1\n"), "{metrics}");
    // With the first and last entry, and the consumers.
    let pending: (u64, redis::Value, redis::Value, redis::Value) = ask(
        RedisBroker::shared().await.url(),
        redis::cmd("XPENDING").arg(&source.stream).arg("g"),
    )
    .await
    .unwrap();
    assert!(pending.0 > 0, "they are pending with the relay");
    broker.restart().await;
    let metrics = acknowledged(&address, 200).await;
    assert!(metrics.contains("sio_relay_emitted_total 200\n"), "{metrics}");
    assert_eq!(page(&address, "/health/ready").await.0, 200);
    relay.signal("TERM");
    assert!(relay.wait(integration::DEADLINE).await.success(), "{}", relay.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_away_makes_the_relay_unready_and_is_read_on_after() {
    let mut broker = RedisBroker::try_start().await.unwrap();
    let url = broker.url();
    let mut command = Command::new(tools::sio());
    command.args([
        "relay",
        "redis-stream",
        &url,
        "--stream",
        "s",
        "--event",
        "{/e}",
        "--admin-listen",
        "0",
    ]);
    command.args(["--url", RedisBroker::shared().await.url(), "--channel", "unheard"]);
    let mut relay = Process::spawn("sio relay", command);
    let address = ready(&mut relay).await;
    broker.kill();
    let reason = unready(&address).await;
    assert!(reason.contains("the source is not connected"), "{reason}");
    broker.restart().await;
    let add = redis::cmd("XADD")
        .arg("s")
        .arg("*")
        .arg("body")
        .arg("{\"e\":\"e\"}")
        .to_owned();
    let _id: String = ask(&url, &add).await.unwrap();
    acknowledged(&address, 1).await;
    relay.signal("INT");
    assert!(relay.wait(integration::DEADLINE).await.success(), "{}", relay.stderr());
}

/// Waits until the relay is not ready, and returns why.
async fn unready(address: &str) -> String {
    let mut reason = String::new();
    within("unreadiness", async {
        loop {
            let (status, body) = page(address, "/health/ready").await;
            if status == 503 {
                reason = body;
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    reason
}
