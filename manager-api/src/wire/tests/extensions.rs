//! What other versions of ours say, and what a number cannot.

use super::*;

fn read(body: &'static str) -> Message {
    decode(&Bytes::from_static(body.as_bytes())).unwrap().message
}

#[test]
fn extensions_of_another_version_are_ignored_and_the_message_counts() {
    for sio in [
        r#"{"v":2,"except":["r"],"volatile":true,"compress":false,"ack_timeout_ms":1,"report":1}"#,
        // What they look like is not known.
        r#"{"v":2,"except":"everybody","volatile":1,"report":[]}"#,
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
            Namespace::root(),
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
    let emit = Emit::new(Namespace::root(), EventName::new("e").unwrap(), null());
    let written = encode(&envelope(Message::Emit(emit.clone())));
    assert_eq!(decode(&written).unwrap().message, Message::Emit(emit));
    let Message::Emit(theirs) = read(r#"{"method":"emit","event":"e","data":[ null ]}"#) else {
        panic!("an emit");
    };
    assert_eq!(theirs.payload, Payload::empty());
    let Message::Callback(answer) = read(r#"{"method":"callback","id":1,"args":[null],"namespace":"/"}"#) else {
        panic!("a callback");
    };
    assert_eq!(answer.payload, null());
}

#[test]
fn a_wait_that_no_number_can_tell_is_written_as_the_longest_that_others_can_read() {
    let mut emit = Emit::new(Namespace::root(), EventName::new("e").unwrap(), Payload::empty());
    emit.ack_timeout = Some(Duration::MAX);
    let question = Question {
        id: None,
        ask: Ask::Servers,
        timeout: Duration::MAX,
    };
    for message in [Message::Emit(emit), Message::Ask(question)] {
        let longest = Duration::from_millis(u64::MAX);
        match decode(&encode(&envelope(message))).unwrap().message {
            Message::Emit(emit) => assert_eq!(emit.ack_timeout, Some(longest)),
            Message::Ask(question) => assert_eq!(question.timeout, longest),
            other => panic!("{other:?}"),
        }
    }
}
