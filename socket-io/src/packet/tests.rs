use std::borrow::Cow;

use super::*;
use crate::config::Parser;
use bytes::Bytes;

fn event(json: &str, attachments: Vec<Bytes>) -> Result<(Cow<'_, str>, Payload), ProtocolError> {
    super::event(json, attachments, Parser::Json)
}

fn ack_payload(json: &str, attachments: Vec<Bytes>) -> Result<Payload, ProtocolError> {
    super::ack_payload(json, attachments, Parser::Json)
}

fn packet(kind: Kind, namespace: &'static str, id: Option<u64>, json: &'static str) -> Packet<'static> {
    Packet {
        kind,
        num_attachments: 0,
        namespace,
        id,
        json,
    }
}

#[test]
fn heads_are_read_with_and_without_their_optional_parts() {
    let parse = |text| Packet::parse(text).unwrap();
    assert_eq!(parse("0"), packet(Kind::Connect, "/", None, ""));
    assert_eq!(parse("0/admin"), packet(Kind::Connect, "/admin", None, ""));
    assert_eq!(parse("0/admin,{}"), packet(Kind::Connect, "/admin", None, "{}"));
    assert_eq!(parse("2[\"a\"]"), packet(Kind::Event, "/", None, "[\"a\"]"));
    assert_eq!(parse("2/n,12[\"a\"]"), packet(Kind::Event, "/n", Some(12), "[\"a\"]"));
    assert_eq!(parse("3007[]"), packet(Kind::Ack, "/", Some(7), "[]"));
    let binary = parse("52-/n,1[\"a\",{\"_placeholder\":true,\"num\":0}]");
    assert_eq!(
        (binary.num_attachments, binary.id, binary.namespace),
        (2, Some(1), "/n")
    );
}

#[test]
fn malformed_heads_are_refused() {
    for text in [
        "",
        "4\"x\"",
        "7[]",
        "9",
        "x",
        "5[\"a\"]",
        "5-[\"a\"]",
        "50-[\"a\"]",
        "5x-[\"a\"]",
        "5+1-[\"a\"]",
        "299999999999999999999[\"a\"]",
        "ü",
    ] {
        assert!(Packet::parse(text).is_err(), "{text}");
    }
}

#[test]
fn events_are_split_into_name_and_untouched_arguments() {
    let (name, payload) = event(r#"["a", 1 , {"b" : 2}]"#, vec![]).unwrap();
    assert_eq!((&*name, payload.json()), ("a", r#"[1 , {"b" : 2}]"#));
    let (name, payload) = event("[\"a\"]", vec![]).unwrap();
    assert_eq!((&*name, payload.json()), ("a", "[]"));
    assert_eq!(event("[7]", vec![]).unwrap().0, "7");
    assert_eq!(event(r#"["\u0061"]"#, vec![]).unwrap().0, "a");
    assert_eq!(event(r#"["__proto__"]"#, vec![]).unwrap().0, "__proto__");
}

#[test]
fn malformed_and_reserved_events_are_refused() {
    for json in [
        "",
        "{}",
        "[]",
        "[null]",
        "[true]",
        "[[]]",
        "[\"a\"",
        "[\"a\",]",
        "[\"a\",x]",
        "[\"a\"]b",
        "b,[\"x\"]",
        "[\"connect\"]",
        "[\"disconnect\",1]",
        "[\"connect_error\"]",
        "[\"newListener\"]",
    ] {
        assert!(event(json, vec![]).is_err(), "{json}");
    }
}

#[test]
fn placeholders_must_stand_for_something() {
    let attachments = || vec![Bytes::from_static(b"x")];
    assert!(event(r#"["a",{"_placeholder":true,"num":0}]"#, attachments()).is_ok());
    for bad in [
        r#"["a",{"_placeholder":true,"num":1}]"#,
        r#"["a",[{"x":{"_placeholder":true,"num":-1}}]]"#,
        r#"["a",{"_placeholder":true}]"#,
    ] {
        assert!(event(bad, attachments()).is_err(), "{bad}");
    }
}

#[test]
fn no_two_placeholders_stand_for_the_same_attachment() {
    let attachments = || vec![Bytes::from_static(b"x")];
    let twice = r#"["a",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#;
    assert!(event(twice, attachments()).is_err());
    assert!(ack_payload(twice, attachments()).is_err());
    let (_, literal) = event(twice, vec![]).unwrap();
    assert!(
        literal.attachments().is_empty(),
        "without binary they are objects of the user"
    );
}

#[test]
fn what_javascript_reads_is_read() {
    let deep = format!("[\"a\",{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    for json in [r#"["a","\ud800"]"#, r#"["a",1e400]"#, &deep] {
        for attachments in [vec![], vec![Bytes::from_static(b"x")]] {
            let (name, payload) = event(json, attachments.clone()).unwrap();
            assert_eq!((&*name, payload.json().len()), ("a", json.len() - 4));
            assert_eq!(ack_payload(json, attachments).unwrap().json(), json);
        }
    }
    let name = |json| event(json, vec![]).unwrap().0;
    assert_eq!(name(r#"["x\ud800y"]"#), "x\u{fffd}y");
    assert_eq!(name(r#"["\ud83d\ude00\n"]"#), "😀\n");
    assert_eq!(
        [
            name("[1e400]"),
            name("[-1e400]"),
            name("[-0]"),
            name("[1.50]"),
            name("[-7]")
        ],
        ["Infinity", "-Infinity", "0", "1.5", "-7"]
    );
}

#[test]
fn authentication_is_an_object_or_nothing() {
    let auth = |json| auth(json).unwrap().map(|payload| payload.json().to_owned());
    assert_eq!(auth(r#"{"a":1}"#).as_deref(), Some(r#"[{"a":1}]"#));
    assert_eq!([auth(""), auth("null")].map(Option::unwrap), ["[]", "[]"]);
    assert_eq!([auth("[]"), auth("\"token\""), auth("1")], [None, None, None]);
}

#[test]
fn acknowledgements_are_arrays_or_nothing() {
    assert_eq!(ack_payload("", vec![]).unwrap().json(), "[]");
    assert_eq!(ack_payload("[1,\"a\"]", vec![]).unwrap().json(), "[1,\"a\"]");
    for bad in ["{}", "1", "[1", "null"] {
        assert!(ack_payload(bad, vec![]).is_err(), "{bad}");
    }
}

#[test]
fn packets_of_the_server_are_written_as_node_writes_them() {
    let root = NamespaceName::root();
    let admin = NamespaceName::new("/admin").unwrap();
    let sid = Sid::from("abc");
    let two = Payload::new(&("a", 1)).unwrap();
    let binary = Payload::new(&Bytes::from_static(b"\x01")).unwrap();
    let text = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(&|out| write_connect(out, &root, &sid)), "0{\"sid\":\"abc\"}");
    assert_eq!(
        text(&|out| write_connect(out, &admin, &sid)),
        "0/admin,{\"sid\":\"abc\"}"
    );
    assert_eq!(text(&|out| write_connect_error(out, "/x", b"{}")), "4/x,{}");
    assert_eq!(
        text(&|out| write_event(out, &root, "e", &two, None)),
        "2[\"e\",\"a\",1]"
    );
    let empty = Payload::empty();
    assert_eq!(
        text(&|out| write_event(out, &admin, "e", &empty, Some(3))),
        "2/admin,3[\"e\"]"
    );
    let placeholder = "{\"_placeholder\":true,\"num\":0}";
    let expected = format!("51-[\"e\",{placeholder}]");
    assert_eq!(text(&|out| write_event(out, &root, "e", &binary, None)), expected);
    assert_eq!(text(&|out| write_ack(out, &root, &two, 12)), "312[\"a\",1]");
    assert_eq!(
        text(&|out| write_ack(out, &root, &binary, 1)),
        format!("61-1[{placeholder}]")
    );
}

#[test]
fn no_damaged_packet_makes_the_parser_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let seeds = [
        "0/admin,{\"token\":\"abc\"}",
        "1/admin,",
        "2/n,12[\"a\",1,{\"b\":[true,null,1.5e3]},\"żółć 😀\"]",
        "52-/n,1[\"a\",{\"_placeholder\":true,\"num\":0},{\"x\":{\"_placeholder\":true,\"num\":1}}]",
        "3007[1,\"two\"]",
        "61-3[{\"_placeholder\":true,\"num\":0}]",
    ];
    let mut num_valid = 0;
    for _ in 0..50_000 {
        let mut characters: Vec<char> = random.choice(seeds).unwrap().chars().collect();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..characters.len());
            match random.u8(0..4) {
                0 => characters[at] = random.char(..),
                1 => {
                    characters[at] = *random
                        .choice(&['[', ']', '{', '}', ',', '"', '\\', '/', '-', '0', '9'])
                        .unwrap()
                }
                2 => drop(characters.remove(at)),
                _ => characters.insert(at, random.char('\0'..'\u{80}')),
            }
        }
        let text: String = characters.into_iter().collect();
        let Ok(packet) = Packet::parse(&text) else { continue };
        let attachments = vec![Bytes::new(); packet.num_attachments.min(3)];
        let read = match packet.kind {
            Kind::Event => event(packet.json, attachments).map(|(_, payload)| payload),
            _ => ack_payload(packet.json, attachments),
        };
        if let Ok(payload) = read {
            payload.arguments();
            num_valid += 1;
        }
    }
    assert!(num_valid > 1_000, "the test reaches beyond the head of packets");
}
