//! python-socketio's managers for RabbitMQ read what is written here, and the reverse.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::{RabbitBroker, unique_channel};
use integration::driven::Driven;
use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, Emitter, Incoming, Message, wire};
use serde_json::{Value, json};
use tokio::time::timeout;

/// What is emitted either way: text beyond ASCII, several arguments, bytes.
const ROOM: &str = "pokój";

async fn both_ways(kind: &str) {
    let url = RabbitBroker::shared().await.url();
    let channel = unique_channel();
    let mut options = AmqpOptions::default();
    options.common.channel = channel.clone();
    let manager = AmqpManager::new(url, options.clone()).unwrap();
    let mut subscription = manager.subscribe().await.unwrap();
    let mut peer = Driven::python("py_amqp.py", &[kind, url, &channel]);
    peer.until(DEADLINE, |event| event["event"] == "ready").await;

    let command = json!({ "name": "ev", "args": [1, "żółć", { "$bin": "AAH/" }], "room": ROOM });
    peer.call(command).await;
    let theirs = timeout(DEADLINE, subscription.recv()).await.unwrap();
    let Some(Incoming::Message(body)) = theirs else {
        panic!("{theirs:?}")
    };
    let Message::Emit(theirs) = wire::decode(&body).unwrap().message else {
        panic!("{body:?}")
    };
    assert_eq!(theirs.event.as_str(), "ev");
    assert_eq!(theirs.payload.attachments()[0], &b"\x00\x01\xff"[..]);

    let emitter = Emitter::new(AmqpManager::new(url, options).unwrap());
    let heard = until_listening(&mut peer, &emitter).await;
    assert_eq!(heard["body"]["event"], "probe");
    let payload = (1, "żółć", bytes::Bytes::from_static(b"\x00\x01\xff"));
    emitter.to(ROOM).emit("ev", &payload).await.unwrap();
    let ours = peer
        .until(DEADLINE, |event| {
            event["event"] == "heard" && event["body"]["event"] == "ev" && event["body"]["host_id"] != Value::Null && {
                event["body"]["data"][1] == "AAH/"
            }
        })
        .await;
    assert_eq!(ours["body"]["method"], "emit");
    assert_eq!(ours["body"]["room"], json!(ROOM));
    assert_eq!(ours["body"]["data"][0][1], "żółć");
}

/// The library does not tell when it listens, so it is called until it answers.
async fn until_listening(peer: &mut Driven, emitter: &Emitter) -> Value {
    let calling = async {
        loop {
            emitter.emit("probe", &()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        heard = peer.until(DEADLINE, |event| event["event"] == "heard" && event["body"]["event"] == "probe") => heard,
        () = calling => unreachable!("it calls for ever"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kombu_reads_what_we_write_and_the_reverse() {
    both_ways("kombu").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aio_pika_reads_what_we_write_and_the_reverse() {
    both_ways("aio_pika").await;
}
