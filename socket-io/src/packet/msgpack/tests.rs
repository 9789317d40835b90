use manager_api::Payload;

use super::*;

const LIMITS: Limits = Limits::new(3, 10);

fn bytes(hex: &str) -> Vec<u8> {
    let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

fn decoded(hex: &str) -> Result<Decoded, ProtocolError> {
    decode(&bytes(hex), LIMITS)
}

#[test]
fn packets_of_real_clients_are_read() {
    // Each as captured from socket.io-msgpack-parser 3.0.2.
    let connect = decoded("82a47479706500a36e7370a12f").unwrap();
    assert_eq!(
        (connect.kind, &*connect.namespace, connect.id),
        (Kind::Connect, "/", None)
    );
    assert_eq!(connect.json, "");
    let event = decoded("84a47479706502a36e7370a12fa46461746192a2657601a269640c").unwrap();
    assert_eq!(
        (event.kind, event.id, &*event.json),
        (Kind::Event, Some(12), "[\"ev\",1]")
    );
    let disconnect = decoded("82a47479706501a36e7370a12f").unwrap();
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
        assert_eq!(decoded(hex).unwrap().json, "", "{hex}");
    }
    let undefined_id = decoded("84a47479706502a36e7370a12fa4646174619101a26964d40000").unwrap();
    assert_eq!(undefined_id.id, None);
}

#[test]
fn keys_come_in_any_order_and_those_of_the_client_are_passed_over() {
    // data, id, options: {compress: true, nested: [[null], {"a": 1.5}]}, type, nsp
    let event = decoded(
        "85 a464617461 91a161 a26964 07 a76f7074696f6e73 82a8636f6d7072657373c3a66e6573746564\
         9291c081a161cb3ff8000000000000 a474797065 02 a36e7370 a22f6e",
    )
    .unwrap();
    assert_eq!((&*event.namespace, event.id, &*event.json), ("/n", Some(7), "[\"a\"]"));
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
        assert!(decoded(hex).is_err(), "{hex}");
    }
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
            write_json(&mut Vec::new(), &decoded.json, &decoded.attachments);
        }
        num_valid += 1;
    }
    assert!(num_valid > 1_000, "the test reaches beyond the head of packets");
}
