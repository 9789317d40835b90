//! Servers and emitter of Node.js among themselves: where these fail, the scripts are at fault and
//! not sio.

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::driven::binary;
use integration::node::{NodeAdapter, NodeEmitter, NodeOptions, NodeServer, Target};
use serde_json::{Value, json};

/// Makes of each adapter one test.
macro_rules! clusters {
    ($($adapter:ident as $name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            two_servers_are_a_cluster(NodeAdapter::$adapter).await;
        })*
    };
}

clusters! {
    Classic as two_servers_by_pub_sub_are_a_cluster,
    ClassicSpecific as two_servers_with_a_response_channel_each_are_a_cluster,
    Sharded as two_servers_by_sharded_pub_sub_are_a_cluster,
    Streams as two_servers_by_streams_are_a_cluster,
    Streams02 as two_servers_by_streams_and_heartbeats_are_a_cluster,
    Postgres as two_servers_by_notifications_are_a_cluster,
}

async fn two_servers_are_a_cluster(adapter: NodeAdapter) {
    let options = NodeOptions::on(&unique_channel());
    let url = adapter.shared_url().await;
    let mut one = NodeServer::start(adapter, url, &options).await;
    let mut two = NodeServer::start(adapter, url, &options).await;
    let mut clients = Vec::new();
    for server in [&one, &two] {
        clients.push(connected(server).await);
    }
    one.until_server_count("/chat", 2).await;
    two.until_server_count("/chat", 2).await;

    let room = Target::room("/chat", "room");
    let args = json!([1, { "bytes": binary(b"\x00\xff") }]);
    one.emit(&room, "news", args.clone()).await;
    for client in &mut clients {
        let message = client.next_message(DEADLINE).await;
        assert_eq!(("news", &Value::from(message.args)), (&*message.name, &args));
    }

    let sockets = two.fetch_sockets(&room).await;
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    assert!(sockets.iter().all(|socket| socket.rooms.contains(&"room".to_owned())));

    let args = json!([1, { "no bytes": "the adapter by Pub/Sub has JSON for requests" }]);
    let asked = one.server_side_emit_with_ack("/chat", "ask", args.clone()).await;
    assert_eq!((asked.responses, asked.error), (vec![json!(1)], None));
    let event = two.server_event(DEADLINE).await;
    assert_eq!((&*event.name, Value::from(event.args)), ("ask", args));
}

/// A client in the room `room` of `/chat`.
async fn connected(server: &NodeServer) -> RealClient {
    let mut options = ConnectOptions::to(server.url()).only("websocket");
    options.namespace = "/chat".to_owned();
    let mut client = RealClient::connected(Kind::Node, &options).await;
    let joined = client.emit_with_ack("join", json!(["room"]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));
    client
}

#[tokio::test]
async fn an_emitter_reaches_the_clients_of_a_server() {
    let prefix = unique_channel();
    let url = RedisBroker::shared().await.url();
    let server = NodeServer::start(NodeAdapter::Classic, url, &NodeOptions::on(&prefix)).await;
    let mut client = connected(&server).await;
    let mut emitter = NodeEmitter::start(url, &prefix).await;
    let args = json!([{ "bytes": binary(b"\x00\xff") }]);
    emitter.emit(&Target::room("/chat", "room"), "news", args.clone()).await;
    let message = client.next_message(DEADLINE).await;
    assert_eq!((&*message.name, Value::from(message.args)), ("news", args));
}

#[tokio::test]
async fn every_command_of_a_server_reaches_the_client_of_another() {
    let options = NodeOptions::on(&unique_channel());
    let url = RedisBroker::shared().await.url();
    let mut one = NodeServer::start(NodeAdapter::Sharded, url, &options).await;
    let two = NodeServer::start(NodeAdapter::Sharded, url, &options).await;
    let mut client = connected(&two).await;
    one.until_server_count("/chat", 2).await;
    let all = Target::all("/chat");

    client.emit_with_ack("data", json!([{ "name": "x" }]), DEADLINE).await;
    one.sockets_join(&all, &["a", "b"]).await;
    one.sockets_leave(&Target::room("/chat", "a"), &["room"]).await;
    let sockets = one.fetch_sockets(&all).await;
    assert_eq!(sockets.len(), 1);
    assert_eq!(sockets[0].data, json!({ "name": "x" }));
    assert_eq!(sockets[0].rooms, [&*sockets[0].id, "a", "b"]);

    one.emit(&Target::room("/chat", "a").except("b"), "not for it", json!([]))
        .await;
    let (answers, ()) = tokio::join!(one.emit_with_ack(&all, "question", json!([]), DEADLINE), async {
        let question = client.next_message(DEADLINE).await;
        assert_eq!(question.name, "question", "the one before was not delivered");
        client.ack(question.ack.expect("asked"), json!(["yes"])).await;
    });
    assert_eq!((answers.responses, answers.error), (vec![json!("yes")], None));

    one.emit(&all.clone().volatile(), "volatile", json!([])).await;
    assert_eq!(client.next_message(DEADLINE).await.name, "volatile");
    one.disconnect_sockets(&Target::room("/chat", "b"), true).await;
    client.disconnected(DEADLINE).await;
}
