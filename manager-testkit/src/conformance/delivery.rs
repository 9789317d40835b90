//! Cases of delivery: recipients, content and order.

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::join_all;
use manager_api::ManagerOptions;

use super::Backend;
use super::support::*;

/// A message reaches every subscriber, in this process and others, at most once.
pub async fn a_message_reaches_every_subscriber_once(backend: &dyn Backend) {
    let options = options();
    let publisher = backend.manager(options.clone()).await;
    let servers = [
        backend.manager(options.clone()).await,
        backend.manager(options.clone()).await,
    ];
    let mut subscriptions = Vec::new();
    for server in [&servers[0], &servers[1], &servers[1]] {
        subscriptions.push(server.subscribe().await.expect("subscribe"));
    }
    for number in 0..100 {
        publisher.publish(numbered(number)).await.expect("publish");
    }
    for subscription in &mut subscriptions {
        expect_numbers(subscription, 100).await;
        assert_eq!(subscription.try_recv(), None, "nothing comes twice");
    }
}

/// Messages of one publisher reach a subscriber in the order in which they were published, regardless of others.
pub async fn order_per_publisher_is_kept(backend: &dyn Backend) {
    const EACH: usize = 300;
    let options = options();
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publishers = join_all((0..3).map(|_| backend.manager(options.clone()))).await;
    let publish_all = join_all(publishers.iter().enumerate().map(|(index, publisher)| async move {
        for number in 0..EACH {
            let message = numbered(index * EACH + number);
            publisher.publish(message).await.expect("publish");
        }
    }));
    publish_all.await;
    let mut next_of = [0; 3];
    for _ in 0..3 * EACH {
        let number = number_of(&next_message(&mut subscription).await);
        let (index, number) = (number / EACH, number % EACH);
        assert_eq!(number, next_of[index], "of publisher {index}");
        next_of[index] += 1;
    }
}

/// Bytes arrive exactly: none, every value, line ends, a mebibyte.
pub async fn bytes_arrive_exactly(backend: &dyn Backend) {
    let every_value: Vec<u8> = (0..=255).collect();
    let mebibyte: Vec<u8> = every_value.iter().copied().cycle().take(1 << 20).collect();
    let messages = [
        Bytes::new(),
        Bytes::from_static(b"\r\n$5\r\n\r\n"),
        Bytes::from(every_value),
        Bytes::from(mebibyte),
        Bytes::from_static("größer than ASCII".as_bytes()),
    ];
    let options = options();
    let server = backend.manager(options.clone()).await;
    let mut subscription = server.subscribe().await.expect("subscribe");
    let publisher = backend.manager(options).await;
    for message in &messages {
        publisher.publish(message.clone()).await.expect("publish");
        let received = next_message(&mut subscription).await;
        assert!(received == *message, "{} bytes differ", message.len());
    }
}

/// A manager does not read messages: one that cannot be decoded passes, as does what follows.
pub async fn undecodable_bytes_pass(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    let messages = [&b"\xff\xfe{"[..], b"\x80\x04\x95pickle", b"{\"method\":", b"{}"];
    for message in messages {
        manager.publish(Bytes::from_static(message)).await.expect("publish");
    }
    for message in messages {
        assert_eq!(next_message(&mut subscription).await, message);
    }
}

/// Channels are isolated from each other, however alike their names.
pub async fn channels_are_isolated(backend: &dyn Backend) {
    let one = options();
    let other = ManagerOptions {
        channel: format!("{}-2", one.channel),
        ..one.clone()
    };
    let (one, other) = (backend.manager(one).await, backend.manager(other).await);
    let mut on_one = one.subscribe().await.expect("subscribe");
    let mut on_other = other.subscribe().await.expect("subscribe");
    for number in 0..20 {
        other.publish(numbered(1000 + number)).await.expect("publish");
        one.publish(numbered(number)).await.expect("publish");
    }
    expect_numbers(&mut on_one, 20).await;
    for number in 0..20 {
        assert_eq!(number_of(&next_message(&mut on_other).await), 1000 + number);
    }
    assert_eq!((on_one.try_recv(), on_other.try_recv()), (None, None));
}

/// A late subscriber receives nothing earlier.
pub async fn a_late_subscriber_sees_nothing_earlier(backend: &dyn Backend) {
    let options = options();
    let publisher = backend.manager(options.clone()).await;
    for number in 500..510 {
        publisher.publish(numbered(number)).await.expect("publish");
    }
    let late = backend.manager(options).await;
    let mut subscription = late.subscribe().await.expect("subscribe");
    publisher.publish(numbered(0)).await.expect("publish");
    expect_numbers(&mut subscription, 1).await;
    assert_eq!(subscription.recv().now_or_never(), None);
}

/// A manager's own subscription receives its own messages as well.
pub async fn own_messages_come_back(backend: &dyn Backend) {
    let manager = backend.manager(options()).await;
    let mut subscription = manager.subscribe().await.expect("subscribe");
    for number in 0..10 {
        manager.publish(numbered(number)).await.expect("publish");
    }
    expect_numbers(&mut subscription, 10).await;
}
