use manager_api::Payload;

use super::*;

const LIMITS: Limits = Limits {
    max_attachments: 3,
    max_attachment_bytes: 10,
};

fn bytes(hex: &str) -> Vec<u8> {
    let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

fn read(hex: &str) -> Result<Decoded, ProtocolError> {
    decode(&bytes(hex), LIMITS)
}

/// The JSON and attachments of an EVENT whose data is given.
fn data(hex: &str) -> Result<(String, Vec<Bytes>), ProtocolError> {
    let decoded = read(&format!("83 a474797065 02 a36e7370 a12f a464617461 {hex}"))?;
    Ok((decoded.json, decoded.attachments))
}

/// The bytes that JSON becomes.
fn written(json: &str, attachments: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    write::json(&mut out, json, attachments);
    out
}

#[test]
fn packets_of_real_clients_are_read() {
    // Each as captured from socket.io-msgpack-parser 3.0.2.
    let connect = read("82a47479706500a36e7370a12f").unwrap();
    assert_eq!(
        (connect.kind, &*connect.namespace, connect.id),
        (Kind::Connect, "/", None)
    );
    assert_eq!(connect.json, "");
    let event = read("84a47479706502a36e7370a12fa46461746192a2657601a269640c").unwrap();
    assert_eq!(
        (event.kind, event.id, &*event.json),
        (Kind::Event, Some(12), "[\"ev\",1]")
    );
    let disconnect = read("82a47479706501a36e7370a12f").unwrap();
    assert_eq!((disconnect.kind, &*disconnect.json), (Kind::Disconnect, ""));
}

#[test]
fn null_undefined_and_a_missing_key_all_mean_no_data() {
    // python-socketio writes null, JavaScript undefined.
    for hex in [
        "82a47479706500a36e7370a12f",
        "83a47479706500a464617461c0a36e7370a12f",
        "83a47479706500a464617461d40000a36e7370a12f",
    ] {
        assert_eq!(read(hex).unwrap().json, "", "{hex}");
    }
    let undefined_id = read("84a47479706502a36e7370a12fa4646174619101a26964d40000").unwrap();
    assert_eq!(undefined_id.id, None);
}

#[test]
fn keys_come_in_any_order_and_those_of_the_client_are_passed_over() {
    // data, id, options: {compress: true, nested: [[null], {"a": 1.5}]}, type, nsp
    let event = read(
        "85 a464617461 91a161 a26964 07 a76f7074696f6e73 82a8636f6d7072657373c3a66e6573746564\
         9291c081a161cb3ff8000000000000 a474797065 02 a36e7370 a22f6e",
    )
    .unwrap();
    assert_eq!((&*event.namespace, event.id, &*event.json), ("/n", Some(7), "[\"a\"]"));
}

#[test]
fn values_become_json_and_binary_becomes_attachments() {
    for (hex, json) in [
        ("90", "[]"),
        ("94c0c2c3d40000", "[null,false,true,null]"),
        (
            "987fccffcdffffceffffffffcfffffffffffffffffe0d080d18000",
            "[127,255,65535,4294967295,18446744073709551615,-32,-128,-32768]",
        ),
        ("92d280000000d38000000000000000", "[-2147483648,-9223372036854775808]"),
        ("93cb3ff8000000000000ca3fc00000cb7ff8000000000000", "[1.5,1.5,null]"),
        ("91d70000000000 00000000", "[\"1970-01-01T00:00:00.000Z\"]"),
        ("92a3e282acd9025c22", "[\"€\",\"\\\\\\\"\"]"),
        ("9182a16190a16281a0c0", "[{\"a\":[],\"b\":{\"\":null}}]"),
        ("918201c0fec2", "[{\"1\":null,\"-2\":false}]"),
        ("dc0001dd0000000180", "[[{}]]"),
        ("91de0001a161df00000000", "[{\"a\":{}}]"),
        ("92da000161db0000000162", "[\"a\",\"b\"]"),
    ] {
        assert_eq!(data(hex).unwrap(), (json.to_owned(), vec![]), "{hex}");
    }
    let (json, attachments) = data("92c40101 81a161c50002ff00").unwrap();
    let expected = "[{\"_placeholder\":true,\"num\":0},{\"a\":{\"_placeholder\":true,\"num\":1}}]";
    assert_eq!(json, expected);
    assert_eq!(attachments, [&b"\x01"[..], b"\xff\x00"]);
}

#[test]
fn typed_arrays_of_node_which_are_no_buffers_arrive_as_binary() {
    for hex in ["91c7020001ff", "91c800020001ff", "91c9000000020001ff"] {
        let (json, attachments) = data(hex).unwrap();
        assert_eq!(json, "[{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(attachments, [&b"\x01\xff"[..]]);
    }
    assert!(data("91c7020101ff").is_err(), "an unknown extension");
    assert!(data("91c9ffffffff00").is_err(), "truncated");
}

#[test]
fn malformed_packets_are_refused() {
    for hex in [
        "",                                               // nothing
        "90",                                             // no map
        "80",                                             // no type
        "81a47479706500",                                 // no namespace
        "82a47479706504a36e7370a12f",                     // CONNECT_ERROR is the server's
        "82a47479706505a36e7370a12f",                     // binary has no type of its own
        "82a474797065ffa36e7370a12f",                     // a negative type
        "82a474797065a130a36e7370a12f",                   // a type that is text
        "82a47479706502a36e737001",                       // a namespace that is a number
        "83a47479706502a36e7370a12fa26964ff",             // a negative id
        "83a47479706502a47479706502a36e7370a12f",         // a type twice
        "83a47479706502a36e7370a12fa464617461",           // truncated
        "83a47479706502a36e7370a12fa464617461ddffffffff", // an array that is not there
        "83a47479706502a36e7370a12fa464617461dfffffffff", // a map that is not there
        "83a47479706502a36e7370a12fa464617461dbffffffff", // text that is not there
        "83a47479706502a36e7370a12fa464617461c6ffffffff", // binary that is not there
        "83a47479706502a36e7370a12fa164dfffffffff",       // an ignored map that is not there
        "82a47479706500a36e7370a12f00",                   // something behind the end
        "83a47479706502a36e7370a12fa464617461 91a2c328",  // not UTF-8
        "83a47479706502a36e7370a12fa464617461 91c1",      // a marker without a meaning
        "83a47479706502a36e7370a12fa464617461 91d40100",  // an unknown extension
        "83a47479706502a36e7370a12fa464617461 9181c001",  // a key that is not text
    ] {
        assert!(read(hex).is_err(), "{hex}");
    }
}

#[test]
fn deep_values_are_refused_and_not_recursed_into() {
    let nested = |depth: usize| format!("{}c0", "91".repeat(depth));
    let (json, _) = data(&nested(read::MAX_DEPTH)).unwrap();
    serde_json::from_str::<serde_json::Value>(&json).expect("what passes can be parsed");
    assert!(data(&nested(read::MAX_DEPTH + 1)).is_err());
    assert!(data(&nested(500_000)).is_err());
    // Neither in a value that is skipped.
    let ignored = format!("83 a474797065 00 a36e7370 a12f a178 {}c0", "91".repeat(500_000));
    assert!(read(&ignored).is_ok());
}

#[test]
fn attachments_are_limited_in_number_and_size() {
    assert!(data("93c40101c40102c40103").is_ok());
    assert!(data("94c40101c40102c40103c40104").is_err());
    assert!(data("91c40a00000000000000000000").is_ok());
    assert!(data("92c40a00000000000000000000c40100").is_err());
}

#[test]
fn packets_of_the_server_are_those_of_the_javascript_parser() {
    // Each as `new Encoder().encode({type, nsp, id, data})` of socket.io-msgpack-parser 3.0.2 says, without keys that are undefined.
    let (root, other) = (NamespaceName::root(), NamespaceName::new("/n").unwrap());
    let one = Payload::new(&1).unwrap();
    let accepted = encode_connect(&root, &Sid::from("abc"));
    assert_eq!(
        accepted,
        bytes("83a47479706500a36e7370a12fa46461746181a3736964a3616263")
    );
    assert_eq!(encode_disconnect(&other), bytes("82a47479706501a36e7370a22f6e"));
    let event = encode_event(&root, "ev", &one, Some(12));
    assert_eq!(event, bytes("84a47479706502a36e7370a12fa269640ca46461746192a2657601"));
    let event = encode_event(&other, "ev", &Payload::empty(), None);
    assert_eq!(event, bytes("83a47479706502a36e7370a22f6ea46461746191a26576"));
    let ack = encode_ack(&root, &Payload::new(&Bytes::from_static(b"\xff")).unwrap(), 300);
    assert_eq!(ack, bytes("84a47479706503a36e7370a12fa26964cd012ca46461746191c401ff"));
    let refusal = encode_connect_error("/x", b"{\"message\":\"no\"}");
    assert_eq!(
        refusal,
        bytes("83a47479706504a36e7370a22f78a46461746181a76d657373616765a26e6f")
    );
}

#[test]
fn json_becomes_the_shortest_messagepack() {
    for (json, hex) in [
        ("null", "c0"),
        ("[true,false]", "92c3c2"),
        (
            "[0,127,128,65535,65536,4294967296]",
            "96007fcc80cdffffce00010000cf0000000100000000",
        ),
        (
            "[-1,-32,-33,-32769,-9223372036854775808]",
            "95ffe0d0dfd2ffff7fffd38000000000000000",
        ),
        (
            "[1.5,-0.5,1e3]",
            "93cb3ff8000000000000cbbfe0000000000000cb408f400000000000",
        ),
        ("[18446744073709551616]", "91cb43f0000000000000"),
        ("[1e999]", "91cb7ff0000000000000"),
        (" { \"a\" : [ ] , \"b\" : { } } ", "82a16190a16280"),
        (r#"["\u20ac\"\\\/\b\f\n\r\t"]"#, "91ab e282ac 22 5c 2f 08 0c 0a 0d 09"),
        (r#"["\ud83d\ude00x"]"#, "91a5 f09f9880 78"),
        // Halves of pairs, which UTF-8 has no bytes for.
        (r#"["x\ud83d","\udc00\u0041"]"#, "92a478efbfbda4efbfbd41"),
    ] {
        assert_eq!(written(json, &[]), bytes(hex), "{json}");
    }
    let long: Vec<u32> = (0..20).collect();
    let json = serde_json::to_string(&long).unwrap();
    assert_eq!(written(&json, &[])[..4], bytes("dc00 14 00")[..]);
}

#[test]
fn placeholders_become_binary_and_what_only_looks_like_one_stays() {
    let attachments = [Bytes::from_static(b"\x01"), Bytes::from_static(b"\x02")];
    let json = r#"[{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]"#;
    assert_eq!(written(json, &attachments), bytes("92c4010281a161c40101"));
    let like = r#"[{"_placeholder":true,"num":2},{"_placeholder":false,"num":0},{"x":"_placeholder","num":0}]"#;
    let as_value: serde_json::Value = serde_json::from_str(like).unwrap();
    let (json, found) = data(&hex(&written(like, &attachments))).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), as_value);
    assert!(found.is_empty());
}

#[test]
fn a_map_of_a_client_is_never_expanded_to_an_attachment() {
    // ["e", {_placeholder: true, num: 0}, <01>]
    let sent = "93 a165 82 ac5f706c616365686f6c646572 c3 a36e756d 00 c40101";
    let (json, attachments) = data(sent).unwrap();
    assert_eq!(attachments, [&b"\x01"[..]]);
    assert_eq!(written(&json, &attachments), bytes(sent), "echoed as it came");
    // Through the types of a handler.
    let payload = Payload::from_trusted(json.into(), attachments);
    let (name, map, binary): (String, serde_json::Value, Bytes) = payload.parse().unwrap();
    assert_eq!(map, serde_json::json!({"_placeholder": true, "num": 0}));
    let again = Payload::new(&(name, map, binary)).unwrap();
    assert_eq!(written(again.json(), again.attachments()), bytes(sent));
}

#[test]
fn an_attachment_is_written_once_however_often_it_is_named() {
    let attachment = [Bytes::from(vec![7; 1_000_000])];
    let many = vec![r#"{"_placeholder":true,"num":0}"#; 20_000].join(",");
    assert!(written(&format!("[{many}]"), &attachment).len() < 2_000_000);
}

#[test]
fn json_of_any_depth_is_written_without_recursion() {
    let depth = 200_000;
    let json = "[".repeat(depth) + &"]".repeat(depth);
    let out = written(&json, &[]);
    assert_eq!((out.len(), out[0], out[depth - 1]), (depth, 0x91, 0x90));
}

#[test]
fn arguments_come_back_as_they_were() {
    let value = serde_json::json!([
        "text", 1, -2.5, true, null, {"ключ": {"deep": [[[{}]], []]}}, "\u{2028}\u{0}\u{7f}\"\\/ 🦀",
        9_007_199_254_740_991_u64, -9_007_199_254_740_991_i64, 1e-7,
        (0..100).collect::<Vec<u32>>(), "x".repeat(70_000), "y".repeat(300), "z".repeat(40)
    ]);
    let payload = Payload::new(&(value.clone(), Bytes::from_static(b"\x00\xff"))).unwrap();
    let (json, attachments) = data(&hex(&written(payload.json(), payload.attachments()))).unwrap();
    let again = Payload::from_trusted(json.into(), attachments);
    let (parsed, binary): (serde_json::Value, Bytes) = again.parse().unwrap();
    assert_eq!((parsed, &*binary), (value, &b"\x00\xff"[..]));
}

#[test]
fn no_damaged_packet_makes_the_parser_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let seeds = [
        bytes("84a47479706502a36e7370a12fa46461746192a2657601a269640c"),
        bytes("83a47479706500a464617461d40000a36e7370a12f"),
        bytes(
            "83 a474797065 02 a36e7370 a12f a464617461 95 c40101 81a161c50002ff00 d7000000000000000000 a3e282ac cb3ff8000000000000",
        ),
    ];
    let mut num_valid = 0;
    for _ in 0..30_000 {
        let mut damaged = random.choice(&seeds).unwrap().clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..damaged.len());
            match random.u8(0..3) {
                0 => damaged[at] = random.u8(..),
                1 => drop(damaged.remove(at)),
                _ => damaged.insert(at, random.u8(..)),
            }
        }
        let Ok(decoded) = decode(&damaged, LIMITS) else {
            continue;
        };
        if !decoded.json.is_empty() {
            serde_json::from_str::<serde_json::Value>(&decoded.json).expect("what is read is JSON");
            written(&decoded.json, &decoded.attachments);
        }
        num_valid += 1;
    }
    assert!(num_valid > 1_000, "the test reaches beyond the head of packets");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
