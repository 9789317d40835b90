//! Cases of `publish` while the broker is up.

use futures_util::FutureExt;
use futures_util::future::join_all;
use manager_api::{ErrorKind, ManagerOptions};

use super::Backend;
use super::support::*;

/// Many publishes may be in flight; they keep the order in which their futures were first polled.
pub async fn many_publishes_in_flight_keep_order(backend: &dyn Backend) {
    const COUNT: usize = 3000;
    let options = options();
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publisher = backend.manager(options).await;
    let accepted = join_all((0..COUNT).map(|number| publisher.publish(numbered(number))));
    let receive = expect_numbers(&mut subscription, COUNT);
    let (accepted, ()) = tokio::join!(accepted, receive);
    assert!(accepted.iter().all(Result::is_ok));
}

/// Bytes in flight are bounded: over the limit a publish waits its turn. A message larger than the limit is sent alone.
pub async fn bytes_in_flight_are_bounded_and_waiting_publishes_keep_order(backend: &dyn Backend) {
    const COUNT: usize = 500;
    let options = ManagerOptions {
        max_in_flight_bytes: 4096,
        ..options()
    };
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publisher = backend.manager(options).await;
    let len_of = |number| if number == COUNT / 2 { 10_000 } else { 1000 };
    let messages = (0..COUNT).map(|number| padded(number, len_of(number)));
    let accepted = join_all(messages.map(|message| publisher.publish(message)));
    let receive = expect_numbers(&mut subscription, COUNT);
    let (accepted, ()) = tokio::join!(accepted, receive);
    assert!(accepted.iter().all(Result::is_ok));
}

/// A message over `max_message_bytes` is refused before it is sent; one of exactly that size is not.
pub async fn a_message_that_is_too_large_is_refused(backend: &dyn Backend) {
    let options = ManagerOptions {
        max_message_bytes: 1000,
        ..options()
    };
    let manager = backend.manager(options).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    let refused = manager.publish(padded(7, 1001)).await.expect_err("one byte too many");
    assert_eq!(refused.kind(), ErrorKind::TooLarge);
    assert!(!refused.is_retryable());
    manager.publish(padded(0, 1000)).await.expect("publish");
    expect_numbers(&mut subscription, 1).await;
}

/// Dropping a publish ends its waiting; other publishes are accepted and keep their order.
pub async fn a_cancelled_publish_harms_no_other(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    let mut kept = Vec::new();
    for number in 0..200 {
        let mut publish = Box::pin(manager.publish(numbered(number)));
        let accepted = publish.as_mut().now_or_never();
        if number % 2 == 0 || accepted.is_some() {
            drop(publish);
        } else {
            kept.push((number, publish));
        }
    }
    let mut expected = Vec::new();
    for (number, publish) in kept {
        publish.await.expect("publish");
        expected.push(number);
    }
    manager.publish(numbered(200)).await.expect("publish");
    expected.push(200);
    let mut received = Vec::new();
    while received.last() != Some(&200) {
        received.push(number_of(&next_message(&mut subscription).await));
    }
    assert!(received.is_sorted_by(|a, b| a < b), "{received:?}");
    assert!(expected.iter().all(|number| received.contains(number)));
}
