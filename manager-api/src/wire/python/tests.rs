//! Decoding and encoding of the recorded messages of python-socketio, and of our extensions.

mod binary;
mod cluster;
mod extensions;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::*;
use crate::ack::AckStream;
use crate::broadcast::{Scope, Sink};
use crate::cluster::{
    Change, ClientDetails, ClusterRequest, ClusterResponse, RequestKind, ResponsePart, Responses, RoomInfo, Selection,
    ServerStatus, SocketInfo,
};
use crate::message::{Callback, CallbackAddress, Emit, Envelope, Mark, Message, Target};
use crate::*;

/// A sink that keeps the message of the builder instead of sending it.
#[derive(Default)]
struct Capture(Mutex<Option<Message>>);

impl Sink for Capture {
    fn emit(self: Arc<Self>, emit: Emit, _: Scope) -> BoxFuture<'static, Result<(), Error>> {
        self.command(Message::Emit(emit), Scope::Cluster)
    }

    fn emit_with_ack(self: Arc<Self>, _: Emit, _: Scope, _: Duration) -> BoxFuture<'static, AckStream> {
        unreachable!("no recorded call requests acknowledgements")
    }

    fn emit_with_report(
        self: Arc<Self>,
        _: Emit,
        _: Scope,
        _: Duration,
    ) -> BoxFuture<'static, Result<(AckStream, Responses), Error>> {
        unreachable!("no recorded call requests acknowledgements")
    }

    fn emit_with_receipt(
        self: Arc<Self>,
        _: Emit,
        _: Scope,
        _: Duration,
    ) -> BoxFuture<'static, Result<Responses, Error>> {
        unreachable!("no recorded call requests receipts")
    }

    fn request(self: Arc<Self>, _: RequestKind, _: Scope, _: Duration) -> BoxFuture<'static, Result<Responses, Error>> {
        unreachable!("no recorded call sends a request to servers")
    }

    fn change(self: Arc<Self>, clients: Selection, change: Change, _: Scope) -> BoxFuture<'static, Result<(), Error>> {
        self.command(Message::Members { clients, change }, Scope::Cluster)
    }

    fn max_sockets(&self) -> usize {
        0
    }

    fn command(self: Arc<Self>, message: Message, _: Scope) -> BoxFuture<'static, Result<(), Error>> {
        *self.0.lock().unwrap() = Some(message);
        std::future::ready(Ok(())).boxed()
    }
}

/// Performs the call of a recorded line with our own API.
fn our_call(method: &str, args: &str) -> Message {
    let capture = Arc::new(Capture::default());
    let io = Broadcast::new(capture.clone());
    let bytes = Bytes::from_static;
    let done = match (method, event_of(args)) {
        ("emit", "my event") => io.to("my room").emit("my event", &json!({"foo": "bar"})),
        ("emit", "broadcast") => io.emit("broadcast", "hello"),
        ("emit", "no data") => io.emit("no data", &None::<()>),
        ("emit", "tuple") => io.to("r").emit("tuple", &("a", 1, json!({"b": [true, null, 1.5]}))),
        ("emit", "empty tuple") => io.to("r").emit("empty tuple", &()),
        ("emit", "list") => io.to("r").emit("list", &vec![1, 2, 3]),
        ("emit", "bytes") => io.to("r").emit("bytes", &bytes(b"\x00\x01\xfe\xff")),
        ("emit", "nested bytes") => {
            #[derive(serde::Serialize)]
            struct Nested {
                a: Bytes,
                l: (Bytes, Z),
            }
            #[derive(serde::Serialize)]
            struct Z {
                z: Bytes,
            }
            let nested = Nested {
                a: bytes(b"abc"),
                l: (bytes(b""), Z { z: bytes(b"\xff") }),
            };
            io.to("r").emit("nested bytes", &nested)
        }
        ("emit", "tuple bytes") => io.to("r").emit("tuple bytes", &(bytes(b"one"), "two", bytes(b"three"))),
        ("emit", "ns") => io.of("/chat").to("r").emit("ns", &1),
        ("emit", "rooms list") => io.to_all(["r1", "r2"]).emit("rooms list", &1),
        ("emit", "skip one") => io.to("r").skip("sid1").emit("skip one", &1),
        ("emit", "skip many") => io.to("r").skip("sid1").skip("sid2").emit("skip many", &1),
        ("emit", "unicode ☃") => io.to("pokój").emit("unicode ☃", "żółć 😀"),
        ("emit", "to") => io.to("via-to").emit("to", &1),
        ("emit", "int room") => io.to(7).emit("int room", &1),
        ("emit", "placeholder-like") => io
            .to("r")
            .emit("placeholder-like", &json!({"_placeholder": true, "num": 0})),
        ("emit", "big int") => io.to("r").emit("big int", &9_223_372_036_854_775_809_u64),
        ("close_room", _) => io.of("/chat").close_room("my room"),
        ("disconnect", _) => io.disconnect("some-sid"),
        ("enter_room", _) => io.enter_room("some-sid", "r"),
        ("leave_room", _) => io.leave_room("some-sid", "r"),
        other => panic!("no call of ours for {other:?}"),
    };
    done.now_or_never().unwrap().unwrap();
    capture.0.lock().unwrap().take().unwrap()
}

/// Reads `my event` from `{'event': 'my event', …}`.
fn event_of(args: &str) -> &str {
    args.strip_prefix("{'event': '")
        .and_then(|rest| rest.split('\'').next())
        .unwrap_or_default()
}

/// Compares the meaning of two messages: Python escapes and spaces its JSON differently.
fn same(ours: &Message, theirs: &Message) -> bool {
    let value = |payload: &Payload| serde_json::from_str::<Value>(payload.json()).unwrap();
    match (ours, theirs) {
        (Message::Emit(ours), Message::Emit(theirs)) => {
            let mut theirs = theirs.clone();
            let ours_is_null = value(&ours.payload) == json!([null]) && theirs.payload.is_empty();
            let same_payload = value(&ours.payload) == value(&theirs.payload) || ours_is_null;
            let same_attachments = ours.payload.attachments() == theirs.payload.attachments();
            theirs.payload = ours.payload.clone();
            same_payload && same_attachments && *ours == theirs
        }
        _ => ours == theirs,
    }
}

/// Decodes each recorded body to its call, and encodes each call to its body; returns the number of lines.
fn check_recorded(lines: &str) -> usize {
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let body = line["body"].as_str().unwrap();
        let method = line["call"]["method"].as_str().unwrap();
        let ours = our_call(method, line["call"]["args"].as_str().unwrap());

        let theirs = decode(&Bytes::from(body.to_owned())).unwrap();
        assert!(same(&ours, &theirs.message), "{body} was read as {:?}", theirs.message);

        let host_id = theirs.host_id.clone();
        let written = encode(&Envelope::new(host_id, ours));
        let mut written: Value = serde_json::from_slice(&written).unwrap();
        if written["data"] == json!([null]) {
            // For our servers only, which distinguish a null from no argument.
            let extension = written.as_object_mut().unwrap().remove("sio");
            assert_eq!(extension, Some(json!({"v": 1, "null": true})));
        }
        assert_eq!(written, serde_json::from_str::<Value>(body).unwrap());
    }
    lines.lines().count()
}

#[test]
fn every_recorded_message_of_python_socketio_is_read_as_its_call_and_written_the_same() {
    assert_eq!(check_recorded(include_str!("../../../tests/vectors/redis.jsonl")), 22);
    assert_eq!(check_recorded(include_str!("../../../tests/vectors/kombu.jsonl")), 22);
    assert_eq!(check_recorded(include_str!("../../../tests/vectors/aiopika.jsonl")), 18);
}

fn envelope(message: Message) -> Envelope {
    let host_id = Some(HostId::from("0cf88e8f646d40878f05006a427ce228"));
    Envelope::new(host_id, message)
}

#[test]
fn extensions_and_callbacks_survive_encoding_and_decoding() {
    let payload = Payload::new(&(Bytes::from_static(b"\x01"), "x")).unwrap();
    let mut emit = Emit::new(
        NamespaceName::new("/a").unwrap(),
        EventName::new("e").unwrap(),
        payload.clone(),
    );
    emit.target = Target::Rooms(vec!["r".into(), 7.into()]);
    emit.except = vec!["not".into()];
    emit.volatile = true;
    emit.is_uncompressed = true;
    emit.ack_timeout = Some(Duration::from_millis(1500));
    emit.receipt = Some(9);
    let address = CallbackAddress {
        room: Some("r".into()),
        namespace: NamespaceName::root(),
        id: 3,
    };
    emit.callback = Some(address.clone());
    let callback = Callback {
        address,
        payload,
        client: Some("sid".into()),
    };
    for message in [Message::Emit(emit), Message::Callback(callback)] {
        let envelope = envelope(message);
        assert_eq!(decode(&encode(&envelope)).unwrap(), envelope);
    }
}

#[test]
fn missing_fields_are_read_leniently() {
    let bare = Bytes::from_static(br#"{"method":"emit","event":"e","data":[1]}"#);
    let expected = Emit::new(
        NamespaceName::root(),
        EventName::new("e").unwrap(),
        Payload::new(&1).unwrap(),
    );
    assert_eq!(decode(&bare).unwrap().message, Message::Emit(expected));
}

#[test]
fn what_cannot_be_read_says_why() {
    let reason = |body: &'static [u8]| decode(&Bytes::from_static(body)).unwrap_err();
    assert!(matches!(reason(b"\x80\x04\x95"), DecodeError::Pickle));
    assert!(matches!(reason(b"not json"), DecodeError::Json(_)));
    assert!(matches!(reason(b"[1]"), DecodeError::Json(_)));
    assert!(matches!(reason(b"{}"), DecodeError::NoMethod));
    assert!(matches!(
        reason(br#"{"method":"dance"}"#),
        DecodeError::UnknownMethod(_)
    ));
    for body in [
        &br#"{"method":"emit","data":[]}"#[..],
        br#"{"method":"emit","event":"disconnect","data":[]}"#,
        br#"{"method":"emit","event":"e","data":"text"}"#,
        br#"{"method":"emit","event":"e","data":[[],"%"],"binary":true}"#,
        br#"{"method":"emit","event":"e","data":[],"binary":true}"#,
        br#"{"method":"emit","event":"e","data":[],"namespace":"nope"}"#,
        br#"{"method":"emit","event":"e","data":[],"callback":["r","/"]}"#,
        br#"{"method":"enter_room","sid":"s"}"#,
        br#"{"method":"disconnect"}"#,
    ] {
        assert!(
            matches!(reason(body), DecodeError::Field { .. }),
            "{}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn own_messages_are_known_by_their_mark_and_callbacks_never_are() {
    let mine = envelope(Message::CloseRoom {
        room: "r".into(),
        namespace: NamespaceName::root(),
    });
    let mark = OwnMark::new(mine.host_id.as_ref().unwrap());
    assert!(mark.is_on(&encode(&mine)));
    let other = Envelope {
        host_id: Some(HostId::random()),
        ..mine
    };
    assert!(!mark.is_on(&encode(&other)));
    let callback = Callback {
        address: CallbackAddress {
            room: None,
            namespace: NamespaceName::root(),
            id: 1,
        },
        payload: Payload::empty(),
        client: None,
    };
    assert!(!mark.is_on(&encode(&envelope(Message::Callback(callback)))));
}

/// Changes some bytes of `seed`: the same ones in every run.
fn mutated(seed: &[u8], random: &mut fastrand::Rng) -> Bytes {
    let mut bytes = seed.to_vec();
    for _ in 0..random.usize(1..4) {
        let at = random.usize(0..bytes.len());
        match random.u8(0..4) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] = *random.choice(b"[]{},:\"\\0e-.tn\x00\xff").unwrap(),
            2 => bytes.truncate(at.max(1)),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes.into()
}

#[test]
fn no_damaged_message_makes_the_decoder_panic_and_what_it_reads_can_be_written_and_read_again() {
    let mut random = fastrand::Rng::with_seed(7);
    let recorded = include_str!("../../../tests/vectors/redis.jsonl").lines();
    for line in recorded {
        let line: Value = serde_json::from_str(line).unwrap();
        let body = line["body"].as_str().unwrap().as_bytes().to_owned();
        for _ in 0..2_000 {
            let Ok(envelope) = decode(&mutated(&body, &mut random)) else {
                continue;
            };
            if let Message::Emit(emit) = &envelope.message {
                // What was decoded is a JSON array that packets of clients can be made of.
                assert!(emit.payload.json().starts_with('['));
                emit.payload.arguments();
            }
            assert_eq!(decode(&encode(&envelope)).unwrap(), envelope);
        }
    }
}

#[test]
fn a_mark_of_any_form_is_a_mark_and_changes_nothing_else() {
    let plain = envelope(Message::CloseRoom {
        room: "r".into(),
        namespace: NamespaceName::root(),
    });
    let marked = Envelope {
        mark: Some(Mark::new(*b"0123456789abcdef")),
        ..plain.clone()
    };
    let bytes = encode(&marked);
    assert_eq!(decode(&bytes).unwrap(), marked);
    assert!(OwnMark::new(marked.host_id.as_ref().unwrap()).is_on(&bytes));
    for (mark, expected) in [
        ("\"later\"", Some(Mark::UNKNOWN)),
        ("7", Some(Mark::UNKNOWN)),
        ("{}", Some(Mark::UNKNOWN)),
        ("null", None),
    ] {
        let text = format!(r#"{{"method":"close_room","room":"r","sio_bridge":{mark}}}"#);
        assert_eq!(decode(&text.into()).unwrap().mark, expected, "{mark}");
    }
}
