//! Exchanges and queues: what is declared on the broker, and the errors if they exist with other properties.

use std::time::Duration;

use bytes::Bytes;
use integration::brokers::{RabbitBroker, unique_channel};
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, ExchangeKind};
use manager_amqp::{AmqpManager, AmqpOptions, QueueKind};
use manager_api::{ClientManager, Error, ErrorKind, Incoming};
use tokio::time::{Instant, timeout};

use super::patient;
use crate::support::eventually;

fn on(channel: &str) -> AmqpOptions {
    let mut options = AmqpOptions::default();
    options.common.channel = channel.to_owned();
    options.common.backoff_base = Duration::from_millis(20);
    options
}

fn whole_text(error: &Error) -> String {
    let source = std::error::Error::source(error);
    format!("{error} {error:?} {source:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_declared_otherwise_is_an_error_that_names_the_difference() {
    let broker = RabbitBroker::shared().await;
    let name = unique_channel();
    let connection = Connection::connect(broker.url(), ConnectionProperties::default())
        .await
        .unwrap();
    let options = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let channel = connection.create_channel().await.unwrap();
    channel
        .exchange_declare(
            name.as_str().into(),
            ExchangeKind::Fanout,
            options,
            FieldTable::default(),
        )
        .await
        .unwrap();
    let manager = AmqpManager::new(broker.url(), patient(&name)).unwrap();
    let started = Instant::now();
    for error in [
        manager.publish("x".into()).await.unwrap_err(),
        manager.subscribe().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Config);
        let text = error.to_string();
        assert!(text.contains("durable") && text.contains(&name), "{text}");
    }
    assert!(started.elapsed() < integration::DEADLINE, "not after the deadline");

    let mut options = on(&name);
    options.exchange.is_durable = true;
    let manager = AmqpManager::new(broker.url(), options).unwrap();
    manager.publish("x".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_named_at_once_and_never_shown() {
    let broker = RabbitBroker::shared().await;
    let address = broker.url().rsplit('@').next().unwrap();
    for url in [
        format!("amqp://guest:s3cret@{address}"),
        format!("amqp://s0mebody:s3cret@{address}"),
    ] {
        let manager = AmqpManager::new(&url, patient("socketio")).unwrap();
        let started = Instant::now();
        let published = manager.publish("x".into()).await.unwrap_err();
        let subscribed = manager.subscribe().await.unwrap_err();
        assert!(started.elapsed() < integration::DEADLINE, "not after the deadline");
        for error in [published, subscribed] {
            assert_eq!(error.kind(), ErrorKind::Connect);
            let text = whole_text(&error);
            assert!(
                text.contains("ACCESS_REFUSED") && text.contains("password is wrong"),
                "{text}"
            );
            assert!(!text.contains("s3cret"), "{text}");
        }
        let shown = format!("{manager:?} {:?}", manager.health());
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_is_what_peers_declare_and_nothing_stays_behind() {
    let broker = RabbitBroker::start().await;
    let manager = AmqpManager::new(&broker.url(), on("socketio")).unwrap();
    manager.publish("x".into()).await.unwrap();
    let queues = || broker.control(&["list_queues", "--no-table-headers", "name"]);
    assert_eq!(queues().await.trim(), "", "a write-only manager has no queue");

    let _subscription = manager.subscribe().await.unwrap();
    let columns = ["name", "durable", "auto_delete", "exclusive", "arguments"];
    let listed = broker
        .control(&[&["list_queues", "--no-table-headers"], &columns[..]].concat())
        .await;
    let host_id = manager.host_id().unwrap();
    assert!(
        listed.starts_with(&format!("sio.{host_id}\tfalse\tfalse\tfalse\t")),
        "{listed}"
    );
    assert!(listed.contains("x-expires") && listed.contains("300000"), "{listed}");
    let columns = ["name", "type", "durable", "auto_delete"];
    let listed = broker
        .control(&[&["list_exchanges", "--no-table-headers"], &columns[..]].concat())
        .await;
    assert!(listed.contains("socketio\tfanout\tfalse\tfalse"), "{listed}");
    let listed = broker.control(&["list_connections", "client_properties"]).await;
    for role in ["publish", "listen"] {
        assert!(listed.contains(&format!("sio {host_id} {role}")), "{listed}");
    }

    manager.close().await.unwrap();
    assert_eq!(queues().await.trim(), "", "closing removes the queue");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_removed_by_an_operator_is_a_gap() {
    let broker = RabbitBroker::start().await;
    let manager = AmqpManager::new(&broker.url(), on("socketio")).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let queue = format!("sio.{}", manager.host_id().unwrap());
    broker.control(&["delete_queue", &queue]).await;
    let incoming = timeout(Duration::from_secs(20), subscription.recv()).await.unwrap();
    assert!(matches!(incoming, Some(Incoming::Gap { .. })), "{incoming:?}");
    manager.publish("x".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("x".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_durable_queue_on_a_durable_exchange_is_found_again_after_a_restart() {
    let mut broker = RabbitBroker::start().await;
    let mut options = on("durable");
    options.exchange.is_durable = true;
    options.queue.kind = QueueKind::Durable;
    let manager = AmqpManager::new(&broker.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("before".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("before".into())));
    broker.restart().await;
    while manager.publish("after".into()).await.is_err() {}
    let incoming = timeout(Duration::from_secs(60), subscription.recv()).await.unwrap();
    assert_eq!(incoming, Some(Incoming::Message("after".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_queue_ends_with_its_connection() {
    let broker = RabbitBroker::shared().await;
    let mut options = on(&unique_channel());
    options.queue.kind = QueueKind::Exclusive;
    let manager = AmqpManager::new(broker.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("x".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("x".into())));
    manager.close().await.unwrap();
    assert_eq!(subscription.recv().await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_was_deleted_is_noticed_in_silence() {
    let broker = RabbitBroker::shared().await;
    let name = unique_channel();
    let mut options = on(&name);
    options.check_interval = Duration::from_millis(100);
    let manager = AmqpManager::new(broker.url(), options).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let connection = Connection::connect(broker.url(), ConnectionProperties::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel
        .exchange_delete(name.as_str().into(), ExchangeDeleteOptions::default())
        .await
        .unwrap();
    let incoming = timeout(Duration::from_secs(20), subscription.recv()).await.unwrap();
    assert!(matches!(incoming, Some(Incoming::Gap { .. })), "{incoming:?}");
    manager.publish("x".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("x".into())));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_are_not_sent_far_ahead_of_a_slow_subscriber() {
    const LEN: usize = 100_000;
    const COUNT: usize = 150;
    let broker = RabbitBroker::start().await;
    let mut options = on("socketio");
    options.common.max_buffered_bytes = 8 * LEN;
    options.common.deadline = Duration::from_secs(60);
    let listener = AmqpManager::new(&broker.url(), options.clone()).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    let publisher = AmqpManager::new(&broker.url(), options).unwrap();
    let numbered = |number: usize| {
        let mut message = vec![b'x'; LEN];
        message[0] = number as u8;
        Bytes::from(message)
    };
    // The first one tells how large they are.
    publisher.publish(numbered(0)).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message(numbered(0))));
    for number in 1..COUNT {
        publisher.publish(numbered(number)).await.unwrap();
    }
    let columns = ["messages", "messages_unacknowledged"];
    let listed = broker
        .control(&[&["list_queues", "--no-table-headers"], &columns[..]].concat())
        .await;
    let numbers: Vec<usize> = listed
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect();
    let [left, ahead] = numbers[..] else { panic!("{listed}") };
    assert!(left > COUNT / 2, "the broker keeps what there is no room for: {listed}");
    assert!(ahead <= 8, "{ahead} large messages were sent ahead");
    for number in 1..COUNT {
        assert_eq!(subscription.recv().await, Some(Incoming::Message(numbered(number))));
    }
    // Small ones come many at a time again, and none is lost on the way there.
    for number in 0..1000 {
        publisher.publish(number.to_string().into()).await.unwrap();
    }
    for number in 0..1000 {
        let expected = Bytes::from(number.to_string());
        assert_eq!(subscription.recv().await, Some(Incoming::Message(expected)));
    }
    assert_eq!(listener.health().num_gaps, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_emits_over_amqp() {
    let broker = RabbitBroker::shared().await;
    let name = unique_channel();
    let manager = AmqpManager::new(broker.url(), on(&name)).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let emitted = tokio::process::Command::new(integration::tools::sio())
        .args([
            "emit",
            "--url",
            broker.url(),
            "--channel",
            &name,
            "--room",
            "r",
            "news",
            "1",
        ])
        .output()
        .await
        .unwrap();
    assert!(emitted.status.success(), "{emitted:?}");
    let incoming = timeout(Duration::from_secs(20), subscription.recv()).await.unwrap();
    let Some(Incoming::Message(message)) = incoming else {
        panic!("{incoming:?}")
    };
    let message: serde_json::Value = serde_json::from_slice(&message).unwrap();
    assert_eq!((&message["event"], &message["room"]), (&"news".into(), &"r".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_takes_leave_of_the_broker_and_says_nothing() {
    let broker = RabbitBroker::start().await;
    let emitted = tokio::process::Command::new(integration::tools::sio())
        .args(["emit", "--url", &broker.url(), "news", "1"])
        .output()
        .await
        .unwrap();
    assert!(emitted.status.success(), "{emitted:?}");
    let said = String::from_utf8_lossy(&emitted.stderr).into_owned();
    for word in ["ERROR", "channel", "panicked", "lapin"] {
        assert!(!said.contains(word), "{said}");
    }
    eventually("the broker saw a farewell", || {
        broker.log().contains("closing AMQP connection")
    })
    .await;
    let log = broker.log();
    assert!(!log.contains("closed TCP connection"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_ends_while_it_connects_does_not_panic() {
    // Accepts and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("amqp://{}", silent.local_addr().unwrap());
    let emitted = tokio::process::Command::new(integration::tools::sio())
        .args(["emit", "--url", &url, "news", "1"])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&emitted.stderr).into_owned();
    assert_eq!(emitted.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked") && !said.contains("ERROR"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_no_queue_receives_is_accepted_and_counted() {
    let broker = RabbitBroker::shared().await;
    let manager = AmqpManager::new(broker.url(), on(&unique_channel())).unwrap();
    manager.publish("nothing listens".into()).await.unwrap();
    assert_eq!(manager.health().num_unheard, 1);
    let mut subscription = manager.subscribe().await.unwrap();
    manager.publish("heard".into()).await.unwrap();
    assert_eq!(subscription.recv().await, Some(Incoming::Message("heard".into())));
    assert_eq!(manager.health().num_unheard, 1);
}
