//! Behaviour that is the same for every emitter and on every server.

use integration::DEADLINE;
use integration::client::Kind;
use integration::driven::binary;
use integration::python::PyManager;
use serde_json::{Value, json};
use socket_io::socket::DisconnectReason;

use super::fleet::{Fleet, From, Member};
use crate::served::OTHER;

/// Payloads, as commands, and the arguments that clients get.
fn payloads() -> Vec<(Value, Value)> {
    let everything: Vec<u8> = (0..=255).collect();
    let long = "ż🦀 and so on ".repeat(6_250);
    vec![
        (
            json!({ "args": [1, "two", { "three": 3.5 }] }),
            json!([1, "two", { "three": 3.5 }]),
        ),
        (json!({ "args": [] }), json!([])),
        // Nothing and null are one on the wire of python-socketio.
        (json!({ "data": null }), json!([])),
        (json!({ "args": [null, null] }), json!([null, null])),
        (json!({ "data": "text" }), json!(["text"])),
        (json!({ "data": false }), json!([false])),
        (json!({ "data": [1, 2] }), json!([[1, 2]])),
        (json!({ "data": [] }), json!([[]])),
        (
            json!({ "data": { "a": [{ "b": null }] } }),
            json!([{ "a": [{ "b": null }] }]),
        ),
        (json!({ "data": binary(&everything) }), json!([binary(&everything)])),
        (json!({ "data": binary(b"") }), json!([binary(b"")])),
        (
            json!({ "args": ["x", { "a": [binary(b"\x00\xff"), { "b": binary(b"in") }] }, binary(b"out"), 1] }),
            json!(["x", { "a": [binary(b"\x00\xff"), { "b": binary(b"in") }] }, binary(b"out"), 1]),
        ),
        (
            json!({ "args": ["zażółć 日本語 🦀\u{1d11e}", "\u{2028}\u{0}\"\\/", { "ключ": 1 }] }),
            json!(["zażółć 日本語 🦀\u{1d11e}", "\u{2028}\u{0}\"\\/", { "ключ": 1 }]),
        ),
        (
            json!({ "args": [9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64] }),
            json!([9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64]),
        ),
        (json!({ "data": long }), json!([long])),
    ]
}

pub(super) async fn payloads_arrive(theirs: PyManager, from: From) {
    let mut fleet = Fleet::start(theirs, from).await;
    let mut members = fleet
        .members([Kind::Python, Kind::Node], ["websocket", "websocket"])
        .await;
    for (number, (command, _)) in payloads().into_iter().enumerate() {
        fleet.emit(&format!("событие {number}"), command).await;
    }
    // Beyond the precision of a double: no process on the way may round it, and only Python reads it exactly.
    fleet.emit("big", json!({ "data": u64::MAX })).await;
    for Member { client, .. } in &mut members {
        for (number, (command, wanted)) in payloads().into_iter().enumerate() {
            let message = client.next_message(DEADLINE).await;
            assert_eq!(message.name, format!("событие {number}"));
            assert_eq!(Value::from(message.args), wanted, "{command}");
        }
    }
    let [ours, theirs] = &mut members;
    assert_eq!(ours.client.next_message(DEADLINE).await.args, [json!(u64::MAX)]);
    assert_eq!(theirs.client.next_message(DEADLINE).await.name, "big");
}

pub(super) async fn routes_are_kept(theirs: PyManager, from: From) {
    let mut fleet = Fleet::start(theirs, from).await;
    let [mut a, mut b] = fleet.members([Kind::Node, Kind::Node], ["polling", "websocket"]).await;
    for room in ["r1", "r2"] {
        a.enter(room).await;
    }
    for room in ["r2", "r3"] {
        b.enter(room).await;
    }
    // Which events, and whether they are for A, on our server, and for B, on the other one.
    let routes = [
        ("all clients", json!({}), true, true),
        ("a room of A's", json!({ "room": "r1" }), true, false),
        ("a room of B's", json!({ "room": "r3" }), false, true),
        ("a room of both", json!({ "room": "r2" }), true, true),
        ("rooms, once", json!({ "room": ["r1", "r2", "r3"] }), true, true),
        ("one room in a list", json!({ "room": ["r3"] }), false, true),
        ("an empty room", json!({ "room": "empty" }), false, false),
        ("A", json!({ "room": a.sid }), true, false),
        ("B", json!({ "room": b.sid }), false, true),
        ("without A", json!({ "skip_sid": a.sid }), false, true),
        ("without B", json!({ "skip_sid": [b.sid] }), true, false),
        ("without both", json!({ "skip_sid": [a.sid, b.sid] }), false, false),
        (
            "a room without B",
            json!({ "room": "r2", "skip_sid": b.sid }),
            true,
            false,
        ),
        ("another namespace", json!({ "namespace": OTHER }), true, true),
        (
            "A there",
            json!({ "namespace": OTHER, "room": a.other_sid }),
            true,
            false,
        ),
        (
            "B there",
            json!({ "namespace": OTHER, "room": b.other_sid }),
            false,
            true,
        ),
        (
            "that room is not there",
            json!({ "namespace": OTHER, "room": "r2" }),
            false,
            false,
        ),
        (
            "a namespace that is not",
            json!({ "namespace": "/nowhere" }),
            false,
            false,
        ),
    ];
    for (name, address, ..) in &routes {
        let mut command = address.clone();
        command["args"] = json!([name]);
        fleet.emit(name, command).await;
    }
    fleet.end().await;
    let expected = |is_for: fn(&(&str, Value, bool, bool)) -> bool| {
        let taken = routes.iter().filter(|route| is_for(route));
        let pair = |(name, address, ..): &(&str, Value, bool, bool)| {
            (
                address["namespace"].as_str().unwrap_or("/").to_owned(),
                (*name).to_owned(),
            )
        };
        taken.map(pair).collect::<Vec<_>>()
    };
    assert_eq!(a.names().await, expected(|route| route.2), "on our server");
    assert_eq!(b.names().await, expected(|route| route.3), "on the other server");
}

pub(super) async fn rooms_are_managed(theirs: PyManager, from: From) {
    let mut fleet = Fleet::start(theirs, from).await;
    let [mut a, mut b] = fleet.members([Kind::Node, Kind::Node], ["websocket", "polling"]).await;
    let (room, numbered) = (json!("room"), json!(7));
    fleet.enter_room(&a.sid, &room).await;
    fleet.enter_room(&b.sid, &room).await;
    fleet.enter_room("an unknown client", &room).await;
    fleet.emit("both", json!({ "args": [], "room": room })).await;
    fleet.leave_room(&a.sid, &room).await;
    fleet.emit("B", json!({ "args": [], "room": room })).await;
    fleet.enter_room(&a.sid, &room).await;
    fleet.leave_room(&b.sid, &room).await;
    fleet.emit("A", json!({ "args": [], "room": room })).await;
    fleet.enter_room(&b.sid, &room).await;
    fleet.enter_room(&a.sid, &numbered).await;
    fleet.enter_room(&b.sid, &numbered).await;
    fleet.close_room(&room).await;
    fleet.emit("unheard", json!({ "args": [], "room": room })).await;
    fleet.emit("by number", json!({ "args": [], "room": numbered })).await;
    fleet.emit("not by digits", json!({ "args": [], "room": "7" })).await;
    fleet.end().await;
    let names = |names: &[&str]| -> Vec<_> { names.iter().map(|&name| ("/".to_owned(), name.to_owned())).collect() };
    assert_eq!(a.names().await, names(&["both", "A", "by number"]), "on our server");
    assert_eq!(
        b.names().await,
        names(&["both", "B", "by number"]),
        "on the other server"
    );
}

pub(super) async fn clients_are_disconnected(theirs: PyManager, from: From) {
    let mut fleet = Fleet::start(theirs, from).await;
    let [mut a, mut b] = fleet.members([Kind::Node, Kind::Node], ["websocket", "polling"]).await;
    for member in [&mut a, &mut b] {
        fleet.disconnect(OTHER, &member.other_sid).await;
        member.client.switch_to(OTHER);
        let reason = member.client.disconnected(DEADLINE).await;
        assert_eq!(reason.as_deref(), Some("io server disconnect"));
    }
    let (left, reason) = fleet.ours.left().await;
    assert_eq!(
        (left.id().as_str(), left.namespace().as_str()),
        (a.other_sid.as_str(), OTHER)
    );
    assert_eq!(reason, DisconnectReason::ServerNamespaceDisconnect);
    let left = fleet
        .theirs
        .until(DEADLINE, |event| event["event"] == "disconnect")
        .await;
    assert_eq!((&left["sid"], &left["namespace"]), (&json!(b.other_sid), &json!(OTHER)));

    // They are still in the other namespace.
    fleet.end().await;
    assert_eq!((a.names().await, b.names().await), (vec![], vec![]));
    for member in [&mut a, &mut b] {
        fleet.disconnect("/", &member.sid).await;
        member.client.switch_to("/");
        member.client.disconnected(DEADLINE).await;
    }
}
