//! Faults of Redis: cut off, frozen, or disconnecting a slow subscriber.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use integration::app::hasty;
use integration::brokers::RedisBroker;
use integration::brokers::redis::ask;
use integration::proxy::TcpProxy;
use manager_api::ClientManager;

use super::{CHANNEL, Host, ROOM, emit_all, emitter, end};
use crate::support::{Client, eventually, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_while_a_server_is_cut_off_is_lost_with_a_gap_and_nothing_else() {
    let broker = RedisBroker::start().await;
    let (proxy, through) = TcpProxy::before(&broker.url()).await;
    let host = Host::start(&through, hasty(CHANNEL)).await;
    let client = Client::connect(host.server.address, &[ROOM]).await.read();
    let emitter = emitter(&broker.url());
    for round in 0..3 {
        let first = round * 300;
        emit_all(&emitter, first..first + 100, "").await;
        client.until_len((round as usize + 1) * 200 - 100).await;
        proxy.cut().await;
        emit_all(&emitter, first + 100..first + 200, "").await;
        proxy.restore();
        eventually("a gap", || host.num_gaps() == round + 1).await;
        emit_all(&emitter, first + 200..first + 300, "").await;
        client.until_len((round as usize + 1) * 200).await;
    }
    end(&emitter).await;
    let seen = client.finish().await;
    let passed = (0..900).filter(|number| !(100..200).contains(&(number % 300)));
    assert_eq!(seen, passed.collect::<Vec<_>>());
    host.assert_loss_is_admitted(&seen, &(0..900).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_frozen_for_longer_than_the_deadline_is_found_again() {
    let broker = RedisBroker::start().await;
    let one = Host::start(&broker.url(), hasty(CHANNEL)).await;
    let two = Host::start(&broker.url(), hasty(CHANNEL)).await;
    let local = Client::connect(one.server.address, &[ROOM]).await.read();
    let remote = Client::connect(two.server.address, &[ROOM]).await.read();
    let emit = |number: u64| one.server.io.to(ROOM).emit("m", &("one", number, ""));
    let mut accepted = Vec::new();
    for number in 0..100 {
        emit(number).await.unwrap();
        accepted.push(number);
    }
    remote.until_len(100).await;

    broker.freeze().await;
    let started = Instant::now();
    for error in join_all((100..200).map(emit)).await {
        let error = error.expect_err("no broker can have accepted it");
        assert!(
            error.is_retryable() && error.to_string().contains(&broker.address()),
            "{error}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(11), "{:?}", started.elapsed());
    local.until_len(200).await;
    let is_deaf = || two.recorder.health().listening_since.is_none();
    eventually("the other server notices", is_deaf).await;
    broker.thaw();

    eventually("a gap", || two.num_gaps() > 0).await;
    let again = async {
        let mut number = 200;
        while let Err(error) = emit(number).await {
            assert!(error.is_retryable(), "{error}");
            number += 1;
        }
        number
    };
    let first_again = within("acceptance", again).await;
    accepted.push(first_again);
    end(&emitter(&broker.url())).await;
    let seen = local.finish().await;
    assert_eq!(seen, (0..=first_again).collect::<Vec<_>>());
    two.assert_loss_is_admitted(&remote.finish().await, &accepted);
}

/// Redis drops a subscriber for whom too much waits. That must not make a server deaf.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_over_redis_output_limit_admits_a_gap_and_goes_on() {
    const PADDING: usize = 16 << 10;
    // More than the buffers of both connections and the limit together hold.
    const COUNT: u64 = 2_000;
    let broker = RedisBroker::start_with(&["--client-output-buffer-limit", "pubsub 256kb 0 0"]).await;
    let (proxy, through) = TcpProxy::before(&broker.url()).await;
    // Redis is to end the connection, not the keep-alive.
    let mut options = hasty(CHANNEL);
    options.keepalive_interval = Duration::from_secs(3600);
    let host = Host::start(&through, options).await;
    let client = Client::connect(host.server.address, &[ROOM]).await.read();
    let emitter = emitter(&broker.url());
    let padding = "x".repeat(PADDING);
    emit_all(&emitter, 0..10, &padding).await;
    client.until_len(10).await;

    proxy.stall();
    emit_all(&emitter, 10..COUNT, &padding).await;
    let log = || broker.log();
    eventually("Redis drops the subscriber", || log().contains("output buffer limits")).await;
    proxy.restore();
    eventually("a gap", || host.num_gaps() > 0).await;
    emit_all(&emitter, COUNT..COUNT + 100, &padding).await;
    end(&emitter).await;

    let seen = client.finish().await;
    assert!(seen.ends_with(&(COUNT..COUNT + 100).collect::<Vec<_>>()), "{seen:?}");
    assert!(seen.len() < COUNT as usize, "some were lost");
    host.assert_loss_is_admitted(&seen, &(0..COUNT + 100).collect::<Vec<_>>());
}

/// Publishing takes no memory that Redis counts, so that a full one is full for others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_full_of_keys_passes_messages_all_the_same() {
    let broker = RedisBroker::start_with(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]).await;
    let host = Host::start(&broker.url(), hasty(CHANNEL)).await;
    let client = Client::connect(host.server.address, &[ROOM]).await.read();
    let value = "x".repeat(100_000);
    let mut refused = None;
    for number in 0..100 {
        let mut fill = redis::cmd("SET");
        fill.arg(number).arg(&value);
        refused = refused.or(ask::<()>(&broker.url(), &fill).await.err());
    }
    assert!(refused.is_some_and(|refused| refused.contains("OOM")), "it is full");
    let emitter = emitter(&broker.url());
    emit_all(&emitter, 0..100, "").await;
    end(&emitter).await;
    assert_eq!(client.finish().await, (0..100).collect::<Vec<_>>());
    assert_eq!(host.num_gaps(), 0);
}
