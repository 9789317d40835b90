//! Each message that Node's emitter or a server sends is sent with the same bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use manager_api::topics::Entry;
use manager_api::{Broadcast, Emitter};
use serde::Deserialize;
use serde_json::json;

use super::support::{Sent, emitter, ids, next};
use crate::NodeWire;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recorded {
    pub(super) wire: String,
    pub(super) case: String,
    pub(super) topic: Option<String>,
    hex: Option<String>,
    stream: Option<String>,
    max_len: Option<u64>,
    entry: Option<Vec<(String, String)>>,
    table: Option<String>,
    notice: Option<String>,
}

pub(super) fn recorded(wire: &str) -> BTreeMap<String, Recorded> {
    let lines = include_str!("../../tests/vectors/node.jsonl").lines();
    let all = lines.map(|line| serde_json::from_str::<Recorded>(line).unwrap());
    all.filter(|recorded| recorded.wire == wire)
        .map(|recorded| (recorded.case.clone(), recorded))
        .collect()
}

/// Returns the bytes of every message, of every wire; of an entry its data.
pub(super) fn recorded_bytes() -> Vec<Vec<u8>> {
    let lines = include_str!("../../tests/vectors/node.jsonl").lines();
    let all = lines.map(|line| serde_json::from_str::<Recorded>(line).unwrap());
    all.map(|recorded| match recorded.hex {
        Some(hex) => bytes_of(&hex),
        None => recorded.entry.unwrap()[3].1.clone().into_bytes(),
    })
    .collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let bytes = (0..hex.len()).step_by(2);
    bytes
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

impl Recorded {
    /// Returns its bytes; none of an entry.
    pub(super) fn bytes(&self) -> Bytes {
        self.hex.as_deref().map(bytes_of).unwrap_or_default().into()
    }

    /// Returns its fields; none of a message.
    pub(super) fn entry(&self) -> Entry {
        Entry::from_iter(self.entry.clone().unwrap_or_default())
    }

    /// Returns what was sent, with other ids of sender and request.
    fn sent(&self, is_sharded: bool, sender: &str, request: Option<&str>) -> Sent {
        if let (Some(topic), Some(hex)) = (&self.topic, &self.hex) {
            let bytes = bytes_of(hex);
            let bytes = with_value(&bytes, "uid", sender);
            let bytes = request.map_or(bytes.clone(), |request| with_value(&bytes, "requestId", request));
            if let (Some(table), Some(notice)) = (&self.table, &self.notice) {
                let notice = with_value(notice.as_bytes(), "uid", sender);
                return Sent::Attached {
                    topic: topic.clone(),
                    table: table.clone(),
                    notice: String::from_utf8(notice).unwrap(),
                    bytes: bytes.into(),
                };
            }
            return Sent::Message {
                topic: topic.clone(),
                is_sharded,
                bytes: bytes.into(),
            };
        }
        let fields = self.entry.as_ref().unwrap().iter().map(|(name, value)| {
            let value = if name == "uid" { sender } else { value };
            (Bytes::from(name.clone()), Bytes::copy_from_slice(value.as_bytes()))
        });
        Sent::Entry {
            stream: self.stream.clone().unwrap(),
            max_len: self.max_len.unwrap(),
            entry: Entry::from_iter(fields),
        }
    }
}

/// Replaces the text behind a key of JSON, or of MessagePack, where it is at most 31 bytes long.
fn with_value(bytes: &[u8], key: &str, value: &str) -> Vec<u8> {
    let find = |pattern: &[u8]| {
        bytes
            .windows(pattern.len())
            .position(|window| window == pattern)
            .map(|at| at + pattern.len())
    };
    let mut replaced = Vec::new();
    if bytes[0] == b'{' {
        let Some(begin) = find(format!("\"{key}\":\"").as_bytes()) else {
            return bytes.to_vec();
        };
        let len = bytes[begin..].iter().position(|byte| *byte == b'"').unwrap();
        replaced.extend_from_slice(&bytes[..begin]);
        replaced.extend_from_slice(value.as_bytes());
        replaced.extend_from_slice(&bytes[begin + len..]);
        return replaced;
    }
    let marked = [&[0xa0 | u8::try_from(key.len()).unwrap()], key.as_bytes()].concat();
    let Some(begin) = find(&marked) else {
        return bytes.to_vec();
    };
    replaced.extend_from_slice(&bytes[..begin]);
    match value.len() {
        0..=31 => replaced.push(0xa0 | u8::try_from(value.len()).unwrap()),
        len => replaced.extend([0xd9, u8::try_from(len).unwrap()]),
    }
    replaced.extend_from_slice(value.as_bytes());
    replaced.extend_from_slice(&bytes[begin + 1 + usize::from(bytes[begin] & 0x1f)..]);
    replaced
}

/// Does what a case of `tests/record.js` does.
async fn act(emitter: &Emitter, case: &str) {
    let all = || emitter.broadcast();
    let binary = || Bytes::from_static(&[1, 2, 255]);
    let emit = |to: Broadcast| to.emit("ev", &());
    let done = match case {
        "everyone" => all().emit("ev", &(1, "two")).await,
        "one room" => all().to("r1").emit("ev", &1).await,
        "two rooms" => emit(all().to("r1").to("r2")).await,
        "number as a room" => emit(all().to(5_i64)).await,
        "except" => all().to("r1").except("r2").emit("ev", &(json!(null),)).await,
        "volatile" => emit(all().volatile()).await,
        "uncompressed" => emit(all().compress(false)).await,
        "values" => {
            let values = json!({ "a": [true, false, null, -1, 1.5, 300, 70_000, -40_000, 4_294_967_296_u64] });
            all().emit("ev", &(values, "é\u{1}")).await
        }
        "binary" => {
            let first = BTreeMap::from([("data", binary())]);
            all().emit("ev", &(first, binary())).await
        }
        "join" => all().to("r1").except("r2").sockets_join(["x", "y"]).await,
        "leave" => all().to("r1").sockets_leave(["x"]).await,
        "disconnect" => all().to("r1").disconnect_sockets().await,
        "close" => all().close_connections().await,
        "server event" => emitter.server_side_emit("hey", &(1, json!({ "a": "b" }))).await,
        "namespace" => emitter.of("/chat").to("r1").emit("ev", &1).await,
        unknown => panic!("no case {unknown:?}"),
    };
    done.unwrap();
}

const CASES: [&str; 15] = [
    "everyone",
    "one room",
    "two rooms",
    "number as a room",
    "except",
    "volatile",
    "uncompressed",
    "values",
    "binary",
    "join",
    "leave",
    "disconnect",
    "close",
    "server event",
    "namespace",
];

#[tokio::test]
async fn a_classic_emitter_sends_what_that_of_node_sends() {
    let recorded = recorded("classic-emitter");
    assert_eq!(recorded.len(), CASES.len());
    let (emitter, _, mut sent) = emitter(&NodeWire::classic(), 0);
    for case in CASES {
        act(&emitter, case).await;
        assert_eq!(
            next(&mut sent).await,
            recorded[case].sent(false, "emitter", None),
            "{case}"
        );
    }
}

#[tokio::test]
async fn a_sharded_emitter_sends_what_a_server_sends() {
    let recorded = recorded("sharded");
    let (emitter, _, mut sent) = emitter(&NodeWire::sharded(), 0);
    for case in CASES {
        act(&emitter, case).await;
        assert_eq!(
            next(&mut sent).await,
            recorded[case].sent(true, "emitter", None),
            "{case}"
        );
    }
}

#[tokio::test]
async fn an_emitter_into_streams_appends_what_a_server_appends() {
    let recorded = recorded("streams");
    for wire in [NodeWire::streams(), NodeWire::streams_before_0_3()] {
        let (emitter, _, mut sent) = emitter(&wire, 0);
        for case in CASES.into_iter().filter(|case| *case != "server event") {
            act(&emitter, case).await;
            assert_eq!(
                next(&mut sent).await,
                recorded[case].sent(false, "emitter", None),
                "{case}"
            );
        }
        // Through the stream, as by the emitter of Node: servers of every version read it there.
        act(&emitter, "server event").await;
        let Sent::Entry { entry, .. } = next(&mut sent).await else {
            panic!()
        };
        assert_eq!(entry.get("type").unwrap(), "9");
        assert_eq!(entry.get("data").unwrap(), "{\"packet\":[\"hey\",1,{\"a\":\"b\"}]}");
    }
}

#[tokio::test]
async fn an_emitter_over_postgresql_sends_what_a_server_sends() {
    let recorded = recorded("postgres");
    let (emitter, _, mut sent) = emitter(&NodeWire::postgres(), 0);
    for case in CASES {
        act(&emitter, case).await;
        let expected = recorded[case].sent(false, "emitter", None);
        assert_eq!(next(&mut sent).await, expected, "{case}");
    }
}

/// Does what a case of the requests in `tests/record.js` does, and waits for responses.
async fn ask(emitter: &Emitter, case: &str) {
    let second = Duration::from_secs(1);
    match case {
        "fetch" => drop(emitter.to("r1").fetch_sockets().await),
        "emit with ack" => {
            drop(emitter.to("r1").timeout(second).emit_with_ack("ev", &1).await.unwrap());
        }
        "emit with ack, binary" => {
            let (all, binary) = (emitter.broadcast().timeout(second), Bytes::from_static(&[1, 2, 255]));
            drop(all.emit_with_ack("ev", &binary).await.unwrap());
        }
        _ => drop(emitter.server_side_call("hey", &1, second).await),
    }
}

#[tokio::test]
async fn requests_are_those_of_a_server() {
    for (name, wire, is_sharded) in [
        ("classic", NodeWire::classic(), false),
        ("sharded", NodeWire::sharded(), true),
        ("streams", NodeWire::streams(), false),
        ("postgres", NodeWire::postgres().discovery(Duration::ZERO), false),
    ] {
        let recorded = recorded(name);
        for case in [
            "fetch",
            "emit with ack",
            "emit with ack, binary",
            "server event with ack",
        ] {
            let (emitter, broker, mut sent) = emitter(&wire, 3);
            let request = tokio::spawn(async move { ask(&emitter, case).await });
            let mut first = next(&mut sent).await;
            if name == "postgres" {
                assert_eq!(first, recorded["hello"].sent(false, "emitter", None));
                broker.respond(r#"{"type":2,"uid":"aa","nsp":"/"}"#).await;
                first = next(&mut sent).await;
            }
            let sent = first;
            request.abort();
            let (sender, id) = ids(&sent);
            let is_own = name != "postgres" && id.starts_with(&format!("{sender}-"));
            // Servers of this adapter would take any other sender for a server.
            assert!(is_own || name == "postgres" && sender == "emitter", "{id} of {sender}");
            let expected = recorded[case].sent(is_sharded, &sender, Some(&id));
            assert_eq!(without_timeout(&sent), without_timeout(&expected), "{name}: {case}");
        }
    }
}

/// Ours is what is left of the time, which is a little less than a second.
fn without_timeout(sent: &Sent) -> Vec<u8> {
    let (Sent::Message { bytes, .. } | Sent::Attached { bytes, .. }) = sent else {
        panic!("{sent:?}")
    };
    let (key, is_json): (&[u8], _) = match bytes[0] {
        b'{' => (b"\"timeout\":", true),
        _ => (b"\xa7timeout\xcd", false),
    };
    let Some(at) = bytes.windows(key.len()).position(|window| window == key) else {
        return bytes.to_vec();
    };
    let value = &bytes[at + key.len()..];
    let len = match is_json {
        true => value.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        false => 2,
    };
    [&bytes[..at + key.len()], &value[len..]].concat()
}
