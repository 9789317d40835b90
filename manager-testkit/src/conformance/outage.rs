//! Cases of managers during and after an outage. Each stops its broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use manager_api::{ClientManager, Incoming, Subscription};
use tokio::time::Instant;

use super::Backend;
use super::support::*;

/// A restart of the broker yields a gap where messages may be missed, then messages again.
pub async fn a_broker_restart_yields_a_gap_then_messages(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    manager.publish(numbered(0)).await.expect("publish");
    expect_numbers(&mut subscription, 1).await;
    for number in 1..4 {
        backend.restart().await;
        if backend.restart_loses_messages() {
            until_gap(&mut subscription).await;
        }
        soon("publish", publish_until_accepted(&*manager, number)).await;
        assert_eq!(number_of(&next_message(&mut subscription).await), number);
    }
}

/// Under load, each message that a restart loses is reported by a gap or by the publisher's error.
pub async fn a_restart_under_load_loses_nothing_silently(backend: &dyn Backend) {
    let options = options();
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publisher = backend.manager(options).await;
    let is_over = AtomicBool::new(false);
    let load = publish_while(&*publisher, &is_over);
    let restart = async {
        let mut received = receive(&mut subscription, 200).await;
        backend.restart().await;
        let mut gaps = num_gaps(&received);
        while backend.restart_loses_messages() && gaps == 0 {
            received.push(next(&mut subscription).await);
            gaps = num_gaps(&received);
        }
        received.extend(receive(&mut subscription, 200).await);
        is_over.store(true, Ordering::SeqCst);
        received
    };
    let (accepted, mut received) = tokio::join!(load, restart);
    let last = accepted.last().copied();
    while last_number(&received) < last {
        received.push(next(&mut subscription).await);
    }
    assert_no_silent_loss(&received, &accepted);
}

/// While the broker is down a publish fails with a retryable error, at the deadline and not earlier.
pub async fn a_publish_while_the_broker_is_down_fails_within_the_deadline(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    let manager = backend.manager(options.clone()).await;
    soon("publish", publish_until_accepted(&*manager, 0)).await;
    backend.stop().await;
    // The first may still use the connection that is breaking.
    let _ = manager.publish(numbered(1)).await;
    for manager in [manager, backend.manager(options.clone()).await] {
        let started = Instant::now();
        let failed = manager.publish(numbered(2)).await.expect_err("the broker is down");
        let took = started.elapsed();
        assert!(failed.is_retryable(), "{failed:?}");
        assert!(took <= options.deadline + SLACK, "took {took:?}");
        assert!(took >= options.deadline / 2, "gave up after {took:?}: {failed}");
    }
    backend.start().await;
}

/// A publish waits for the broker to come back, on a connection that broke and on a first one.
pub async fn a_publish_waits_for_the_broker_to_come_back(backend: &dyn Backend) {
    let options = options();
    let used = backend.manager(options.clone()).await;
    used.publish(numbered(0)).await.expect("publish");
    backend.stop().await;
    until_down(&*used).await;
    let unused = backend.manager(options).await;
    let mut waiting = Box::pin(async { tokio::join!(used.publish(numbered(1)), unused.publish(numbered(2))) });
    assert!(waiting.as_mut().now_or_never().is_none());
    let (accepted, ()) = tokio::join!(waiting, backend.start());
    accepted.0.expect("accepted after the broker came back");
    accepted.1.expect("accepted after the broker came back");
}

/// While the broker is down a subscribe fails with a retryable error within the deadline.
pub async fn a_subscribe_while_the_broker_is_down_fails_within_the_deadline(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    backend.stop().await;
    let manager = backend.manager(options.clone()).await;
    let started = Instant::now();
    let failed = manager.subscribe().await.expect_err("the broker is down");
    assert!(failed.is_retryable(), "{failed:?}");
    let took = started.elapsed();
    assert!(took <= options.deadline + SLACK, "took {took:?}");
    backend.start().await;
}

/// A subscribe waits for the broker to come back, up to the deadline.
pub async fn a_subscribe_waits_for_the_broker_to_come_back(backend: &dyn Backend) {
    backend.stop().await;
    let manager = backend.manager(options()).await;
    let mut waiting = manager.subscribe();
    assert!(waiting.as_mut().now_or_never().is_none());
    let (subscribed, ()) = tokio::join!(waiting, backend.start());
    let mut subscription = subscribed.expect("subscribed after the broker came back");
    soon("publish", publish_until_accepted(&*manager, 0)).await;
    expect_numbers(&mut subscription, 1).await;
}

/// Closing while the broker is down fails the messages that cannot be flushed, and releases everything, within the
/// deadline.
pub async fn close_while_the_broker_is_down_releases_everything(backend: &dyn Backend) {
    let options = hasty_options(backend).await;
    let manager = backend.manager(options.clone()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    manager.publish(numbered(0)).await.expect("publish");
    backend.stop().await;
    until_down(&*manager).await;
    let started = Instant::now();
    let (published, _closed) = tokio::join!(manager.publish(numbered(1)), manager.close());
    published.expect_err("the broker is down");
    while soon("end of the stream", subscription.recv()).await.is_some() {}
    let took = started.elapsed();
    assert!(took <= 2 * options.deadline + SLACK, "took {took:?}");
    backend.start().await;
}

/// Health has the time of the connections, the latest failure, and the counters.
pub async fn health_tells_since_when_and_the_last_error(backend: &dyn Backend) {
    let manager = backend.manager(hasty_options(backend).await).await;
    let fresh = manager.health();
    assert!(fresh.publishing_since.is_none() && fresh.listening_since.is_none());
    assert!(fresh.last_error.is_none());
    let mut subscription = manager.subscribe().await.expect("subscribe");
    for number in 0..3 {
        manager.publish(numbered(number)).await.expect("publish");
    }
    expect_numbers(&mut subscription, 3).await;
    let healthy = manager.health();
    assert!(healthy.publishing_since.is_some() && healthy.listening_since.is_some());
    assert_eq!((healthy.num_published, healthy.num_received), (3, 3));
    assert_eq!((healthy.num_publish_failures, healthy.num_gaps), (0, 0));

    backend.stop().await;
    until_down(&*manager).await;
    // A manager that reports to listen without a connection would pass every health check.
    let is_deaf = || async { manager.health().listening_since.is_none() };
    eventually("it no longer says that it listens", is_deaf).await;
    let down = manager.health();
    assert!(down.publishing_since.is_none());
    assert!(down.last_error.is_some_and(|(_, text)| !text.is_empty()));
    assert!(down.num_publish_failures > 0);

    backend.start().await;
    soon("publish", publish_until_accepted(&*manager, 3)).await;
    if backend.restart_loses_messages() {
        until_gap(&mut subscription).await;
        assert!(manager.health().num_gaps > 0);
    }
    let since = || async { manager.health().publishing_since.is_some() && manager.health().listening_since.is_some() };
    eventually("both connections are back", since).await;
    assert!(manager.health().num_published > 3);
}

/// Publishes until a publish fails: only then has the manager noticed the outage.
async fn until_down(manager: &dyn ClientManager) {
    let failed = async {
        loop {
            let soon = tokio::time::timeout(Duration::from_secs(2), manager.publish(numbered(0)));
            if !matches!(soon.await, Ok(Ok(()))) {
                break;
            }
        }
    };
    soon("the broker's absence is noticed", failed).await;
}

/// Publishes increasing numbers and returns those that were accepted.
async fn publish_while(publisher: &dyn ClientManager, is_over: &AtomicBool) -> Vec<usize> {
    let mut accepted = Vec::new();
    for number in 0.. {
        match publisher.publish(numbered(number)).await {
            Ok(()) => accepted.push(number),
            Err(error) => assert!(error.is_retryable(), "{error:?}"),
        }
        tokio::task::yield_now().await;
        if is_over.load(Ordering::SeqCst) {
            break;
        }
    }
    accepted
}

/// Receives `count` items.
async fn receive(subscription: &mut Subscription, count: usize) -> Vec<Incoming> {
    let mut received = Vec::with_capacity(count);
    for _ in 0..count {
        received.push(next(subscription).await);
    }
    received
}

/// Counts the gaps.
fn num_gaps(received: &[Incoming]) -> usize {
    received.iter().filter(|i| matches!(i, Incoming::Gap { .. })).count()
}

/// Returns the number of the last message.
fn last_number(received: &[Incoming]) -> Option<usize> {
    received.iter().rev().find_map(|incoming| match incoming {
        Incoming::Message(message) => Some(number_of(message)),
        _ => None,
    })
}
