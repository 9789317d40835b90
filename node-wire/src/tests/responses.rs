//! The responses of Node's servers, as an emitter reads them.

use std::time::Duration;

use bytes::Bytes;
use manager_api::topics::{Delivery, Entry, Interest, Topic};
use manager_api::{Broadcast, Error, ErrorKind};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::support::{Sent, emitter, ids, next};
use crate::NodeWire;

/// Long enough for what is complete, and never waited for.
const LONG: Duration = Duration::from_secs(60);
/// Waited for where a server does not respond.
const SHORT: Duration = Duration::from_millis(50);

const WIRES: [(fn() -> NodeWire, bool); 3] = [
    (NodeWire::classic, true),
    (NodeWire::sharded, false),
    (NodeWire::streams, false),
];

/// A response of the classic adapter, or one of the others from a server.
fn response(is_classic: bool, server: &str, kind: u64, fields: Value) -> Bytes {
    let message = match is_classic {
        true => fields,
        false => json!({ "type": kind, "data": fields, "uid": server, "nsp": "/" }),
    };
    message.to_string().into()
}

fn sockets(request: &str, sids: &[&str]) -> Value {
    let socket = |sid: &&str| json!({ "id": sid, "handshake": { "issued": 1, "headers": {} }, "rooms": [sid, "r", 5], "data": { "name": sid } });
    json!({ "requestId": request, "sockets": sids.iter().map(socket).collect::<Vec<_>>() })
}

#[tokio::test]
async fn clients_of_all_servers_are_found_and_a_silent_server_is_missing() {
    for (wire, is_classic) in WIRES {
        let (emitter, broker, mut sent) = emitter(&wire(), 3);
        let found = tokio::spawn(emitter.to("r").timeout(Duration::from_secs(1)).fetch_sockets());
        let (_, request) = ids(&next(&mut sent).await);
        broker.respond("no JSON").await;
        broker
            .respond(response(is_classic, "aa", 8, sockets("other-s-1", &["x"])))
            .await;
        broker
            .respond(response(is_classic, "aa", 8, sockets(&request, &["a1", "a2"])))
            .await;
        broker
            .respond(response(is_classic, "bb", 8, sockets(&request, &[])))
            .await;
        let gathered = found.await.unwrap().unwrap();
        let sids: Vec<_> = gathered.found.iter().map(|socket| socket.id.as_str()).collect();
        assert_eq!(sids, ["a1", "a2"]);
        assert_eq!((gathered.num_servers, gathered.missing_servers.len()), (2, 1));
        let first = &gathered.found[0];
        assert_eq!(first.rooms, ["a1".into(), "r".into(), 5_i64.into()]);
        assert_eq!(first.data::<Value>().unwrap(), Some(json!({ "name": "a1" })));
        assert!(first.connected_for.unwrap() > Duration::from_secs(1_000_000_000));
    }
}

#[tokio::test]
async fn clients_are_counted_as_soon_as_every_server_has_responded() {
    for (wire, is_classic) in WIRES {
        let (emitter, broker, mut sent) = emitter(&wire(), 2);
        let counted = tokio::spawn(emitter.to("r").timeout(LONG).count_sockets());
        let (_, request) = ids(&next(&mut sent).await);
        broker
            .respond(response(is_classic, "aa", 8, sockets(&request, &["a1", "a2"])))
            .await;
        broker
            .respond(response(is_classic, "bb", 8, sockets(&request, &["b1"])))
            .await;
        let gathered = counted.await.unwrap().unwrap();
        assert_eq!((gathered.found, gathered.num_servers), (3, 2));
        assert!(gathered.missing_servers.is_empty());
    }
}

/// Emits with a verb, plays two servers with two clients and one, and lets `num_acks` of them acknowledge.
async fn emitted<T: Send + 'static>(
    wire: NodeWire,
    is_classic: bool,
    num_acks: u64,
    emit: impl FnOnce(Broadcast) -> JoinHandle<T>,
) -> T {
    let (emitter, broker, mut sent) = emitter(&wire, 2);
    let emitted = emit(emitter.to("r"));
    let (_, request) = ids(&next(&mut sent).await);
    for (server, count) in [("aa", 2), ("bb", 1)] {
        let fields = json!({ "type": 8, "requestId": request, "clientCount": count });
        broker.respond(response(is_classic, server, 11, fields)).await;
    }
    for n in 0..num_acks {
        let fields = json!({ "type": 9, "requestId": request, "packet": { "n": n } });
        broker.respond(response(is_classic, "aa", 12, fields)).await;
    }
    emitted.await.unwrap()
}

#[tokio::test]
async fn acknowledgements_arrive_one_by_one() {
    for (wire, is_classic) in WIRES {
        let acks = emitted(wire(), is_classic, 3, |to| {
            tokio::spawn(async move {
                let acks = to.timeout(LONG).emit_with_ack("ev", &1).await.unwrap();
                acks.count(3).all().await.unwrap()
            })
        })
        .await;
        let values: Vec<Value> = acks.iter().map(|ack| ack.payload.parse().unwrap()).collect();
        assert_eq!(values, [json!({ "n": 0 }), json!({ "n": 1 }), json!({ "n": 2 })]);
        assert!(acks.iter().all(|ack| ack.client.is_none()));
    }
}

#[tokio::test]
async fn an_event_is_complete_when_as_many_have_acknowledged_as_the_servers_have_counted() {
    for (wire, is_classic) in WIRES {
        let complete = emitted(wire(), is_classic, 3, |to| {
            tokio::spawn(to.timeout(LONG).emit_and_collect("ev", &1))
        });
        let report = complete.await.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!(report.acks.len(), 3);
        let incomplete = emitted(wire(), is_classic, 1, |to| {
            tokio::spawn(to.timeout(SHORT * 4).emit_and_collect("ev", &1))
        });
        let report = incomplete.await.unwrap();
        assert_eq!((report.acks.len(), report.num_missing_unnamed), (1, 2));
        assert!(!report.is_complete() && report.missing_servers.is_empty());
    }
}

#[tokio::test]
async fn a_receipt_has_the_counts_of_the_servers_and_needs_no_client() {
    for (wire, is_classic) in WIRES {
        let receipt = emitted(wire(), is_classic, 0, |to| {
            tokio::spawn(to.timeout(LONG).emit_with_receipt("ev", &1))
        });
        let receipt = receipt.await.unwrap();
        assert_eq!((receipt.num_clients(), receipt.servers.len()), (3, 2));
        assert!(receipt.missing_servers.is_empty());
    }
}

#[tokio::test]
async fn handlers_of_servers_respond_with_one_value_or_none() {
    for (wire, is_classic) in WIRES {
        let (emitter, broker, mut sent) = emitter(&wire(), 2);
        let called = tokio::spawn(async move { emitter.server_side_call("ask", &1, LONG).await });
        let (_, request) = ids(&next(&mut sent).await);
        let output = if is_classic { "data" } else { "packet" };
        let with_output = json!({ "type": 6, "requestId": request, output: "pong" });
        broker.respond(response(is_classic, "aa", 10, with_output)).await;
        let without = json!({ "type": 6, "requestId": request });
        broker.respond(response(is_classic, "bb", 10, without)).await;
        let responses = called.await.unwrap().unwrap().found;
        let outputs: Vec<_> = responses.iter().map(|response| response.payload.as_ref()).collect();
        assert_eq!(outputs[0].unwrap().parse::<String>().unwrap(), "pong");
        assert!(outputs[1].is_none());
    }
}

#[tokio::test]
async fn binary_in_an_acknowledgement_is_an_attachment() {
    let (emitter, broker, mut sent) = emitter(&NodeWire::classic(), 1);
    let acks = emitter.to("r").timeout(LONG).emit_with_ack("ev", &1).await.unwrap();
    let (_, request) = ids(&next(&mut sent).await);
    let mut ack = Vec::new();
    msgpack::write_map_len(&mut ack, 3);
    msgpack::write_text(&mut ack, "type");
    msgpack::write_uint(&mut ack, 9);
    msgpack::write_text(&mut ack, "requestId");
    msgpack::write_text(&mut ack, &request);
    msgpack::write_text(&mut ack, "packet");
    let binary = [Bytes::from_static(&[1, 2, 255])];
    msgpack::write_json(&mut ack, r#"{"_placeholder":true,"num":0}"#, &binary);
    broker.respond(ack).await;
    assert_eq!(acks.one::<Bytes>().await.unwrap(), binary[0]);
}

#[tokio::test]
async fn an_emitter_subscribes_to_responses_and_never_as_a_server() {
    for (wire, topics) in [
        (
            NodeWire::classic(),
            vec!["socket.io-response#/chat#", "socket.io-response#/chat#UID#"],
        ),
        (NodeWire::sharded(), vec!["socket.io#/chat#UID#"]),
        (NodeWire::streams().prefix("app"), vec!["app#/chat#UID#"]),
    ] {
        let (emitter, broker, mut sent) = emitter(&wire, 1);
        let request = tokio::spawn(emitter.of("/chat").timeout(LONG).count_sockets());
        let (uid, _) = ids(&next(&mut sent).await);
        request.abort();
        let names = broker.interests().into_iter().map(|interest| match interest {
            Interest::Topic(Topic { name, .. }) => name.replace(&uid, "UID"),
            other => panic!("{other:?}"),
        });
        assert_eq!(names.collect::<Vec<_>>(), topics);
    }
}

fn entry(uid: &str, kind: u64, data: &str) -> Delivery {
    Delivery::Entry {
        stream: "socket.io".into(),
        entry: Entry::from_iter([
            ("uid", uid.to_owned()),
            ("nsp", "/".to_owned()),
            ("type", kind.to_string()),
            ("data", data.to_owned()),
        ]),
    }
}

#[tokio::test]
async fn servers_with_a_heartbeat_are_waited_for_once_the_stream_was_read_up_to_a_mark() {
    let (emitter, broker, mut sent) = emitter(&NodeWire::streams_before_0_3(), 0);
    let counted = tokio::spawn(emitter.to("r").timeout(Duration::from_secs(1)).count_sockets());
    let Sent::Entry { entry: mark, .. } = next(&mut sent).await else {
        panic!()
    };
    broker.deliver(entry("aa", 1, "")).await;
    broker.deliver(entry("bb", 2, "")).await;
    broker.deliver(entry("cc", 3, "{}")).await;
    broker.deliver(entry("bb", 13, "")).await;
    let stream = "socket.io".into();
    broker.deliver(Delivery::Entry { stream, entry: mark }).await;
    let Sent::Entry { entry: request, .. } = next(&mut sent).await else {
        panic!()
    };
    assert_eq!(request.get("uid").unwrap(), "emitter");
    let data: Value = serde_json::from_slice(request.get("data").unwrap()).unwrap();
    let id = data["requestId"].as_str().unwrap();
    broker.deliver(entry("aa", 8, &sockets(id, &["a1"]).to_string())).await;
    let gathered = counted.await.unwrap().unwrap();
    assert_eq!((gathered.found, gathered.num_servers), (1, 1));
    assert_eq!(gathered.missing_servers, ["cc"]);
}

#[tokio::test(start_paused = true)]
async fn servers_that_announce_themselves_within_a_second_are_waited_for() {
    let (emitter, broker, mut sent) = emitter(&NodeWire::postgres(), 0);
    let began = Instant::now();
    let counted = tokio::spawn(emitter.to("r").timeout(LONG).count_sockets());
    let message = |sent| match sent {
        Sent::Message { topic, bytes, .. } => (topic, serde_json::from_slice::<Value>(&bytes).unwrap()),
        other => panic!("{other:?}"),
    };
    let (topic, hello) = message(next(&mut sent).await);
    assert_eq!(topic, "socket.io#/");
    assert_eq!(hello, json!({ "type": 1, "uid": "emitter", "nsp": "/" }));
    for (uid, kind, nsp) in [
        ("aa", 2, "/"),
        ("bb", 2, "/"),
        ("cc", 3, "/"),
        ("bb", 13, "/"),
        ("dd", 2, "/chat"),
    ] {
        let heard = json!({ "type": kind, "uid": uid, "nsp": nsp, "data": {} });
        broker.respond(heard.to_string()).await;
    }
    let (topic, request) = message(next(&mut sent).await);
    assert_eq!(began.elapsed().as_millis() / 100, 10, "it gives them a second");
    assert_eq!((&*topic, &request["uid"]), ("socket.io#/", &json!("emitter")));
    let id = request["data"]["requestId"].as_str().unwrap();
    broker.respond(response(false, "aa", 8, sockets(id, &["a1"]))).await;
    broker.respond(response(false, "cc", 8, sockets(id, &[]))).await;
    let gathered = counted.await.unwrap().unwrap();
    assert_eq!(
        (gathered.found, gathered.num_servers, gathered.missing_servers.len()),
        (1, 2, 0)
    );
}

#[tokio::test]
async fn what_is_longer_than_a_notification_is_an_attachment() {
    let (emitter, _, mut sent) = emitter(&NodeWire::postgres().table("t"), 0);
    emitter.emit("ev", &"").await.unwrap();
    let Sent::Message { bytes, .. } = next(&mut sent).await else {
        panic!()
    };
    for (len, is_attached) in [(7_998, false), (7_999, false), (8_000, true), (8_001, true)] {
        emitter.emit("ev", &"x".repeat(len - bytes.len())).await.unwrap();
        match next(&mut sent).await {
            Sent::Message { bytes, .. } => assert_eq!((bytes.len(), false), (len, is_attached)),
            Sent::Attached { table, notice, .. } => {
                assert!(is_attached, "{len}");
                let expected = r#"{"uid":"emitter","type":3,"attachmentId":"7"}"#;
                assert_eq!((&*table, &*notice), ("t", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_accepted_and_not_read_is_an_error_that_names_the_right() {
    let (emitter, _broker, _sent) = emitter(&NodeWire::streams_before_0_3(), 0);
    let error = emitter.to("r").timeout(LONG).count_sockets().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().contains("+xread"), "{error}");
}

#[tokio::test]
async fn what_the_wires_cannot_carry_is_refused_at_once() {
    let (emitter, ..) = emitter(&NodeWire::classic(), 1);
    let check = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("Node"), "{error}");
    };
    check(emitter.servers(LONG).await.unwrap_err());
    check(emitter.rooms("/", "", LONG).await.unwrap_err());
}

#[tokio::test]
async fn a_closed_manager_ends_what_waits_for_responses() {
    let (emitter, _, mut sent) = emitter(&NodeWire::classic(), 2);
    let first = tokio::spawn(emitter.to("r").timeout(SHORT).count_sockets());
    next(&mut sent).await;
    emitter.close().await.unwrap();
    assert_eq!(first.await.unwrap().unwrap().missing_servers.len(), 2);
    // The next request subscribes again.
    let second = tokio::spawn(emitter.to("r").timeout(SHORT).count_sockets());
    next(&mut sent).await;
    second.await.unwrap().unwrap();
}
