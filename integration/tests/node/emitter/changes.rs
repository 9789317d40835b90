//! Changes of rooms, and disconnects.

use integration::DEADLINE;
use serde_json::{Value, json};

use crate::node::fleet::Fleet;

super::on_every_wire! {
    clients_enter_and_leave_rooms,
    clients_are_disconnected,
}

async fn clients_enter_and_leave_rooms(mut fleet: Fleet) {
    fleet.join(0, &[json!("a")]).await;
    let emitter = fleet.emitter.clone();
    let [ada, bob] = fleet.ids.clone();
    let (all, to_x) = (emitter.broadcast(), emitter.to("x"));
    emitter.to("a").sockets_join(["x", "y"]).await.unwrap();
    to_x.clone().emit("1", &()).await.unwrap();
    emitter.to("y").emit("1 in y", &()).await.unwrap();
    all.clone().enter_room(&*bob, "x").await.unwrap();
    to_x.clone().emit("2", &()).await.unwrap();
    all.clone().leave_room(&*ada, "x").await.unwrap();
    to_x.clone().emit("3", &()).await.unwrap();
    all.clone().except("a").sockets_leave(["x"]).await.unwrap();
    to_x.clone().emit("4", &()).await.unwrap();
    all.clone().sockets_join([8]).await.unwrap();
    emitter.to(8).emit("5", &()).await.unwrap();
    all.clone().sockets_join(["x"]).await.unwrap();
    to_x.clone().emit("6", &()).await.unwrap();
    all.clone().close_room("x").await.unwrap();
    to_x.emit("7", &()).await.unwrap();
    all.enter_room("unknown", "x").await.unwrap();
    let [ada, bob] = fleet.events().await;
    assert_eq!(ada, ["1", "1 in y", "2", "5", "6"]);
    assert_eq!(bob, ["2", "3", "5", "6"]);
}

async fn clients_are_disconnected(mut fleet: Fleet) {
    fleet.join(1, &[json!("b")]).await;
    let emitter = fleet.emitter.clone();
    emitter.disconnect(&*fleet.ids[0]).await.unwrap();
    let [ada, bob] = &mut fleet.clients;
    assert_eq!(ada.disconnected(DEADLINE).await.as_deref(), Some(BY_SERVER));
    emitter.emit("bob is there", &()).await.unwrap();
    assert_eq!(bob.next_message(DEADLINE).await.name, "bob is there");
    emitter.to("b").disconnect_sockets().await.unwrap();
    assert_eq!(bob.disconnected(DEADLINE).await.as_deref(), Some(BY_SERVER));
    // Their connections are there: both are in the other namespace.
    emitter.of("/chat").emit("chat", &()).await.unwrap();
    for client in [&mut *ada, &mut *bob] {
        let message = client.next_message(DEADLINE).await;
        assert_eq!((&*message.namespace, &*message.name), ("/chat", "chat"));
    }
    emitter.of("/chat").close_connections().await.unwrap();
    for client in [ada, bob] {
        let is_gone = |event: &Value| event["event"] == "disconnect" && event["namespace"] == "/chat";
        client.driven().until(DEADLINE, is_gone).await;
    }
}

/// Why a client was disconnected, in the words of socket.io-client.
const BY_SERVER: &str = "io server disconnect";
