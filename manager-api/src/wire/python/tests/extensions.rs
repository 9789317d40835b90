//! Extensions of other versions, values that exceed a number, and limits of lists.

use super::*;

fn read(body: &'static str) -> Message {
    decode(&Bytes::from_static(body.as_bytes())).unwrap().message
}

#[test]
fn extensions_of_another_version_are_ignored_and_the_message_is_used() {
    for sio in [
        r#"{"v":2,"except":["r"],"volatile":true,"compress":false,"ack_timeout_ms":1,"report":1}"#,
        // Their form is not known.
        r#"{"v":2,"except":"everyone","volatile":1,"report":[]}"#,
        r#"{"v":"1","except":["r"]}"#,
        r#"{"except":["r"]}"#,
        r#"[1]"#,
        "null",
    ] {
        let body = format!(r#"{{"method":"emit","event":"e","data":[1],"sio":{sio},"host_id":"h"}}"#);
        let Message::Emit(emit) = decode(&Bytes::from(body)).unwrap().message else {
            panic!("an emit");
        };
        let expected = Emit::new(
            NamespaceName::root(),
            EventName::new("e").unwrap(),
            Payload::new(&1).unwrap(),
        );
        assert_eq!(emit, expected, "{sio}");
    }
    let body = r#"{"method":"callback","id":1,"args":[1],"namespace":"/","sio":{"v":2,"client":["a"]},"host_id":"h"}"#;
    let Message::Callback(callback) = read(body) else {
        panic!("a callback");
    };
    assert_eq!((callback.client, callback.payload), (None, Payload::new(&1).unwrap()));
}

#[test]
fn a_lone_null_is_an_argument_unless_python_emits_it() {
    let null = || Payload::new(&None::<()>).unwrap();
    let emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), null());
    let written = encode(&envelope(Message::Emit(emit.clone())));
    assert_eq!(decode(&written).unwrap().message, Message::Emit(emit));
    let Message::Emit(theirs) = read(r#"{"method":"emit","event":"e","data":[ null ]}"#) else {
        panic!("an emit");
    };
    assert_eq!(theirs.payload, Payload::empty());
    let Message::Callback(callback) = read(r#"{"method":"callback","id":1,"args":[null],"namespace":"/"}"#) else {
        panic!("a callback");
    };
    assert_eq!(callback.payload, null());
}

#[test]
fn a_wait_that_exceeds_a_number_is_written_as_the_longest_that_others_can_read() {
    let mut emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), Payload::empty());
    emit.ack_timeout = Some(Duration::MAX);
    let request = ClusterRequest {
        id: None,
        kind: RequestKind::Servers,
        timeout: Duration::MAX,
    };
    for message in [Message::Emit(emit), Message::Request(request)] {
        let longest = Duration::from_millis(u64::MAX);
        match decode(&encode(&envelope(message))).unwrap().message {
            Message::Emit(emit) => assert_eq!(emit.ack_timeout, Some(longest)),
            Message::Request(request) => assert_eq!(request.timeout, longest),
            other => panic!("{other:?}"),
        }
    }
}

/// Decodes with limits of three names and one attachment.
fn decode_few(message: String) -> Result<Envelope, DecodeError> {
    let limits = DecodeLimits {
        max_names: 3,
        max_attachments: 1,
    };
    decode_within(&message.into(), limits)
}

#[test]
fn lists_are_read_up_to_a_limit_wherever_they_stand() {
    let emit = |more: &str| format!(r#"{{"method":"emit","event":"e","data":[],{more}}}"#);
    let ours = |more: &str| format!(r#"{{"method":{more}}}"#);
    for (fits, is_too_much) in [
        (emit(r#""room":["a",1,"c"]"#), emit(r#""room":["a",1,"c","d"]"#)),
        (
            emit(r#""skip_sid":["a",null,"c"]"#),
            emit(r#""skip_sid":["a",null,"c",null]"#),
        ),
        (
            emit(r#""room":["a"],"skip_sid":["b"],"sio":{"v":1,"except":["c"]}"#),
            emit(r#""room":["a"],"skip_sid":["b"],"sio":{"v":1,"except":["c","d"]}"#),
        ),
        (
            r#"{"method":"emit","event":"e","binary":true,"data":[[],"AA=="]}"#.to_owned(),
            r#"{"method":"emit","event":"e","binary":true,"data":[[],"AA==","AA=="]}"#.to_owned(),
        ),
        (
            ours(r#""sio_members","change":"join","rooms":["a","b","c"],"sio":{"v":1}"#),
            ours(r#""sio_members","change":"join","rooms":["a","b"],"room":["c","d"],"sio":{"v":1}"#),
        ),
        (
            ours(r#""sio_answer","to":"h","id":1,"answer":"left","clients":["a","b","c"],"sio":{"v":1}"#),
            ours(r#""sio_answer","to":"h","id":1,"answer":"asked","clients":["a","b","c","d"],"sio":{"v":1}"#),
        ),
        (
            ours(
                r#""sio_answer","to":"h","id":1,"answer":"sockets","sockets":[{"id":"a","rooms":["a","b"]}],"sio":{"v":1}"#,
            ),
            ours(
                r#""sio_answer","to":"h","id":1,"answer":"sockets","sockets":[{"id":"a","rooms":["a","b","c"]}],"sio":{"v":1}"#,
            ),
        ),
    ] {
        let read = decode_few(fits.clone());
        assert!(read.is_ok(), "{fits}: {read:?}");
        let error = decode_few(is_too_much.clone());
        assert!(
            matches!(error, Err(DecodeError::TooMany { .. })),
            "{is_too_much}: {error:?}"
        );
    }
}

#[test]
fn what_is_behind_the_limit_of_a_list_is_not_looked_at() {
    let beyond = format!(
        r#"{{"method":"emit","event":"e","room":["a","b","c",{}{{}}]}}"#,
        r#""x","#.repeat(100_000)
    );
    assert!(matches!(decode_few(beyond), Err(DecodeError::TooMany { limit: 3, .. })));
    // Within the limit the fault is reported as before: a room that is neither text nor number.
    let within = r#"{"method":"emit","event":"e","room":["a",{}]}"#.to_owned();
    assert!(matches!(
        decode_few(within),
        Err(DecodeError::Field { name: "room", .. })
    ));
}

fn keyed(key: &str) -> Emit {
    let mut emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), Payload::empty());
    emit.key = Some(IdempotencyKey::new(key).unwrap());
    emit
}

#[test]
fn a_key_is_carried_and_an_event_without_one_is_written_as_before() {
    let plain = Emit {
        key: None,
        ..keyed("k")
    };
    let before = concat!(
        r#"{"method":"emit","event":"e","data":[],"binary":false,"namespace":"/","room":null,"skip_sid":null,"#,
        r#""callback":null,"host_id":"0cf88e8f646d40878f05006a427ce228"}"#
    );
    assert_eq!(encode(&envelope(Message::Emit(plain))), before);
    let written = encode(&envelope(Message::Emit(keyed("job 7"))));
    let text = std::str::from_utf8(&written).unwrap();
    assert!(text.contains(r#","sio":{"v":1,"key":"job 7"},"host_id""#), "{text}");
    for key in ["job 7", "\"\\\u{2028}é🦀", &"\"".repeat(IdempotencyKey::MAX_LEN)] {
        let written = encode(&envelope(Message::Emit(keyed(key))));
        assert_eq!(decode(&written).unwrap().message, Message::Emit(keyed(key)));
    }
}

#[test]
fn a_key_is_read_however_its_json_is_escaped() {
    let emit = |key: &str| {
        let body = format!(r#"{{"method":"emit","event":"e","data":[],"sio":{{"v":1,"key":"{key}"}}}}"#);
        let Message::Emit(emit) = decode(&body.into()).unwrap().message else {
            panic!("an emit");
        };
        emit
    };
    let escaped = r"\u006b".repeat(IdempotencyKey::MAX_LEN);
    let read = emit(&escaped);
    assert_eq!(read.key.unwrap(), *"k".repeat(IdempotencyKey::MAX_LEN));
    assert_eq!(read.num_malformed, 0);
}

#[test]
fn an_event_whose_key_cannot_be_used_is_delivered_and_the_key_is_counted() {
    for key in [
        r#""""#,
        r#""a\nb""#,
        "7",
        "[]",
        "{}",
        "true",
        &format!("\"{}\"", "k".repeat(129)),
    ] {
        let body = format!(r#"{{"method":"emit","event":"e","data":[1],"sio":{{"v":1,"key":{key},"volatile":true}}}}"#);
        let Message::Emit(emit) = decode(&body.into()).unwrap().message else {
            panic!("an emit");
        };
        assert_eq!((emit.key, emit.num_malformed, emit.volatile), (None, 1, true), "{key}");
    }
}

#[test]
fn no_damaged_message_with_a_key_makes_the_decoder_panic() {
    let mut random = fastrand::Rng::with_seed(9);
    let body = encode(&envelope(Message::Emit(keyed("job 7 \"é\""))));
    for _ in 0..4_000 {
        if let Ok(envelope) = decode(&mutated(&body, &mut random)) {
            let again = decode(&encode(&envelope)).unwrap();
            let (Message::Emit(read), Message::Emit(again)) = (envelope.message, again.message) else {
                continue;
            };
            // What was malformed is not written again.
            assert_eq!(
                again,
                Emit {
                    num_malformed: 0,
                    ..read
                }
            );
        }
    }
}
