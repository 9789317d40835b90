use bytes::Bytes;
use manager_api::Payload;

use super::*;

const LIMITS: Limits = Limits::new(3, 10);

fn bytes(hex: &str) -> Vec<u8> {
    let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    hex.chunks(2).map(byte).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The JSON and attachments of a value.
fn read(bytes: &[u8]) -> Result<(String, Vec<Bytes>), Error> {
    let mut reader = Reader::new(bytes, LIMITS);
    let json = reader.optional_json()?;
    Ok((json.unwrap_or_default(), reader.finish()?))
}

fn data(hex: &str) -> Result<(String, Vec<Bytes>), Error> {
    read(&bytes(hex))
}

/// The bytes that JSON becomes.
fn written(json: &str, attachments: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::new();
    write_json(&mut out, json, attachments);
    out
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
fn deep_values_are_refused_and_not_recursed_into() {
    let nested = |depth: usize| format!("{}c0", "91".repeat(depth));
    let (json, _) = data(&nested(Limits::MAX_DEPTH)).unwrap();
    serde_json::from_str::<serde_json::Value>(&json).expect("what passes can be parsed");
    assert!(data(&nested(Limits::MAX_DEPTH + 1)).is_err());
    assert!(data(&nested(500_000)).is_err());
    // Neither in a value that is skipped.
    let ignored = bytes(&nested(500_000));
    let mut reader = Reader::new(&ignored, LIMITS);
    assert!(reader.skip().is_ok() && reader.finish().is_ok());
    for (max_depth, hex, is_read) in [
        (1, "90", true),
        (1, "9190", false),
        (0, "90", false),
        (usize::MAX, &nested(101), false),
    ] {
        let bytes = bytes(hex);
        let mut reader = Reader::new(&bytes, Limits { max_depth, ..LIMITS });
        assert_eq!(reader.optional_json().is_ok(), is_read, "{max_depth} {hex}");
    }
}

#[test]
fn attachments_are_limited_in_number_and_size() {
    assert!(data("93c40101c40102c40103").is_ok());
    assert!(data("94c40101c40102c40103c40104").is_err());
    assert!(data("91c40a00000000000000000000").is_ok());
    assert!(data("92c40a00000000000000000000c40100").is_err());
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
fn dates_of_every_library_are_what_their_own_decoders_make_of_them() {
    // Each as notepack.io 3.0.1 and @msgpack/msgpack 2.8.0 write and read it.
    for (hex, json) in [
        ("d6ff00000000", "1970-01-01T00:00:00.000Z"),
        ("d6ffffffffff", "2106-02-07T06:28:15.000Z"),
        ("d7ff1d5353006553f100", "2023-11-14T22:13:20.123Z"),
        ("d7ff0000000100000000", "2106-02-07T06:28:16.000Z"),
        ("d7fffffffffcffffffff", "2106-02-07T06:28:16.073Z"),
        ("c70cff000000000000000400000000", "2514-05-30T01:53:04.000Z"),
        ("c70cff3b8b87c0ffffffffffffffff", "1969-12-31T23:59:59.999Z"),
        ("c70cff1dcd6500fffffffffffffffe", "1969-12-31T23:59:58.500Z"),
        ("c70cff00000001ffffffffffffffff", "1969-12-31T23:59:59.001Z"),
        ("c70cff00000000fffffff184aa5080", "-000001-01-01T00:00:00.000Z"),
        ("c70cff00000000000007dba8218000", "+275760-09-13T00:00:00.000Z"),
        ("c70cff00000000fffff82457de8000", "-271821-04-20T00:00:00.000Z"),
        // Of notepack.io 2.
        ("d7000000018bcfe5687b", "2023-11-14T22:13:20.123Z"),
        ("d700ffffffffffffffff", "1969-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(data(hex).unwrap().0, format!("\"{json}\""), "{hex}");
    }
    for hex in ["c70cff000000007fffffffffffffff", "c70cff000000018000000000000000"] {
        assert_eq!(data(&format!("91{hex}")).unwrap().0, "[null]", "no date of JavaScript");
    }
    for hex in [
        "c705ff0000000000",
        "d4ff00",
        "d5ff0000",
        "d8ff00000000000000000000000000000000",
        "d60100000000",
        "c70cff00",
    ] {
        assert!(data(hex).is_err(), "{hex}");
    }
}

#[test]
fn undefined_of_every_library_is_null() {
    // [undefined, {a: undefined}, <01>], of @msgpack/msgpack and of notepack.io 2.
    for hex in ["93 c0 81a161c0 c40101", "93 d40000 81a161d40000 c40101"] {
        let (json, attachments) = data(hex).unwrap();
        assert_eq!(json, "[null,{\"a\":null},{\"_placeholder\":true,\"num\":0}]");
        assert_eq!(attachments.len(), 1);
    }
}

#[test]
fn heads_and_single_values_are_read_as_they_were_written() {
    let mut out = Vec::new();
    write_array_len(&mut out, 7);
    write_text(&mut out, "uid");
    write_map_len(&mut out, 20);
    write_uint(&mut out, 70_000);
    write_bool(&mut out, true);
    write_nil(&mut out);
    write_nil(&mut out);
    write_array_behind(&mut out, "event", "[1,{}]", &[]);
    assert_eq!(out, bytes("97 a3756964 de0014 ce00011170 c3 c0 c0 93a56576656e740180"));
    let mut reader = Reader::new(&out, LIMITS);
    assert_eq!(reader.array_len(), Ok(7));
    assert_eq!(reader.str(), Ok("uid"));
    assert_eq!(reader.map_len(), Ok(20));
    assert_eq!(reader.uint(), Ok(70_000));
    assert_eq!(reader.bool(), Ok(true));
    assert_eq!(reader.optional_uint(), Ok(None));
    assert_eq!(reader.optional_json(), Ok(None));
    assert_eq!(reader.optional_json(), Ok(Some("[\"event\",1,{}]".to_owned())));
    assert_eq!(reader.finish(), Ok(vec![]));
}

#[test]
fn a_value_of_another_type_is_refused() {
    let refuses = |hex: &str, read: fn(&mut Reader<'_>) -> bool| {
        let bytes = bytes(hex);
        assert!(read(&mut Reader::new(&bytes, LIMITS)), "{hex}");
    };
    for hex in ["c0", "01", "cb3ff8000000000000", "c40101"] {
        refuses(hex, |reader| reader.map_len().is_err());
        refuses(hex, |reader| reader.array_len().is_err());
        refuses(hex, |reader| reader.str().is_err());
        refuses(hex, |reader| reader.bool().is_err());
    }
    for hex in ["c0", "ff", "a131", "c3", "cb3ff8000000000000"] {
        refuses(hex, |reader| reader.uint().is_err());
    }
    assert!(Reader::new(&[0], LIMITS).finish().is_err(), "bytes are left");
    assert!(Reader::new(&[], LIMITS).skip().is_err(), "nothing is left");
}

#[test]
fn attachments_of_several_values_are_counted_on() {
    let bytes = bytes("c40101 c40102 c40103 c40104");
    let mut reader = Reader::new(&bytes, LIMITS);
    let placeholder = |num: usize| format!("{{\"_placeholder\":true,\"num\":{num}}}");
    assert_eq!(reader.optional_json(), Ok(Some(placeholder(0))));
    assert_eq!(reader.skip(), Ok(()));
    assert_eq!(reader.optional_json(), Ok(Some(placeholder(1))));
    assert_eq!(
        format!("{reader:?}"),
        "Reader { bytes_left: 3, num_attachments: 2, .. }"
    );
    assert_eq!(reader.optional_json(), Ok(Some(placeholder(2))));
    assert_eq!(reader.finish().unwrap(), [&b"\x01"[..], b"\x03", b"\x04"]);
}

#[test]
fn no_damaged_value_makes_the_reader_panic() {
    let mut random = fastrand::Rng::with_seed(7);
    let seeds = [
        bytes("95 c40101 81a161c50002ff00 d7000000000000000000 a3e282ac cb3ff8000000000000"),
        bytes("94 d6ff00000001 d7ff1d5353006553f100 c70cff3b8b87c0ffffffffffffffff c7020001ff"),
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
        let _ = Reader::new(&damaged, LIMITS).skip();
        let Ok((json, attachments)) = read(&damaged) else {
            continue;
        };
        if !json.is_empty() {
            serde_json::from_str::<serde_json::Value>(&json).expect("what is read is JSON");
            written(&json, &attachments);
        }
        num_valid += 1;
    }
    assert!(num_valid > 1_000, "the test reaches beyond the first byte");
}
