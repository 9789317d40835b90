//! Users of RabbitMQ who may do no more than they need.

use std::time::Duration;

use integration::brokers::RabbitBroker;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Incoming};
use tokio::time::timeout;

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
