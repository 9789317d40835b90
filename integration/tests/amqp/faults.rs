//! RabbitMQ cut off, restarted, frozen and out of memory, under numbered messages.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use integration::brokers::{RabbitBroker, unique_channel};
use integration::proxy::TcpProxy;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming, Subscription};
use tokio::time::{Instant, sleep, timeout};

/// The longest wait for an event that must happen; on a busy machine a broker takes half a minute to start.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time for a wait of one second and for connecting, on a busy machine.
const SOON: Duration = Duration::from_secs(8);

/// Options with short waits.
fn hasty(channel: &str) -> AmqpOptions {
    let mut options = AmqpOptions {
        heartbeat: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(2),
        ..AmqpOptions::default()
    };
    options.common.channel = channel.to_owned();
    options.common.backoff_base = Duration::from_millis(20);
    options.common.backoff_cap = Duration::from_millis(200);
    options
}

async fn next(subscription: &mut Subscription) -> Incoming {
    let next = timeout(PATIENCE, subscription.recv()).await;
    next.expect("something comes").expect("the subscription goes on")
}

/// Receives until the message `end`: the numbers, and how many gaps there were.
async fn until_end(subscription: &mut Subscription) -> (Vec<u64>, usize) {
    let (mut numbers, mut num_gaps) = (Vec::new(), 0);
    loop {
        match next(subscription).await {
            Incoming::Message(message) if message == "end" => return (numbers, num_gaps),
            Incoming::Message(message) => numbers.push(std::str::from_utf8(&message).unwrap().parse().unwrap()),
            _ => num_gaps += 1,
        }
    }
}

fn numbered(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

/// Publishes each number once, many in flight; returns those that were accepted.
async fn publish(manager: &AmqpManager, range: std::ops::Range<u64>) -> Vec<u64> {
    let mut accepted = Vec::new();
    let numbers: Vec<_> = range.collect();
    for batch in numbers.chunks(64) {
        let published = join_all(batch.iter().map(|number| manager.publish(numbered(*number)))).await;
        for (number, published) in batch.iter().zip(published) {
            match published {
                Ok(()) => accepted.push(*number),
                Err(error) => assert!(error.is_retryable(), "{error:?}"),
            }
        }
    }
    accepted
}

async fn end(manager: &AmqpManager) {
    let accepted = async { while manager.publish("end".into()).await.is_err() {} };
    timeout(PATIENCE, accepted).await.expect("the end is accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_cut_off_under_load_loses_nothing_and_sees_nothing_twice() {
    const COUNT: u64 = 30_000;
    let broker = RabbitBroker::shared().await;
    let (proxy, through) = TcpProxy::before(broker.url()).await;
    let channel = unique_channel();
    let listener = AmqpManager::new(&through, hasty(&channel)).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = AmqpManager::new(broker.url(), hasty(&channel)).unwrap();
    let load = async {
        let accepted = publish(&publisher, 0..COUNT).await;
        end(&publisher).await;
        accepted
    };
    let cuts = async {
        let mut num_cuts = 0;
        while publisher.health().num_published < COUNT {
            proxy.connections(1).await;
            let seen = listener.health().num_received;
            while listener.health().num_received < seen + 500 && publisher.health().num_published < COUNT {
                sleep(Duration::from_millis(1)).await;
            }
            proxy.cut().await;
            num_cuts += 1;
            proxy.restore();
        }
        num_cuts
    };
    let (accepted, num_cuts, (received, num_gaps)) = tokio::join!(load, cuts, until_end(&mut subscription));
    assert!(num_cuts >= 3, "{num_cuts} cuts");
    assert_eq!(accepted.len() as u64, COUNT);
    assert_eq!(received, accepted, "after {num_cuts} cuts");
    assert_eq!(num_gaps, 0);
    listener.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_cut_off_under_load_tells_what_may_be_lost_and_repeats_nothing() {
    let broker = RabbitBroker::shared().await;
    let (proxy, through) = TcpProxy::before(broker.url()).await;
    let channel = unique_channel();
    let listener = AmqpManager::new(broker.url(), hasty(&channel)).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = AmqpManager::new(&through, hasty(&channel)).unwrap();
    let load = async {
        let accepted = publish(&publisher, 0..10_000).await;
        end(&publisher).await;
        accepted
    };
    let cuts = async {
        for round in 1..=3 {
            while publisher.health().num_published < round * 1500 {
                sleep(Duration::from_millis(1)).await;
            }
            proxy.cut().await;
            proxy.restore();
        }
    };
    let (accepted, (), (received, num_gaps)) = tokio::join!(load, cuts, until_end(&mut subscription));
    assert_eq!(num_gaps, 0);
    assert!(received.is_sorted_by(|a, b| a < b), "in order, nothing twice");
    let mut received = received.into_iter();
    assert!(
        accepted
            .iter()
            .all(|number| received.any(|received| received == *number)),
        "what was accepted came"
    );
    assert!(accepted.len() < 10_000, "the cuts met messages on their way");
    assert!(accepted.len() > 9_000, "{} of 10,000 were accepted", accepted.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_connection_is_noticed_and_its_queue_taken_over_in_order() {
    let broker = RabbitBroker::shared().await;
    let (proxy, through) = TcpProxy::before(broker.url()).await;
    let channel = unique_channel();
    let listener = AmqpManager::new(&through, hasty(&channel)).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = AmqpManager::new(broker.url(), hasty(&channel)).unwrap();
    publish(&publisher, 0..1000).await;
    proxy.stall();
    publish(&publisher, 1000..2000).await;
    // The broker still believes in the old connection when the new one is made.
    while listener.health().listening_since.is_some() {
        sleep(Duration::from_millis(5)).await;
    }
    proxy.restore();
    publish(&publisher, 2000..3000).await;
    end(&publisher).await;
    let (received, num_gaps) = until_end(&mut subscription).await;
    assert_eq!(received, (0..3000).collect::<Vec<_>>());
    assert_eq!(num_gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_broker_fails_publishes_in_time_and_loses_nothing() {
    let broker = RabbitBroker::start().await;
    let mut options = hasty("socketio");
    options.common.deadline = Duration::from_secs(2);
    let listener = AmqpManager::new(&broker.url(), options.clone()).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = AmqpManager::new(&broker.url(), options).unwrap();
    let mut accepted = publish(&publisher, 0..500).await;
    broker.freeze().await;
    let started = Instant::now();
    let frozen = join_all((500..600).map(|number| publisher.publish(numbered(number)))).await;
    assert!(started.elapsed() < integration::DEADLINE, "{:?}", started.elapsed());
    for error in frozen {
        let error = error.unwrap_err();
        assert!(error.is_retryable());
        assert!(error.to_string().contains("may have been published"), "{error}");
    }
    // Longer than every timeout.
    while listener.health().listening_since.is_some() {
        sleep(Duration::from_millis(5)).await;
    }
    broker.thaw();
    let back = async { while publisher.publish(numbered(600)).await.is_err() {} };
    timeout(PATIENCE, back).await.unwrap();
    accepted.push(600);
    accepted.extend(publish(&publisher, 601..1000).await);
    end(&publisher).await;
    let (received, num_gaps) = until_end(&mut subscription).await;
    assert_eq!(num_gaps, 0, "the queue was there all the time");
    let mut rest = received.iter().filter(|number| !(500..=600).contains(*number));
    assert!(accepted.iter().filter(|number| **number != 600).eq(rest.by_ref()));
    assert!(received.contains(&600));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_out_of_memory_fails_publishes_at_the_deadline_and_takes_them_again_afterwards() {
    let broker = RabbitBroker::start().await;
    let mut options = hasty("socketio");
    options.common.deadline = Duration::from_secs(2);
    options.common.max_in_flight_bytes = 64 << 10;
    let manager = AmqpManager::new(&broker.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish(numbered(0)).await.unwrap();
    broker.raise_memory_alarm().await;
    let started = Instant::now();
    let published = join_all((1..1001).map(|number| manager.publish(numbered(number)))).await;
    assert!(started.elapsed() < integration::DEADLINE, "{:?}", started.elapsed());
    for error in published {
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Timeout);
    }
    let error = manager.publish(numbered(1001)).await.unwrap_err();
    assert!(error.to_string().contains("takes no messages"), "{error}");
    assert!(manager.health().listening_since.is_some(), "listening goes on");
    broker.clear_memory_alarm().await;
    end(&manager).await;
    let (received, num_gaps) = until_end(&mut subscription).await;
    assert!(received.is_sorted_by(|a, b| a < b), "in order, nothing twice");
    assert_eq!((received[0], num_gaps), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_limit_of_the_receiver_is_skipped_and_admitted() {
    let broker = RabbitBroker::shared().await;
    let channel = unique_channel();
    let mut generous = hasty(&channel);
    generous.common.max_message_bytes = 64 << 20;
    let sender = AmqpManager::new(broker.url(), generous).unwrap();
    let receiver = AmqpManager::new(broker.url(), hasty(&channel)).unwrap();
    let mut subscription = receiver.subscribe().await.unwrap();
    sender.publish("before".into()).await.unwrap();
    sender.publish(Bytes::from(vec![b'x'; 33 << 20])).await.unwrap();
    sender.publish("after".into()).await.unwrap();
    assert_eq!(next(&mut subscription).await, Incoming::Message("before".into()));
    assert!(matches!(next(&mut subscription).await, Incoming::Gap { .. }));
    assert_eq!(next(&mut subscription).await, Incoming::Message("after".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_is_back_soon_however_often_it_was_cut_off() {
    let broker = RabbitBroker::shared().await;
    let (proxy, through) = TcpProxy::before(broker.url()).await;
    let mut options = hasty(&unique_channel());
    // As by default.
    options.common.backoff_base = Duration::from_secs(1);
    options.common.backoff_cap = Duration::from_secs(60);
    let listener = AmqpManager::new(&through, options).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    for round in 0..6 {
        proxy.cut().await;
        while listener.health().listening_since.is_some() {
            sleep(Duration::from_millis(1)).await;
        }
        proxy.restore();
        let since = Instant::now();
        while listener.health().listening_since.is_none() {
            sleep(Duration::from_millis(5)).await;
        }
        // Waits that double would be longer by the fifth.
        assert!(since.elapsed() < SOON, "{round}: {:?}", since.elapsed());
    }
    listener.publish("x".into()).await.unwrap();
    assert_eq!(next(&mut subscription).await, Incoming::Message("x".into()));
}
