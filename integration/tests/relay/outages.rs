//! Brokers that are away: the relay waits, unready, and acknowledges nothing.

use std::time::Duration;

use integration::brokers::redis::ask;
use integration::brokers::{Flavour, RabbitBroker, RedisBroker, unique_channel};
use integration::process::Process;
use integration::proxy::TcpProxy;
use integration::tools;
use manager_amqp::{QueueSource, QueueSourceOptions};
use manager_api::source::{Reading, Record, Source};
use tokio::process::Command;

use super::sources::Amqp;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_stream_whose_first_and_last_entry_are_large_is_read() {
    let redis = RedisBroker::shared().await;
    let stream = unique_channel();
    for _ in 0..2 {
        let add = redis::cmd("XADD")
            .arg(&stream)
            .arg("*")
            .arg("body")
            .arg("a".repeat(700_000))
            .to_owned();
        let _id: String = ask(redis.url(), &add).await.unwrap();
    }
    let mut command = Command::new(tools::sio());
    command.args([
        "relay",
        "redis-stream",
        redis.url(),
        "--stream",
        &stream,
        "--event",
        "e",
    ]);
    command.args(["--arg", "small", "--admin-listen", "0"]);
    command.args(["--url", redis.url(), "--channel", "unheard"]);
    let mut relay = Process::spawn("sio relay", command);
    let address = ready(&mut relay).await;
    acknowledged(&address, 2).await;
    relay.signal("TERM");
    assert!(relay.wait(integration::DEADLINE).await.success(), "{}", relay.stderr());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_on_a_lost_connection_of_a_queue_does_not_fail_for_ever() {
    let mut queue = Amqp::new().await;
    queue.append_numbers(0..1).await;
    let (proxy, through) = TcpProxy::before(RabbitBroker::shared().await.url()).await;
    let source = QueueSource::new(&through, QueueSourceOptions::new(&*queue.queue)).unwrap();
    let first = next_record(&source).await.position;
    proxy.cut().await;
    // Nobody reads: a reader may wait until these records are acknowledged.
    within("a failure, and then none", async {
        while source.acknowledge(std::slice::from_ref(&first)).await.is_ok() {
            tokio::task::yield_now().await;
        }
        while source.acknowledge(std::slice::from_ref(&first)).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    proxy.restore();
    assert!(next_record(&source).await.is_redelivered);
}

/// Reads the next record, through failures.
async fn next_record(source: &QueueSource) -> Record {
    within("a record", async {
        loop {
            if let Ok(Reading::Records(records)) = source.next().await
                && let Some(record) = records.into_iter().next()
            {
                return record;
            }
        }
    })
    .await
}

/// Waits until the relay is not ready, and returns why.
pub(super) async fn unready(address: &str) -> String {
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
