//! The recorded messages of Node's emitter and servers, as a server of ours reads them.

use std::time::Duration;

use bytes::Bytes;
use manager_api::cluster::{Change, ClusterRequest, RequestKind, Selection};
use manager_api::message::{Emit, Message, Target};
use manager_api::wire::{Arrival, DecodeLimits};
use manager_api::{NamespaceName, Payload, Room};
use serde_json::{Value, json};

use super::recorded::{Recorded, recorded};
use crate::member::{
    PendingRequests, Reader, Wanted, classic_broadcast, classic_request, cluster_entry, cluster_message,
};

const WIRES: [&str; 4] = ["classic-emitter", "classic", "sharded", "streams"];

/// Reads a message in the namespace `/`, or in that of its case.
fn read(recorded: &Recorded, uid: &str, pending: &PendingRequests) -> Option<Arrival> {
    let namespace = match &*recorded.case {
        "namespace" => NamespaceName::new("/chat").unwrap(),
        _ => NamespaceName::root(),
    };
    let reader = Reader {
        uid,
        namespace: &namespace,
        limits: DecodeLimits::default(),
        pending,
        is_retiring: false,
    };
    let bytes = recorded.bytes();
    let read = match (&recorded.topic, recorded.wire.starts_with("classic")) {
        (None, _) => cluster_entry(&recorded.entry(), &reader),
        (Some(topic), true) if topic.starts_with("socket.io-request#") => classic_request(&bytes, &reader),
        (Some(_), true) => classic_broadcast(&bytes, &reader),
        (Some(_), false) => cluster_message(&bytes, &reader),
    };
    read.unwrap()
}

/// Reads a message of another server.
fn message(recorded: &Recorded, pending: &PendingRequests) -> Message {
    match read(recorded, "0123456789abcdef", pending) {
        Some(Arrival::Message(envelope)) => envelope.message,
        other => panic!("{}, {}: {other:?}", recorded.wire, recorded.case),
    }
}

/// Calls a function for the message of a case on every wire that has it.
fn on_each_wire(case: &str, check: impl Fn(&str, Message)) {
    let mut num_checked = 0;
    for wire in WIRES {
        if let Some(recorded) = recorded(wire).get(case) {
            check(wire, message(recorded, &PendingRequests::new(100_000)));
            num_checked += 1;
        }
    }
    assert!(num_checked >= 3, "{case}: {num_checked}");
}

fn emit_of(message: Message) -> Emit {
    match message {
        Message::Emit(emit) => emit,
        other => panic!("{other:?}"),
    }
}

/// The names of rooms; a number is one.
fn rooms(names: &[Value]) -> Vec<Room> {
    names
        .iter()
        .map(|name| Room::from_json(&name.to_string()).unwrap())
        .collect()
}

fn target(names: &[Value]) -> Target {
    match names {
        [] => Target::Everyone,
        names => Target::Rooms(rooms(names)),
    }
}

fn payload(arguments: &Value, attachments: &[&[u8]]) -> Payload {
    let attachments = attachments.iter().map(|bytes| Bytes::copy_from_slice(bytes));
    Payload::with_attachments(arguments.to_string().into(), attachments.collect()).unwrap()
}

/// Returns the arguments of each event, and what is not as in [`Emit::new`].
fn expected_emits() -> [(&'static str, Value, Value); 10] {
    let values = json!({ "a": [true, false, null, -1, 1.5, 300, 70_000, -40_000, 4_294_967_296_u64] });
    let binary = |num: u8| json!({ "_placeholder": true, "num": num });
    [
        ("everyone", json!([1, "two"]), json!({})),
        ("one room", json!([1]), json!({ "rooms": ["r1"] })),
        ("two rooms", json!([]), json!({ "rooms": ["r1", "r2"] })),
        ("number as a room", json!([]), json!({ "rooms": [5] })),
        ("except", json!([null]), json!({ "rooms": ["r1"], "except": ["r2"] })),
        ("volatile", json!([]), json!({ "volatile": true })),
        ("uncompressed", json!([]), json!({ "uncompressed": true })),
        ("values", json!([values, "é\u{1}"]), json!({})),
        (
            "binary",
            json!([{ "data": binary(0) }, binary(1)]),
            json!({ "attachments": 2 }),
        ),
        (
            "namespace",
            json!([1]),
            json!({ "namespace": "/chat", "rooms": ["r1"] }),
        ),
    ]
}

/// Compares values, not texts: the order of the members and the form of a number are not the point.
fn assert_payload(found: &Payload, expected: &Payload, context: &str) {
    let json = |payload: &Payload| serde_json::from_str::<Value>(payload.json()).unwrap();
    assert_eq!(json(found), json(expected), "{context}");
    assert_eq!(found.attachments(), expected.attachments(), "{context}");
}

#[tokio::test]
async fn an_event_is_read_with_its_rooms_exceptions_flags_and_binary() {
    for (case, arguments, expected) in expected_emits() {
        let names = |key: &str| expected[key].as_array().cloned().unwrap_or_default();
        let attachments = vec![&[1, 2, 255][..]; expected["attachments"].as_u64().unwrap_or_default() as usize];
        on_each_wire(case, |wire, message| {
            let (emit, context) = (emit_of(message), format!("{wire}: {case}"));
            let namespace = expected["namespace"].as_str().unwrap_or("/");
            assert_eq!(
                (emit.namespace.as_str(), emit.event.as_str()),
                (namespace, "ev"),
                "{context}"
            );
            assert_payload(&emit.payload, &payload(&arguments, &attachments), &context);
            assert_eq!(emit.target, target(&names("rooms")), "{context}");
            assert_eq!(emit.except, rooms(&names("except")), "{context}");
            let flags = (expected["volatile"] == true, expected["uncompressed"] == true);
            assert_eq!((emit.volatile, emit.is_uncompressed), flags, "{context}");
            assert_eq!(
                (emit.callback, emit.report, emit.skip),
                (None, None, Vec::new()),
                "{context}"
            );
        });
    }
}

#[tokio::test]
async fn changes_of_rooms_and_disconnects_are_read_with_the_clients_that_they_are_about() {
    let (r1, r2) = ([json!("r1")], [json!("r2")]);
    for (case, selected, except, change) in [
        ("join", &r1[..], &r2[..], Change::Join(rooms(&[json!("x"), json!("y")]))),
        ("leave", &r1, &[], Change::Leave(rooms(&[json!("x")]))),
        ("disconnect", &r1, &[], Change::Disconnect),
        ("close", &[], &[], Change::Close),
    ] {
        on_each_wire(case, |wire, message| {
            let expected = Selection {
                namespace: NamespaceName::root(),
                target: target(selected),
                skip: Vec::new(),
                except: rooms(except),
            };
            let Message::Members { clients, change: found } = message else {
                panic!("{wire}, {case}: {message:?}");
            };
            assert_eq!((clients, found), (expected, change.clone()), "{wire}: {case}");
        });
    }
}

#[tokio::test]
async fn an_event_for_servers_is_read_and_only_one_with_an_id_is_responded_to() {
    for (case, arguments, is_request) in [
        ("server event", json!([1, { "a": "b" }]), false),
        ("server event with ack", json!([1]), true),
    ] {
        on_each_wire(case, |wire, message| {
            let Message::Request(ClusterRequest { id, kind, .. }) = message else {
                panic!("{wire}, {case}: {message:?}");
            };
            let RequestKind::Event { event, payload: found } = kind else {
                panic!("{wire}, {case}: {kind:?}");
            };
            assert_eq!((event.as_str(), id.is_some()), ("hey", is_request), "{wire}: {case}");
            assert_payload(&found, &payload(&arguments, &[]), wire);
        });
    }
}

#[tokio::test]
async fn a_request_for_clients_is_read_with_the_id_that_its_response_has_to_carry() {
    for (wire, uid, request_id) in [
        ("classic", "26_5ZY", "5eoJ0-"),
        ("sharded", "2e64b661c0b17e93", "808411531d959df1"),
        ("streams", "4cf95cb28e401db3", "17dd0a7cd5965d62"),
    ] {
        let pending = PendingRequests::new(100_000);
        let Message::Request(ClusterRequest { id, kind, .. }) = message(&recorded(wire)["fetch"], &pending) else {
            panic!("{wire}");
        };
        let RequestKind::Sockets { clients, .. } = kind else {
            panic!("{wire}: {kind:?}");
        };
        assert_eq!(clients.target, target(&[json!("r1")]), "{wire}");
        let found = pending.remove(id.unwrap()).unwrap();
        assert_eq!((&*found.uid, &*found.request_id), (uid, request_id), "{wire}");
        assert!(matches!(found.wanted, Wanted::Sockets(_)), "{wire}: {found:?}");
    }
}

#[tokio::test]
async fn an_event_with_acknowledgements_is_read_with_its_id_and_its_timeout() {
    for wire in ["classic", "sharded", "streams"] {
        let recorded = recorded(wire);
        for (case, arguments, attachments, selected) in [
            ("emit with ack", json!([1]), &[][..], &[json!("r1")][..]),
            (
                "emit with ack, binary",
                json!([{ "_placeholder": true, "num": 0 }]),
                &[&[1, 2, 255][..]],
                &[],
            ),
        ] {
            let pending = PendingRequests::new(100_000);
            let emit = emit_of(message(&recorded[case], &pending));
            assert_payload(&emit.payload, &payload(&arguments, attachments), wire);
            assert_eq!(emit.target, target(selected), "{wire}: {case}");
            assert_eq!(emit.ack_timeout, Some(Duration::from_secs(1)), "{wire}: {case}");
            let id = emit.report.unwrap();
            assert_eq!(emit.callback.map(|address| address.id), Some(id), "{wire}: {case}");
            assert!(matches!(pending.remove(id).unwrap().wanted, Wanted::Acks { count: 0 }));
        }
    }
}

#[tokio::test]
async fn what_a_server_sent_itself_is_known_as_its_own() {
    for (wire, uid) in [
        ("classic", "26_5ZY"),
        ("sharded", "2e64b661c0b17e93"),
        ("streams", "4cf95cb28e401db3"),
    ] {
        for recorded in recorded(wire).values().filter(|recorded| recorded.case != "namespace") {
            let pending = PendingRequests::new(100_000);
            let read = read(recorded, uid, &pending);
            assert!(
                matches!(read, Some(Arrival::Own { is_presence: false })),
                "{wire}, {}: {read:?}",
                recorded.case
            );
            assert!(pending.remove(1).is_none(), "{wire}, {}", recorded.case);
        }
    }
}
