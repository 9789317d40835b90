//! What passes between a fleet of python-socketio and one of Node.

use integration::DEADLINE;
use integration::client::RealClient;
use integration::driven::binary;
use integration::node::Target;
use serde_json::{Value, json};
use tokio::time::Duration;

use super::support::{Ends, Fleets};

/// Makes of each pair of fleets a module with one test for each feature.
macro_rules! joined {
    ($($ends:ident as $module:ident),* $(,)?) => {
        $(mod $module {
            use super::*;

            #[tokio::test]
            async fn events_of_either_fleet_reach_the_clients_of_both() {
                super::events_of_either_fleet_reach_the_clients_of_both(Ends::$ends).await;
            }

            #[tokio::test]
            async fn clients_of_the_other_fleet_enter_and_leave_rooms_and_are_disconnected() {
                super::clients_of_the_other_fleet_enter_and_leave_rooms_and_are_disconnected(Ends::$ends).await;
            }

            #[tokio::test]
            async fn acknowledgements_of_the_other_fleet_come_back() {
                super::acknowledgements_of_the_other_fleet_come_back(Ends::$ends).await;
            }
        })*
    };
}

joined! {
    RedisClassic as redis_classic,
    RabbitStreams as rabbit_streams,
    KafkaSharded as kafka_sharded,
}

async fn receives(client: &mut RealClient, name: &str, args: Value) {
    let message = client.next_message(DEADLINE).await;
    assert_eq!((&*message.name, Value::from(message.args)), (name, args));
}

async fn events_of_either_fleet_reach_the_clients_of_both(ends: Ends) {
    let (mut fleets, bridge) = Fleets::joined(ends).await;
    let bytes = binary(b"\x00\xff");
    for (name, args) in [
        ("text", json!(["é", 1, null])),
        ("binary", json!([{ "deep": [bytes] }])),
    ] {
        fleets.node.emit(&Target::all("/"), name, args.clone()).await;
        receives(&mut fleets.node_client, name, args.clone()).await;
        receives(&mut fleets.python_client, name, args.clone()).await;
        fleets.python.emit(name, args.clone(), None).await;
        receives(&mut fleets.python_client, name, args.clone()).await;
        receives(&mut fleets.node_client, name, args).await;
    }
    fleets.both_join("room").await;
    fleets
        .node
        .emit(&Target::room("/", "elsewhere"), "missed", json!([]))
        .await;
    fleets
        .node
        .emit(&Target::room("/", "room"), "in room", json!([1]))
        .await;
    receives(&mut fleets.node_client, "in room", json!([1])).await;
    receives(&mut fleets.python_client, "in room", json!([1])).await;
    // A client alone is known by its id, which is excluded likewise.
    let without_python = Target::all("/").except(&fleets.python_id);
    fleets.node.emit(&without_python, "missed", json!([])).await;
    fleets
        .node
        .emit(&Target::room("/", &fleets.python_id), "to one", json!([2]))
        .await;
    receives(&mut fleets.python_client, "to one", json!([2])).await;
    receives(&mut fleets.node_client, "missed", json!([])).await;
    let skip = json!({ "cmd": "emit", "name": "missed", "args": [], "skip_sid": fleets.node_id });
    fleets.python.call(skip).await;
    fleets.python.emit("to one", json!([3]), Some(&fleets.node_id)).await;
    receives(&mut fleets.node_client, "to one", json!([3])).await;
    receives(&mut fleets.python_client, "missed", json!([])).await;
    assert_eq!(bridge.metric("sio_bridge_lost_total").await, 0.0);
    bridge.stop().await;
    // Its end holds no request of a server up.
    assert_eq!(fleets.node.fetch_sockets(&Target::all("/")).await.len(), 1);
}

async fn clients_of_the_other_fleet_enter_and_leave_rooms_and_are_disconnected(ends: Ends) {
    let (mut fleets, _bridge) = Fleets::joined(ends).await;
    let python = Target::room("/", &fleets.python_id);
    fleets.node.sockets_join(&python, &["a", "b"]).await;
    fleets.node.sockets_leave(&python, &["b"]).await;
    for (room, name) in [("b", "missed"), ("a", "entered")] {
        fleets.node.emit(&Target::room("/", room), name, json!([])).await;
    }
    receives(&mut fleets.python_client, "entered", json!([])).await;
    let id = fleets.node_id.clone();
    for (command, room) in [("enter_room", "a"), ("enter_room", "b"), ("leave_room", "b")] {
        let command = json!({ "cmd": command, "sid": id, "room": room });
        fleets.python.call(command).await;
    }
    fleets.python.emit("missed", json!([]), Some("b")).await;
    fleets.python.emit("entered", json!([]), Some("a")).await;
    receives(&mut fleets.node_client, "entered", json!([])).await;
    receives(&mut fleets.python_client, "entered", json!([])).await;
    fleets.python.call(json!({ "cmd": "close_room", "room": "a" })).await;
    fleets.python.emit("missed", json!([]), Some("a")).await;
    fleets.python.emit("to all", json!([]), None).await;
    receives(&mut fleets.node_client, "to all", json!([])).await;
    receives(&mut fleets.python_client, "to all", json!([])).await;
    fleets.python.call(json!({ "cmd": "disconnect", "sid": id })).await;
    fleets.node_client.disconnected(DEADLINE).await;
    fleets.node.disconnect_sockets(&python, false).await;
    fleets.python_client.disconnected(DEADLINE).await;
}

async fn acknowledgements_of_the_other_fleet_come_back(ends: Ends) {
    let (mut fleets, _bridge) = Fleets::joined(ends).await;
    let command = json!({
        "cmd": "emit", "name": "ready?", "args": [], "room": fleets.node_id, "callback": 7
    });
    fleets.python.call(command).await;
    let asked = fleets.node_client.next_message(DEADLINE).await;
    fleets.node_client.ack(asked.ack.unwrap(), json!(["yes"])).await;
    let answered = fleets
        .python
        .until(DEADLINE, |event| event["event"] == "callback")
        .await;
    assert_eq!((&answered["id"], &answered["args"]), (&json!(7), &json!(["yes"])));
    // Servers of python-socketio count no recipients: their acknowledgements are counted, before the time is over.
    let clients = [&mut fleets.node_client, &mut fleets.python_client];
    let answering = async {
        for (client, answer) in clients.into_iter().zip(["node", "python"]) {
            let asked = client.next_message(DEADLINE).await;
            client.ack(asked.ack.unwrap(), json!([answer])).await;
        }
    };
    let everyone = Target::all("/");
    let asking = fleets
        .node
        .emit_with_ack(&everyone, "ready?", json!([]), Duration::from_secs(8));
    let (mut all, ()) = tokio::join!(asking, answering);
    all.responses.sort_by_key(Value::to_string);
    assert_eq!((all.responses, all.error), (vec![json!("node"), json!("python")], None));
    let found = fleets.node.fetch_sockets(&everyone).await;
    assert_eq!(found.len(), 1, "servers of python-socketio list no clients");
    let responses = fleets.node.server_side_emit_with_ack("/", "ask", json!([])).await;
    assert_eq!((responses.responses, responses.error), (vec![Value::Null], None));
}
