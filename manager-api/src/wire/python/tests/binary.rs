//! Binary in messages of other processes.

use super::*;

fn emit(arguments: &str, attachments: &str) -> Result<Envelope, DecodeError> {
    let message = format!(r#"{{"method":"emit","event":"e","data":[{arguments}{attachments}],"binary":true}}"#);
    decode(&message.into())
}

#[test]
fn a_message_that_names_its_attachment_twice_is_passed_over() {
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    assert!(emit(&format!("[{placeholder}]"), r#","AQ==""#).is_ok());
    for arguments in [
        format!("[{placeholder},{placeholder}]"),
        r#"[{"_placeholder":true,"num":1}]"#.to_owned(),
    ] {
        let error = emit(&arguments, r#","AQ==""#).unwrap_err();
        assert!(matches!(error, DecodeError::Field { name: "data", .. }), "{error}");
    }
}

#[test]
fn an_object_of_a_user_that_looks_like_a_placeholder_stays_one_between_our_servers() {
    let object = serde_json::json!({"_placeholder": true, "num": 0});
    let payload = Payload::new(&(object.clone(), Bytes::from_static(b"x"))).unwrap();
    let emit = Emit::new(NamespaceName::root(), EventName::new("e").unwrap(), payload);
    let written = encode(&Envelope {
        host_id: None,
        message: Message::Emit(emit),
        mark: None,
    });
    let Message::Emit(read) = decode(&written).unwrap().message else {
        panic!("another message");
    };
    let (again, bytes): (serde_json::Value, Bytes) = read.payload.parse().unwrap();
    assert_eq!((again, &bytes[..]), (object, &b"x"[..]));
}
