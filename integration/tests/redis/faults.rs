//! Brokers that die, freeze, cut, refuse, or are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use manager_api::{ClientManager, ErrorKind, Incoming, ManagerOptions, Subscription};
use manager_redis::{RedisManager, RedisOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use super::server::{Server, free_port};
use crate::support::whole_text;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Options with which every fault is noticed soon.
pub(crate) fn hasty() -> RedisOptions {
    RedisOptions {
        common: ManagerOptions {
            deadline: Duration::from_secs(1),
            backoff_base: Duration::from_millis(20),
            backoff_cap: Duration::from_millis(100),
            ..ManagerOptions::default()
        },
        connect_timeout: Duration::from_millis(500),
        keepalive_interval: Duration::from_millis(200),
        keepalive_timeout: Duration::from_millis(400),
        ..RedisOptions::default()
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Incoming {
    let incoming = timeout(PATIENCE, subscription.recv()).await;
    incoming.expect("something comes").expect("the subscription goes on")
}

pub(crate) async fn expect_message(subscription: &mut Subscription, expected: &'static str) {
    assert_eq!(next(subscription).await, Incoming::Message(expected.into()));
}

pub(crate) async fn until_gap(subscription: &mut Subscription) {
    while !matches!(next(subscription).await, Incoming::Gap { .. }) {}
}

pub(crate) async fn until_published(manager: &RedisManager, message: &'static str) {
    let published = async {
        while let Err(error) = manager.publish(message.into()).await {
            assert!(error.is_retryable(), "{error:?}");
        }
    };
    timeout(PATIENCE, published).await.expect("accepted at last");
}

#[tokio::test]
async fn a_frozen_server_is_noticed_and_its_return_too() {
    let server = Server::start().await;
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("before".into()).await.unwrap();
    expect_message(&mut subscription, "before").await;

    server.freeze().await;
    let started = Instant::now();
    let lost = manager.publish("lost".into()).await.unwrap_err();
    assert!(lost.is_retryable(), "{lost:?}");
    let second = manager.publish("second".into()).await.unwrap_err();
    assert!(
        second.is_retryable() && second.to_string().contains("no answer"),
        "{second}"
    );
    assert!(started.elapsed() < Duration::from_secs(4));
    let health = || manager.health();
    while health().listening_since.is_some() {
        sleep(Duration::from_millis(10)).await;
        assert!(started.elapsed() < PATIENCE, "the subscriber never noticed");
    }
    assert!(health().publishing_since.is_none());

    server.thaw().await;
    until_gap(&mut subscription).await;
    until_published(&manager, "after").await;
    expect_message(&mut subscription, "after").await;
}

#[tokio::test]
async fn a_server_slower_than_the_deadline_keeps_its_connection() {
    let server = Server::start().await;
    let mut options = hasty();
    options.keepalive_timeout = Duration::from_secs(60);
    let manager = RedisManager::new(&server.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("before".into()).await.unwrap();
    let since = manager.health().publishing_since;
    server.freeze().await;
    let started = Instant::now();
    let late = manager.publish("late".into()).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Timeout);
    assert!(started.elapsed() < Duration::from_secs(2));
    server.thaw().await;
    manager.publish("after".into()).await.unwrap();
    for expected in ["before", "late", "after"] {
        expect_message(&mut subscription, expected).await;
    }
    let health = manager.health();
    assert_eq!(health.publishing_since, since);
    assert_eq!((health.num_published, health.num_publish_failures), (2, 1));
}

#[tokio::test]
async fn an_idle_server_that_answers_is_left_alone() {
    let server = Server::start().await;
    let options = RedisOptions {
        keepalive_interval: Duration::from_millis(20),
        ..hasty()
    };
    let manager = RedisManager::new(&server.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("a".into()).await.unwrap();
    let until = server.num_hellos().await + 20;
    while server.num_hellos().await < until {
        tokio::task::yield_now().await;
    }
    manager.publish("b".into()).await.unwrap();
    expect_message(&mut subscription, "a").await;
    expect_message(&mut subscription, "b").await;
    assert!(manager.health().last_error.is_none());
}

#[tokio::test]
async fn cut_connections_are_replaced() {
    let server = Server::start().await;
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("before".into()).await.unwrap();
    expect_message(&mut subscription, "before").await;
    for _ in 0..3 {
        for kind in ["pubsub", "normal"] {
            let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).to_owned();
            let num_killed: usize = server.command(&kill).await.unwrap();
            assert!(num_killed > 0);
        }
        until_gap(&mut subscription).await;
        until_published(&manager, "after").await;
        expect_message(&mut subscription, "after").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_with_many_in_flight_every_caller_is_answered_and_nothing_is_lost_silently() {
    const CALLERS: usize = 64;
    let server = Server::start().await;
    let mut options = hasty();
    options.common.deadline = Duration::from_secs(10);
    let manager = Arc::new(RedisManager::new(&server.url(), options).unwrap());
    let mut subscription = manager.subscribe().await.unwrap();
    let num_answered = AtomicUsize::new(0);
    let callers = (0..CALLERS).map(|caller| publish_300(&manager, caller, &num_answered));
    let outage = async {
        while num_answered.load(Ordering::Relaxed) < CALLERS * 50 {
            tokio::task::yield_now().await;
        }
        server.kill().await;
        server.restart().await;
    };
    let (accepted, ()) = tokio::join!(join_all(callers), outage);
    let num_accepted: usize = accepted.iter().map(Vec::len).sum();
    assert!(num_accepted >= CALLERS * 298, "one message a caller is lost at most");

    until_published(&manager, "end").await;
    let (received, num_gaps) = receive_until_end(&mut subscription).await;
    assert_eq!(num_gaps, 1);
    let mut once = received.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), received.len(), "nothing comes twice");
}

/// Receives until the message `end`: the messages, and how many gaps there were.
async fn receive_until_end(subscription: &mut Subscription) -> (Vec<Bytes>, usize) {
    let (mut received, mut num_gaps) = (Vec::new(), 0);
    loop {
        match next(subscription).await {
            Incoming::Message(message) if message == "end" => return (received, num_gaps),
            Incoming::Message(message) => received.push(message),
            _ => num_gaps += 1,
        }
    }
}

/// Publishes 300 messages one after the other, each once; returns those that were accepted.
async fn publish_300(manager: &RedisManager, caller: usize, num_answered: &AtomicUsize) -> Vec<Bytes> {
    let mut accepted = Vec::new();
    for number in 0..300 {
        let message = Bytes::from(format!("{caller} {number}"));
        match manager.publish(message.clone()).await {
            Ok(()) => accepted.push(message),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Publish, "{error:?}"),
        }
        num_answered.fetch_add(1, Ordering::Relaxed);
    }
    accepted
}

#[tokio::test]
async fn a_wrong_password_is_named_at_once_and_never_shown() {
    let server = Server::start_with(&["--requirepass", "right"]).await;
    let port = server.port;
    for url in [
        format!("redis://:s3cret@127.0.0.1:{port}"),
        format!("redis://someone:s3cret@127.0.0.1:{port}"),
        format!("redis://127.0.0.1:{port}"),
    ] {
        let manager = RedisManager::new(&url, RedisOptions::default()).unwrap();
        let started = Instant::now();
        let published = manager.publish("x".into()).await.unwrap_err();
        let subscribed = manager.subscribe().await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(5), "not after the deadline");
        for error in [published, subscribed] {
            assert_eq!(error.kind(), ErrorKind::Connect);
            let text = whole_text(&error);
            assert!(
                text.contains("authentication failed") && text.contains("127.0.0.1"),
                "{text}"
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
        let shown = format!("{manager:?} {:?}", manager.health());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
    let manager = RedisManager::new(&server.url(), RedisOptions::default()).unwrap();
    manager.publish("x".into()).await.unwrap();
}

#[tokio::test]
async fn a_missing_server_is_named_with_host_and_cause() {
    let port = free_port();
    let manager = RedisManager::new(&format!("redis://u:s3cret@127.0.0.1:{port}"), hasty()).unwrap();
    for error in [
        manager.publish("x".into()).await.unwrap_err(),
        manager.subscribe().await.unwrap_err(),
    ] {
        let expected = format!("cannot reach the broker within 1 s: Redis at 127.0.0.1:{port}: connection refused");
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.kind(), ErrorKind::Connect);
        let source = std::error::Error::source(&error).and_then(std::error::Error::source);
        assert!(source.is_some_and(|source| source.is::<redis::RedisError>()));
        assert!(!whole_text(&error).contains("s3cret"));
    }
    let unknown = RedisManager::new("redis://host.invalid", hasty()).unwrap();
    let error = unknown.publish("x".into()).await.unwrap_err();
    assert!(error.to_string().contains("host.invalid"), "{error}");
}

/// Accepts connections, says `greeting` and closes or not; counts.
async fn impostor(greeting: &'static [u8], closes: bool) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let num_accepted = Arc::new(AtomicUsize::new(0));
    let count = num_accepted.clone();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.write_all(greeting).await;
            if !closes {
                open.push(stream);
            }
        }
    });
    (url, num_accepted)
}

#[tokio::test]
async fn what_is_no_redis_is_an_error_and_is_not_hammered() {
    for (greeting, closes) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false),
        (b"", false),
        (b"", true),
        // Good until the first publish.
        (b"*0\r\n", true),
        (b"*0\r\n:1\r\n:1\r\n:1\r\n", false),
        (b"*0\r\n*1000000\r\n", false),
        (b"*0\r\n+OK\r\n", false),
        (b"*0\r\n-\r\n", false),
    ] {
        let (url, num_accepted) = impostor(greeting, closes).await;
        let manager = RedisManager::new(&url, hasty()).unwrap();
        let started = Instant::now();
        let (published, subscribed) = tokio::join!(manager.publish("x".into()), manager.subscribe());
        if let Err(error) = published {
            assert_eq!(error.is_retryable(), !greeting.starts_with(b"HTTP"), "{error:?}");
        } else {
            assert!(greeting.ends_with(b":1\r\n"), "accepted by {greeting:?}");
        }
        drop(subscribed);
        assert!(started.elapsed() < Duration::from_secs(3));
        let num_accepted = num_accepted.load(Ordering::SeqCst);
        assert!(num_accepted <= 100, "{num_accepted} connections");
    }
}

/// Answers HELLO and closes the connection on PUBLISH; counts those.
async fn closes_on_publish() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let num_publishes = Arc::new(AtomicUsize::new(0));
    let count = num_publishes.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut seen = Vec::new();
            while !seen.ends_with(b"there or not\r\n") && stream.read_buf(&mut seen).await.unwrap() > 0 {
                if seen.ends_with(b"HELLO\r\n$1\r\n2\r\n") {
                    stream.write_all(b"*2\r\n$4\r\nrole\r\n$6\r\nmaster\r\n").await.unwrap();
                }
            }
            let text = String::from_utf8_lossy(&seen);
            count.fetch_add(text.matches("PUBLISH").count(), Ordering::SeqCst);
        }
    });
    (url, num_publishes)
}

#[tokio::test]
async fn what_was_sent_is_never_sent_again() {
    let (url, num_publishes) = closes_on_publish().await;
    let manager = RedisManager::new(&url, hasty()).unwrap();
    for num_sent in 1..=3 {
        let error = manager.publish("there or not".into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Publish, "{error:?}");
        assert!(error.to_string().contains("may have been published"), "{error}");
        assert_eq!(num_publishes.load(Ordering::SeqCst), num_sent);
    }
}

#[tokio::test]
async fn while_down_the_queue_is_bounded_and_every_caller_is_answered() {
    let mut options = hasty();
    options.common.max_in_flight_bytes = 4096;
    let manager = RedisManager::new(&format!("redis://127.0.0.1:{}", free_port()), options).unwrap();
    let started = Instant::now();
    let message = Bytes::from(vec![0; 1000]);
    let answers = join_all((0..100).map(|_| manager.publish(message.clone()))).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Connect);
    }
    assert_eq!(manager.health().num_publish_failures, 100);
}

#[tokio::test]
async fn a_message_over_the_limit_of_the_receiver_is_skipped_and_admitted() {
    let server = Server::start().await;
    let sender = RedisManager::new(&server.url(), hasty()).unwrap();
    let mut options = hasty();
    options.common.max_message_bytes = 1000;
    let receiver = RedisManager::new(&server.url(), options).unwrap();
    let mut subscription = receiver.subscribe().await.unwrap();
    sender.publish("before".into()).await.unwrap();
    sender.publish(Bytes::from(vec![b'x'; 3 << 20])).await.unwrap();
    sender.publish("after".into()).await.unwrap();
    expect_message(&mut subscription, "before").await;
    assert!(matches!(next(&mut subscription).await, Incoming::Gap { .. }));
    expect_message(&mut subscription, "after").await;
}

#[tokio::test]
async fn nothing_is_opened_before_first_use_and_nothing_is_left_after_close() {
    let server = Server::start().await;
    let num_clients = || async {
        let list: String = server.command(redis::cmd("CLIENT").arg("LIST")).await.unwrap();
        // One asks.
        list.lines().count() - 1
    };
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    assert_eq!(num_clients().await, 0);
    manager.publish("a".into()).await.unwrap();
    assert_eq!(num_clients().await, 1);
    let _subscription = manager.subscribe().await.unwrap();
    assert_eq!(num_clients().await, 2);
    manager.close().await.unwrap();
    let gone = async {
        while num_clients().await > 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone).await.expect("both connections are closed");
}

#[tokio::test]
async fn a_dropped_manager_sends_what_it_took() {
    let server = Server::start().await;
    let witness = RedisManager::new(&server.url(), hasty()).unwrap();
    let mut subscription = witness.subscribe().await.unwrap();
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    let pending = futures_util::FutureExt::now_or_never(manager.publish("last words".into()));
    assert!(pending.is_none());
    drop(manager);
    expect_message(&mut subscription, "last words").await;
}

#[tokio::test]
async fn closing_on_a_frozen_server_ends_within_the_deadline() {
    let server = Server::start().await;
    let mut options = hasty();
    options.keepalive_timeout = Duration::from_secs(60);
    let manager = RedisManager::new(&server.url(), options).unwrap();
    manager.publish("a".into()).await.unwrap();
    server.freeze().await;
    let started = Instant::now();
    let (published, closed) = tokio::join!(manager.publish("b".into()), manager.close());
    assert!(published.unwrap_err().is_retryable());
    assert!(closed.unwrap_err().is_retryable());
    assert!(started.elapsed() < Duration::from_secs(3));
    server.thaw().await;
}

#[test]
fn a_manager_outlives_a_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let keeper = runtime();
    let server = keeper.block_on(Server::start());
    let manager = RedisManager::new(&server.url(), hasty()).unwrap();
    for _ in 0..2 {
        runtime().block_on(manager.publish("x".into())).unwrap();
    }
    drop((server, keeper));
}
