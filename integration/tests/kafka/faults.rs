//! Faults of Kafka under numbered messages: connections cut, brokers restarted and frozen.

use std::time::Duration;

use futures_util::future::join_all;
use integration::brokers::KafkaBroker;
use manager_api::subscription::MIN_COST;
use manager_api::{ClientManager, Error, ErrorKind, Subscription};
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::time::{Instant, sleep, timeout};

use super::outages::SLACK;
use super::{manager, next_message, options, publish_at_last};

/// Number of messages that are published before the first is awaited.
const BURST: usize = 50;

/// Options with which nothing fails before the fault is over.
fn patient() -> KafkaOptions {
    let mut options = options();
    options.common.deadline = Duration::from_secs(60);
    options
}

/// Options with which a fault is an error soon.
fn hasty() -> KafkaOptions {
    let mut options = options();
    options.common.deadline = Duration::from_secs(2);
    options.request_timeout = Duration::from_secs(1);
    options
}

/// Publishes numbers from `first` on in bursts of which each is accepted before the next.
async fn publish_numbers(publisher: &KafkaManager, first: usize, count: usize) {
    for burst in (first..first + count).collect::<Vec<_>>().chunks(BURST) {
        let accepted = join_all(burst.iter().map(|number| publisher.publish(number.to_string().into()))).await;
        accepted.into_iter().collect::<Result<(), Error>>().expect("accepted");
    }
}

/// Receives `first..first + count` in order, nothing else in between, no gap.
async fn expect_numbers(subscription: &mut Subscription, first: usize, count: usize) {
    for expected in first..first + count {
        assert_eq!(next_message(subscription).await, expected.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_double_nothing_and_keep_the_order() {
    const ROUND: usize = 2000;
    let (_broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let url = format!("kafka://{}", proxy.addr());
    let options = patient();
    let server = manager(&url, &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&url, &options);
    for round in 0..5 {
        let first = round * ROUND;
        let cuts = async {
            expect_numbers(&mut subscription, first, ROUND / 2).await;
            proxy.cut().await;
            proxy.restore();
            expect_numbers(&mut subscription, first + ROUND / 2, ROUND / 2).await;
        };
        tokio::join!(publish_numbers(&publisher, first, ROUND), cuts);
    }
    assert_eq!(subscription.try_recv(), None);
    assert_eq!(server.health().num_gaps, 0);
    assert_eq!(publisher.health().num_publish_failures, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_lose_nothing_double_nothing_and_keep_the_order() {
    const ROUND: usize = 2000;
    let mut broker = KafkaBroker::start().await;
    let options = patient();
    let server = manager(&broker.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&broker.url(), &options);
    for round in 0..2 {
        let first = round * ROUND;
        let restart = async {
            expect_numbers(&mut subscription, first, ROUND / 2).await;
            broker.restart().await;
            expect_numbers(&mut subscription, first + ROUND / 2, ROUND / 2).await;
        };
        tokio::join!(publish_numbers(&publisher, first, ROUND), restart);
    }
    assert_eq!(subscription.try_recv(), None);
    assert_eq!(server.health().num_gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_is_noticed_and_its_return_too() {
    let broker = KafkaBroker::start().await;
    let options = hasty();
    let server = manager(&broker.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&broker.url(), &options);
    publish_at_last(&publisher, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    broker.freeze().await;
    let started = Instant::now();
    let overdue = publisher.publish("lost".into()).await.unwrap_err();
    assert!(overdue.is_retryable(), "{overdue:?}");
    assert!(overdue.to_string().contains(&broker.address()), "{overdue}");
    let took = started.elapsed();
    assert!(took < options.common.deadline + SLACK, "{took:?}");
    broker.thaw();
    publish_at_last(&publisher, "after").await;
    // The broker may have found the first one in its socket.
    while next_message(&mut subscription).await != "after" {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_given_up_is_never_sent() {
    let mut broker = KafkaBroker::start().await;
    let options = hasty();
    let server = manager(&broker.url(), &patient_on(&options));
    let mut subscription = server.subscribe().await.unwrap();
    let used = manager(&broker.url(), &options);
    publish_at_last(&used, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    broker.kill();
    let unused = manager(&broker.url(), &options);
    for publisher in [&used, &unused] {
        let given_up = publisher.publish("given up".into()).await.unwrap_err();
        assert_eq!(given_up.kind(), ErrorKind::Connect, "{given_up:?}");
        let said = given_up.to_string();
        assert!(said.contains(&broker.address()) && said.contains("efused"), "{said}");
    }
    broker.restart().await;
    for publisher in [&used, &unused] {
        publish_at_last(publisher, "after").await;
    }
    for _ in 0..2 {
        assert_eq!(next_message(&mut subscription).await, "after");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waited_for_room_until_it_was_given_up_is_never_sent() {
    const COUNT: usize = 20;
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let mut options = patient();
    let server = manager(&broker.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    // Room is made when the first ones are given up, long before the others are.
    options.common.deadline = Duration::from_secs(5);
    options.common.max_in_flight_bytes = 4 * MIN_COST;
    let publisher = manager(&format!("kafka://{}", proxy.addr()), &options);
    publish_at_last(&publisher, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    proxy.cut().await;
    let given_up = join_all((0..COUNT).map(|_| publisher.publish("given up".into()))).await;
    proxy.restore();
    for error in given_up {
        assert!(error.unwrap_err().is_retryable());
    }
    publish_at_last(&publisher, "after").await;
    assert_eq!(next_message(&mut subscription).await, "after");
    // All that librdkafka may still hold is sent before this.
    publisher.close().await.unwrap();
    publish_at_last(&server, "end").await;
    assert_eq!(next_message(&mut subscription).await, "end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_was_handed_over_late_is_taken_back_when_it_is_given_up() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let mut options = patient();
    let server = manager(&broker.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    options.common.deadline = Duration::from_secs(8);
    // So long that a message handed over in the last quarter of its time has not left yet when that is over.
    let publisher = manager(&format!("kafka://{}?linger.ms=6000", proxy.addr()), &options);
    proxy.cut().await;
    let late = async {
        sleep(options.common.deadline * 3 / 4).await;
        proxy.restore();
    };
    let (given_up, ()) = tokio::join!(publisher.publish("given up".into()), late);
    assert!(given_up.unwrap_err().is_retryable());
    publish_at_last(&publisher, "after").await;
    assert_eq!(next_message(&mut subscription).await, "after");
    publisher.close().await.unwrap();
    publish_at_last(&server, "end").await;
    assert_eq!(next_message(&mut subscription).await, "end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_subscription_leaves_no_connection() {
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let options = patient();
    let publisher = manager(&broker.url(), &options);
    let server = manager(&format!("kafka://{}", proxy.addr()), &options);
    for _ in 0..3 {
        let mut subscription = server.subscribe().await.unwrap();
        publish_at_last(&publisher, "x").await;
        assert_eq!(next_message(&mut subscription).await, "x");
        drop(subscription);
        let unused = timeout(Duration::from_secs(60), proxy.until_unused()).await;
        unused.expect("nothing consumes any more");
    }
}

/// The same topic with a deadline that never passes.
fn patient_on(options: &KafkaOptions) -> KafkaOptions {
    let mut options = options.clone();
    options.common.deadline = Duration::from_secs(60);
    options
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_without_an_answer_says_that_it_may_have_been_published_and_one_that_never_left_does_not() {
    const NOTE: &str = "may have been published";
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let mut options = hasty();
    let server = manager(&broker.url(), &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&format!("kafka://{}", proxy.addr()), &options);
    publish_at_last(&publisher, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    proxy.mute();
    let unanswered = publisher.publish("unanswered".into()).await.unwrap_err();
    assert_eq!(next_message(&mut subscription).await, "unanswered");
    assert!(unanswered.to_string().contains(NOTE), "{unanswered}");
    options.common.deadline = Duration::from_millis(500);
    let never_left = manager("kafka://127.0.0.1:1", &options)
        .publish("x".into())
        .await
        .unwrap_err();
    assert!(!never_left.to_string().contains(NOTE), "{never_left}");
}

/// With the options of every process, whose waits grow to a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_was_cut_for_long_is_used_again_within_five_seconds() {
    let (_broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let url = format!("kafka://{}", proxy.addr());
    let mut options = KafkaOptions::default();
    options.common.channel = integration::brokers::unique_channel();
    let server = manager(&url, &options);
    let mut subscription = server.subscribe().await.unwrap();
    let publisher = manager(&url, &options);
    publish_at_last(&publisher, "before").await;
    assert_eq!(next_message(&mut subscription).await, "before");
    proxy.cut().await;
    // So long that waits which double have become long.
    sleep(Duration::from_secs(20)).await;
    proxy.restore();
    let restored = Instant::now();
    publish_at_last(&publisher, "after").await;
    assert_eq!(next_message(&mut subscription).await, "after");
    let took = restored.elapsed();
    assert!(took < Duration::from_secs(5) + SLACK, "{took:?}");
}

/// With the options of every process. librdkafka doubles its wait at each cut, up to its cap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_is_back_soon_however_often_it_was_cut_off() {
    const CUTS: usize = 20;
    let (broker, proxy) = KafkaBroker::start_behind_proxy().await;
    let mut options = KafkaOptions::default();
    options.common.channel = integration::brokers::unique_channel();
    let listener = manager(&format!("kafka://{}", proxy.addr()), &options);
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = manager(&broker.url(), &options);
    for round in 0..CUTS {
        proxy.cut().await;
        proxy.restore();
        let since = Instant::now();
        let message = round.to_string();
        publish_at_last(&publisher, &message).await;
        assert_eq!(next_message(&mut subscription).await, message);
        let took = since.elapsed();
        assert!(took < Duration::from_secs(4) + SLACK, "cut {round}: {took:?}");
    }
    assert_eq!(listener.health().num_gaps, 0);
}

#[tokio::test]
async fn an_address_without_a_broker_is_an_error_with_address_and_cause() {
    let publisher = manager("kafka://127.0.0.1:1", &hasty());
    let (published, subscribed) = tokio::join!(publisher.publish("x".into()), publisher.subscribe());
    for (what, error) in [
        ("publish", published.unwrap_err()),
        ("subscribe", subscribed.unwrap_err()),
    ] {
        assert_eq!(error.kind(), ErrorKind::Connect, "{what}: {error:?}");
        let said = error.to_string();
        assert!(
            said.contains("127.0.0.1:1") && said.contains("efused"),
            "{what}: {said}"
        );
    }
    let closed = timeout(Duration::from_secs(5), publisher.close()).await;
    closed.expect("close ends").expect("nothing was left");
}
