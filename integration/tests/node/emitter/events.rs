//! Events for clients: whom they reach, and what they hold.

use bytes::Bytes;
use integration::DEADLINE;
use integration::driven::binary;
use serde_json::{Value, json};

use crate::node::fleet::Fleet;

super::on_every_wire! {
    events_reach_everyone_rooms_and_clients,
    exceptions_and_namespaces_are_kept,
    arguments_arrive_as_they_are,
}

/// As long as an id of a client, for which the sharded adapter has other channels.
const LONG_ROOM: &str = "room-of-20-letters-x";

pub(super) async fn events_reach_everyone_rooms_and_clients(mut fleet: Fleet) {
    fleet.join(0, &[json!("a"), json!("b"), json!(7)]).await;
    fleet.join(1, &[json!("b"), json!("c"), json!(LONG_ROOM)]).await;
    let emitter = fleet.emitter.clone();
    emitter.emit("everyone", &()).await.unwrap();
    emitter.to("a").emit("a", &()).await.unwrap();
    emitter.to("nowhere").emit("nowhere", &()).await.unwrap();
    // Each client is in two of them.
    emitter.to("a").to("b").to("c").emit("several", &()).await.unwrap();
    emitter.to(fleet.ids[1].as_str()).emit("client", &()).await.unwrap();
    emitter.to(7).emit("number", &()).await.unwrap();
    emitter.to(7).to("c").emit("number or c", &()).await.unwrap();
    emitter.to(LONG_ROOM).emit("long", &()).await.unwrap();
    let none: [&str; 0] = [];
    emitter
        .broadcast()
        .to_all(none)
        .emit("no rooms named", &())
        .await
        .unwrap();
    let [ada, bob] = fleet.events().await;
    assert_eq!(
        ada,
        ["everyone", "a", "several", "number", "number or c", "no rooms named"]
    );
    assert_eq!(
        bob,
        ["everyone", "several", "client", "number or c", "long", "no rooms named"]
    );
}

async fn exceptions_and_namespaces_are_kept(mut fleet: Fleet) {
    fleet.join(0, &[json!("a"), json!("both"), json!(7)]).await;
    fleet.join(1, &[json!("both"), json!(LONG_ROOM)]).await;
    let emitter = fleet.emitter.clone();
    let all = emitter.broadcast();
    all.clone().except("a").emit("not a", &()).await.unwrap();
    all.clone().except(7).emit("not 7", &()).await.unwrap();
    all.clone().except(LONG_ROOM).emit("not the long", &()).await.unwrap();
    all.clone()
        .skip(fleet.ids[1].as_str())
        .emit("not bob", &())
        .await
        .unwrap();
    let both = emitter.to("both").except("a").skip(fleet.ids[1].as_str());
    both.emit("neither", &()).await.unwrap();
    // In `/chat` no client is in that room.
    emitter.of("/chat").to("both").emit("another room", &()).await.unwrap();
    emitter.of("/chat").emit("chat", &()).await.unwrap();
    for client in &mut fleet.clients {
        let is_of_chat = |event: &Value| event["event"] == "message" && event["namespace"] == "/chat";
        let event = client.driven().until(DEADLINE, is_of_chat).await;
        assert_eq!(event["name"], "chat");
    }
    let [ada, bob] = fleet.events().await;
    assert_eq!(ada, ["not the long", "not bob"]);
    assert_eq!(bob, ["not a", "not 7"]);
}

async fn arguments_arrive_as_they_are(mut fleet: Fleet) {
    let emitter = fleet.emitter.clone();
    let all = emitter.broadcast();
    let bytes = Bytes::from_static(b"\x00\xff{");
    let nested = json!({ "deep": [1.5, -1, 4_294_967_296_u64, true, null, "ü \" \u{1f980}"] });
    all.clone().emit("none", &()).await.unwrap();
    all.clone().emit("null", &(Value::Null,)).await.unwrap();
    all.clone().emit("several", &("text", &nested, 3)).await.unwrap();
    all.clone().emit("bytes", &bytes).await.unwrap();
    let inside = (1, std::collections::BTreeMap::from([("in", vec![&bytes, &bytes])]));
    all.clone().emit("bytes inside", &inside).await.unwrap();
    all.clone().compress(false).emit("plain", &2).await.unwrap();
    all.emit("large", &"x".repeat(100_000)).await.unwrap();
    let shown = binary(&bytes);
    let keeps_order = fleet.wire.keeps_order();
    for client in &mut fleet.clients {
        let mut expected = vec![
            ("none", json!([])),
            ("null", json!([null])),
            ("several", json!(["text", nested, 3])),
            ("bytes", json!([shown])),
            ("bytes inside", json!([1, { "in": [shown, shown] }])),
            ("plain", json!([2])),
            ("large", json!(["x".repeat(100_000)])),
        ];
        let mut received = Vec::new();
        for _ in 0..expected.len() {
            received.push(client.next_message(DEADLINE).await);
        }
        if !keeps_order {
            expected.sort_by_key(|(name, _)| *name);
            received.sort_by(|one, two| one.name.cmp(&two.name));
        }
        for ((name, args), message) in expected.into_iter().zip(received) {
            assert_eq!((&*message.name, Value::from(message.args)), (name, args));
            assert_eq!(message.ack, None, "{name}");
        }
    }
    // Servers drop a volatile event for a client whose connection does not take it at once without notice.
    let mut have_got = [false; 2];
    while have_got != [true; 2] {
        emitter.broadcast().volatile().emit("volatile", &1).await.unwrap();
        for (names, has_got) in fleet.events().await.iter().zip(&mut have_got) {
            let names: Vec<_> = names.iter().map(|name| &**name).collect();
            assert!(matches!(names[..], [] | ["volatile"]), "{names:?}");
            *has_got |= !names.is_empty();
        }
    }
}
