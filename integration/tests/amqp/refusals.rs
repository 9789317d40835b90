//! Users of RabbitMQ with minimal permissions.

use std::time::Duration;

use integration::brokers::RabbitBroker;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind, Incoming};
use tokio::time::{Instant, timeout};

use super::patient;

/// As `docs/brokers.md` recommends.
const SERVER: &str = r"^(socketio|sio\..*)$";
const EMITTER: &str = "^socketio$";
const NOTHING: &str = "^$";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_needs_the_exchange_and_its_queues_and_an_emitter_the_exchange() {
    let broker = RabbitBroker::start().await;
    for (user, [configure, write, read]) in [
        ("server", [SERVER, SERVER, SERVER]),
        ("emitter", [EMITTER, EMITTER, NOTHING]),
    ] {
        broker.control(&["add_user", user, "pw"]).await;
        broker.control(&["set_permissions", user, configure, write, read]).await;
    }
    let manager = |user: &str| {
        let url = format!("amqp://{user}:pw@{}", broker.address());
        AmqpManager::new(&url, AmqpOptions::default()).unwrap()
    };
    let server = manager("server");
    let mut subscription = server.subscribe().await.unwrap();
    for publisher in [&server, &manager("emitter")] {
        publisher.publish("allowed".into()).await.unwrap();
        let received = timeout(Duration::from_secs(60), subscription.recv()).await.unwrap();
        assert_eq!(received, Some(Incoming::Message("allowed".into())));
    }
    let refused = manager("emitter").subscribe().await.unwrap_err();
    assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_missing_right_is_named_at_once() {
    let broker = RabbitBroker::start().await;
    let everything = ".*";
    for (user, [configure, write, read]) in [
        ("configures-nothing", [NOTHING, everything, everything]),
        ("writes-nothing", [everything, NOTHING, everything]),
        ("writes-queues", [everything, "^sio", everything]),
        ("reads-queues", [everything, everything, r"^sio\."]),
        ("reads-exchange", [everything, everything, "^socketio$"]),
    ] {
        broker.control(&["add_user", user, "pw"]).await;
        broker.control(&["set_permissions", user, configure, write, read]).await;
    }
    broker.control(&["add_user", "stranger", "pw"]).await;
    for (user, vhost, subscribes, right) in [
        (
            "configures-nothing",
            "",
            false,
            "\"configure\" on the exchange \"socketio\"",
        ),
        (
            "configures-nothing",
            "",
            true,
            "\"configure\" on the exchange \"socketio\"",
        ),
        ("writes-nothing", "", false, "\"write\" on the exchange \"socketio\""),
        ("writes-nothing", "", true, "\"write\" on the queue \"sio."),
        ("reads-queues", "", true, "\"read\" on the exchange \"socketio\""),
        ("reads-exchange", "", true, "\"read\" on the exchange \"sio."),
        ("writes-queues", "nope", false, "no such virtual host"),
        ("stranger", "", true, "no rights in this virtual host"),
    ] {
        let url = format!("amqp://{user}:pw@{}/{vhost}", broker.address());
        let manager = AmqpManager::new(&url, patient("socketio")).unwrap();
        let since = Instant::now();
        let error = match subscribes {
            true => manager.subscribe().await.unwrap_err(),
            false => manager.publish("x".into()).await.unwrap_err(),
        };
        assert!(since.elapsed() < integration::DEADLINE, "{user}: {:?}", since.elapsed());
        assert_eq!(
            (error.kind(), error.is_refusal(), error.is_retryable()),
            (ErrorKind::Connect, true, false),
            "{user}: {error}"
        );
        let text = error.to_string();
        assert!(text.starts_with("cannot use") && text.contains(right), "{user}: {text}");
    }
}

/// It cannot prove that its queue is bound, and so admits a gap whenever a connection was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_may_not_write_to_the_exchange_listens_and_admits_gaps() {
    let broker = RabbitBroker::start().await;
    broker.control(&["add_user", "listener", "pw"]).await;
    let rights = [SERVER, r"^sio\.", SERVER];
    broker
        .control(&["set_permissions", "listener", rights[0], rights[1], rights[2]])
        .await;
    let url = format!("amqp://listener:pw@{}", broker.address());
    let listener = AmqpManager::new(&url, AmqpOptions::default()).unwrap();
    let mut subscription = listener.subscribe().await.unwrap();
    broker.control(&["close_all_connections", "because"]).await;
    let received = timeout(Duration::from_secs(60), subscription.recv()).await.unwrap();
    assert!(matches!(received, Some(Incoming::Gap { .. })), "{received:?}");
    let emitter = AmqpManager::new(&broker.url(), AmqpOptions::default()).unwrap();
    emitter.publish("heard".into()).await.unwrap();
    let received = timeout(Duration::from_secs(60), subscription.recv()).await.unwrap();
    assert_eq!(received, Some(Incoming::Message("heard".into())));
}
