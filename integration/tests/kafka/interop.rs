//! python-socketio's Kafka manager on the same topic.

use std::sync::Arc;

use integration::DEADLINE;
use integration::brokers::KafkaBroker;
use integration::driven::Driven;
use manager_api::{ClientManager, Emitter};
use serde_json::{Value, json};

use super::{manager, next_message, options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_manager_hears_and_is_heard() {
    let kafka = KafkaBroker::shared().await;
    let options = options();
    let ours = Arc::new(manager(kafka.url(), &options));
    // Makes the topic, too.
    let mut subscription = ours.subscribe().await.unwrap();
    let mut python = Driven::python("py_kafka.py", &[kafka.url(), &options.common.channel]);
    python.until(2 * DEADLINE, |event| event["event"] == "ready").await;

    let emitter = Emitter::from_arc(ours.clone());
    emitter
        .to("lobby")
        .emit("news", &json!({ "größe": [1, null] }))
        .await
        .unwrap();
    let heard = python.until(DEADLINE, |event| event["event"] == "heard").await;
    let heard = &heard["message"];
    assert_eq!((&heard["method"], &heard["event"]), (&json!("emit"), &json!("news")));
    assert_eq!(heard["room"], "lobby");
    assert_eq!(heard["data"], json!([{ "größe": [1, null] }]));
    next_message(&mut subscription).await;

    let command = json!({ "cmd": "emit", "name": "back", "args": [{ "é": 2 }], "room": "lobby" });
    python.call(command).await;
    let message: Value = serde_json::from_slice(&next_message(&mut subscription).await).unwrap();
    assert_eq!(
        (&message["method"], &message["event"]),
        (&json!("emit"), &json!("back"))
    );
    assert_eq!(
        (&message["room"], &message["data"]),
        (&json!("lobby"), &json!([{ "é": 2 }]))
    );
    ours.close().await.unwrap();
}
