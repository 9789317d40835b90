//! Cases of subscriptions while the broker is up, and of what they leave at the broker.

use futures_util::FutureExt;
use manager_api::{Incoming, ManagerOptions};

use super::Backend;
use super::support::*;

/// Dropping a pending receive loses nothing.
pub async fn dropping_a_pending_receive_loses_nothing(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    let mut received = Vec::new();
    for number in 0..200 {
        // Polled once and dropped, possibly just as a message arrives.
        let early = subscription.recv().now_or_never().flatten();
        received.extend(early);
        manager.publish(numbered(number)).await.expect("publish");
    }
    while received.len() < 200 {
        received.push(next(&mut subscription).await);
    }
    let expected: Vec<_> = (0..200).map(|number| Incoming::Message(numbered(number))).collect();
    assert_eq!(received, expected);
}

/// Dropping a subscription ends it at the broker as well; others continue.
pub async fn dropping_a_subscription_ends_it(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    let dropped = manager.subscribe().await.expect("subscribe");
    let mut kept = manager.subscribe().await.expect("subscribe");
    drop(dropped);
    manager.publish(numbered(0)).await.expect("publish");
    expect_numbers(&mut kept, 1).await;
    drop(kept);
    until_no_consumer(backend, &options.channel).await;
}

/// Dropping a pending subscribe leaves no subscription behind.
pub async fn dropping_a_pending_subscribe_leaves_nothing_behind(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    for _ in 0..10 {
        drop(manager.subscribe().now_or_never());
    }
    until_no_consumer(backend, &options.channel).await;
}

/// A manager without subscriptions leaves no consumer, queue or group at the broker.
pub async fn a_publisher_only_manager_leaves_nothing_behind(backend: &dyn Backend) {
    let options = options();
    let manager = backend.manager(options.clone()).await;
    manager.publish(numbered(0)).await.expect("publish");
    assert_eq!(backend.num_consumers(&options.channel).await, 0);
    manager.close().await.expect("close");
    assert_eq!(backend.num_consumers(&options.channel).await, 0);
}

/// A slow subscriber costs bounded memory, delays no publisher, and receives either every message or a gap.
pub async fn a_slow_subscriber_is_bounded_and_loses_nothing_silently(backend: &dyn Backend) {
    // More than a socket's buffers and a broker's limit for one subscriber together.
    const COUNT: usize = 700;
    const LEN: usize = 128 << 10;
    let options = ManagerOptions {
        max_buffered_bytes: 1 << 20,
        ..options()
    };
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publisher = backend.manager(options.clone()).await;
    for number in 0..COUNT {
        publisher.publish(padded(number, LEN)).await.expect("publish");
    }
    let num_held = server.health().num_received as usize;
    let slack = 4 << 20;
    assert!(
        num_held * LEN <= options.max_buffered_bytes + slack,
        "{num_held} messages held"
    );
    let mut received = Vec::new();
    while !is_complete(&received, COUNT - 1) {
        received.push(next(&mut subscription).await);
    }
    let accepted: Vec<_> = (0..COUNT).collect();
    if received.iter().any(|incoming| matches!(incoming, Incoming::Gap { .. })) {
        // Messages after the gap are received again.
        publisher.publish(numbered(COUNT)).await.expect("publish");
        while !is_message(received.last(), COUNT) {
            received.push(next(&mut subscription).await);
        }
    }
    assert_no_silent_loss(&received, &accepted);
}

/// Returns whether the last message is there, or a gap in its place.
fn is_complete(received: &[Incoming], last: usize) -> bool {
    matches!(received.last(), Some(Incoming::Gap { .. })) || is_message(received.last(), last)
}

/// Returns whether an item is the message with this number.
fn is_message(incoming: Option<&Incoming>, number: usize) -> bool {
    matches!(incoming, Some(Incoming::Message(message)) if number_of(message) == number)
}

/// Waits until the broker has no consumer of the channel.
async fn until_no_consumer(backend: &dyn Backend, channel: &str) {
    let is_gone = || async { backend.num_consumers(channel).await == 0 };
    eventually("the broker forgets the subscriber", is_gone).await;
}
