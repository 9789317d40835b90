//! Messages between servers, which python-socketio does not know.

use super::*;

/// Returns one of each message that only our servers know.
fn cluster_messages() -> Vec<Message> {
    let requests = requests().into_iter().enumerate().map(|(at, kind)| {
        Message::Request(ClusterRequest {
            id: (at > 0).then_some(at as u64),
            kind,
            timeout: Duration::from_millis(1_500),
        })
    });
    let responses = parts().into_iter().enumerate().map(|(at, part)| {
        Message::Response(ClusterResponse {
            to: "requester".into(),
            id: 3,
            part,
            number: at as u32,
            is_last: at % 2 == 0,
            is_truncated: at % 3 == 0,
        })
    });
    let changes = [
        Change::Join(vec!["x".into(), 1.into()]),
        Change::Leave(Vec::new()),
        Change::Disconnect,
        Change::Close,
    ];
    let changes = changes.into_iter().map(|change| Message::Members {
        clients: some_clients(),
        change,
    });
    let presence = [Message::Hello, Message::Seek, Message::Present, Message::Bye];
    requests.chain(responses).chain(changes).chain(presence).collect()
}

fn some_clients() -> Selection {
    Selection {
        namespace: NamespaceName::new("/a").unwrap(),
        target: Target::Rooms(vec!["r".into(), 7.into()]),
        skip: vec!["s".into(), "t".into()],
        except: vec!["not".into(), 8.into()],
    }
}

fn some_payload() -> Payload {
    Payload::new(&(Bytes::from_static(b"\x00\xff"), "ü\"", 1)).unwrap()
}

fn requests() -> [RequestKind; 6] {
    let everyone = Selection {
        namespace: NamespaceName::root(),
        target: Target::Everyone,
        skip: Vec::new(),
        except: Vec::new(),
    };
    let event = EventName::new("e").unwrap();
    [
        RequestKind::Servers,
        RequestKind::Rooms {
            namespace: NamespaceName::new("/chat").unwrap(),
            prefix: "job:\"".into(),
            limit: 3,
        },
        RequestKind::Sockets {
            clients: some_clients(),
            limit: 9,
        },
        RequestKind::Count { clients: everyone },
        RequestKind::Event {
            event: event.clone(),
            payload: some_payload(),
        },
        RequestKind::Event {
            event,
            payload: Payload::empty(),
        },
    ]
}

fn parts() -> [ResponsePart; 12] {
    let socket = |id: &str, rooms: &[Room]| SocketInfo {
        id: id.into(),
        rooms: rooms.to_vec(),
        details: ClientDetails {
            data: (!rooms.is_empty()).then(|| r#"{"name":"A\u00e9"}"#.into()),
            connected_for: rooms.is_empty().then(|| Duration::from_millis(9)),
            transport: rooms.is_empty().then(|| "web\"socket".into()),
        },
    };
    [
        ResponsePart::Present(Box::new(ServerStatus {
            software: "sio/\"1\"".into(),
            host_name: "machine".into(),
            uptime: Duration::from_millis(u64::MAX),
            clients: 7,
            listening_for: Some(Duration::from_millis(5)),
            gaps: 2,
            clock: SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123),
        })),
        ResponsePart::Present(Box::default()),
        ResponsePart::Rooms(vec![
            RoomInfo {
                room: "a\n".into(),
                clients: u64::MAX,
            },
            RoomInfo {
                room: 7.into(),
                clients: 0,
            },
        ]),
        ResponsePart::Rooms(Vec::new()),
        ResponsePart::Sockets(vec![socket("a", &["a".into(), 7.into()]), socket("b", &[])]),
        ResponsePart::Sockets(Vec::new()),
        ResponsePart::Count(u64::MAX),
        ResponsePart::Event(None),
        ResponsePart::Event(Some(some_payload())),
        ResponsePart::Event(Some(Payload::empty())),
        ResponsePart::Recipients(vec!["a".into(), "\n".into()]),
        ResponsePart::Left(vec!["a".into()]),
    ]
}

#[test]
fn messages_between_servers_survive_encoding_and_decoding() {
    let mark = OwnMark::new(envelope(Message::Present).host_id.as_ref().unwrap());
    for message in cluster_messages() {
        let envelope = envelope(message);
        let bytes = encode(&envelope);
        assert_eq!(decode(&bytes).unwrap(), envelope);
        assert!(mark.is_on(&bytes), "its sender must recognise it as its own");
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        let method = value["method"].as_str().unwrap();
        assert_eq!(method, envelope.message.method());
        assert!(method.starts_with("sio_"), "python-socketio must not know {method}");
    }
}

#[test]
fn messages_of_servers_of_a_later_version_are_skipped() {
    let reason = |body: &'static [u8]| decode(&Bytes::from_static(body)).unwrap_err();
    assert!(matches!(
        reason(br#"{"method":"sio_here","sio":{"v":2},"host_id":"h"}"#),
        DecodeError::Version(_)
    ));
    assert!(matches!(
        reason(br#"{"method":"sio_dance","sio":{"v":1},"host_id":"h"}"#),
        DecodeError::UnknownMethod(_)
    ));
    assert!(matches!(reason(br#"{"method":"sio_here"}"#), DecodeError::Json(_)));
    for body in [
        &br#"{"method":"sio_ask","ask":"dance","sio":{"v":1,"timeout_ms":1}}"#[..],
        br#"{"method":"sio_ask","ask":"servers","sio":{"v":1}}"#,
        br#"{"method":"sio_ask","ask":"sockets","sio":{"v":1,"timeout_ms":1}}"#,
        br#"{"method":"sio_ask","ask":"event","event":"connect","sio":{"v":1,"timeout_ms":1}}"#,
        br#"{"method":"sio_answer","answer":"count","to":"x","id":1,"sio":{"v":1}}"#,
        br#"{"method":"sio_answer","answer":"present","id":1,"sio":{"v":1}}"#,
        br#"{"method":"sio_members","change":"dance","sio":{"v":1}}"#,
    ] {
        let shown = String::from_utf8_lossy(body);
        assert!(matches!(reason(body), DecodeError::Field { .. }), "{shown}");
    }
}

#[test]
fn no_damaged_message_between_servers_makes_the_decoder_panic() {
    let mut random = fastrand::Rng::with_seed(8);
    for message in cluster_messages() {
        let body = encode(&envelope(message));
        for _ in 0..2_000 {
            if let Ok(envelope) = decode(&mutated(&body, &mut random)) {
                assert_eq!(decode(&encode(&envelope)).unwrap(), envelope);
            }
        }
    }
}
