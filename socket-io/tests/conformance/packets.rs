//! Packets: `<type>[<attachments>-][<namespace>,][<id>][JSON]`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use socket_io::SocketIo;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::Over;
use crate::peer::{DEADLINE, Server, within};

const PLACEHOLDERS: &str = "{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}";

pub(crate) async fn connect_has_its_optional_parts(over: Over) {
    let server = Server::start().await;
    for (packet, prefix) in [
        ("0", ""),
        ("0{}", ""),
        ("0{\"token\":\"a,b\"}", ""),
        // An id has no meaning here, and does no harm.
        ("01", ""),
        ("0/,", ""),
        ("0/", ""),
        ("0/admin", "/admin,"),
        ("0/admin,", "/admin,"),
        ("0/admin,{\"token\":[1,{}]}", "/admin,"),
    ] {
        let mut peer = server.open(over).await;
        peer.send(packet).await;
        peer.joined(prefix).await;
    }
}

pub(crate) async fn an_event_has_its_optional_parts(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.join("/admin").await;
    for (packet, reply) in [
        ("2[\"back\"]", "2[\"back\"]"),
        (
            "2[\"back\",1,\"two\",{\"3\":null},[]]",
            "2[\"back\",1,\"two\",{\"3\":null},[]]",
        ),
        ("2/,[\"back\",1]", "2[\"back\",1]"),
        ("2/admin,[\"back\",1]", "2/admin,[\"back\",1]"),
        ("212[\"echo\",1]", "312[1]"),
        ("212[\"echo\"]", "312[]"),
        ("20[\"echo\",[1,2]]", "30[[1,2]]"),
        ("2/admin,12[\"echo\",\"a\"]", "3/admin,12[\"a\"]"),
        ("21 [ \"echo\" , 1 ] ", "31[1]"),
    ] {
        peer.send(packet).await;
        peer.expect(reply).await;
    }
}

pub(crate) async fn an_acknowledgement_carries_the_id_as_a_number(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    for (id, number) in [
        ("007", "7"),
        ("0", "0"),
        ("18446744073709551615", "18446744073709551615"),
    ] {
        peer.send(&format!("2{id}[\"echo\"]")).await;
        peer.expect(&format!("3{number}[]")).await;
    }
}

pub(crate) async fn text_arrives_unchanged(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    for argument in [
        "\"zażółć 日本語 🦀\u{1d11e}\u{2028}\"",
        r#""\ud83d\ude00\u0000\"\\\/""#,
        "\"\"",
        "1e-7",
        "-0.0",
        "123456789012345678901234567890",
        "{\"a\":1,\"a\":2}",
    ] {
        peer.send(&format!("2[\"back\",{argument}]")).await;
        peer.expect(&format!("2[\"back\",{argument}]")).await;
    }
}

pub(crate) async fn names_that_mean_something_to_javascript_are_legal(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    for name in ["__proto__", "constructor", "toString", "connection", "message", "error"] {
        server.io.namespace("/").on(name, async || "called");
        peer.send(&format!("21[\"{name}\"]")).await;
        peer.expect("31[\"called\"]").await;
    }
}

pub(crate) async fn a_number_is_a_name(over: Over) {
    let server = Server::start().await;
    server.io.namespace("/").on("7", async || "seven");
    let mut peer = server.join(over).await;
    peer.send("21[7]").await;
    peer.expect("31[\"seven\"]").await;
}

pub(crate) async fn binary_follows_its_packet_in_order(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.join("/admin").await;
    for (head, prefix) in [("52-", ""), ("52-/admin,", "/admin,")] {
        peer.send(&format!("{head}[\"back\",{PLACEHOLDERS}]")).await;
        peer.send_binary(b"\x00\xff").await;
        peer.send_binary(b"").await;
        peer.expect(&format!("52-{prefix}[\"back\",{PLACEHOLDERS}]")).await;
        peer.expect_binary(b"\x00\xff").await;
        peer.expect_binary(b"").await;
    }
}

pub(crate) async fn binary_answers_come_both_ways(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.send("51-12[\"echo\",{\"a\":{\"_placeholder\":true,\"num\":0}}]")
        .await;
    peer.send_binary(b"\x01").await;
    peer.expect("61-12[{\"a\":{\"_placeholder\":true,\"num\":0}}]").await;
    peer.expect_binary(b"\x01").await;

    let socket = server.socket("/", &peer);
    let call = socket.call::<_, (Bytes, Value)>("question", &1, DEADLINE);
    let answering = async {
        let question = peer.text().await;
        let (id, rest) = question.strip_prefix('2').unwrap().split_once('[').unwrap();
        assert_eq!(rest, "\"question\",1]");
        let packet = format!("61-{id}[{{\"_placeholder\":true,\"num\":0}},\"and more\"]");
        peer.send(&packet).await;
        peer.send_binary(b"\x02").await;
    };
    let (answer, ()) = within(async { tokio::join!(call, answering) }).await;
    let (bytes, more) = answer.unwrap();
    assert_eq!((&*bytes, more.as_str()), (&b"\x02"[..], Some("and more")));
}

pub(crate) async fn packets_of_the_transport_may_stand_between_a_packet_and_its_binary(over: Over) {
    let builder = SocketIo::builder().configure(|config| {
        config.engine.ping_interval = Duration::from_millis(100);
        config.engine.ping_timeout = DEADLINE;
    });
    let server = Server::with(builder).await;
    let mut peer = server.join(over).await;
    peer.send(&format!("52-1[\"echo\",{PLACEHOLDERS}]")).await;
    peer.expect_ping().await;
    peer.send_engine("6").await;
    peer.send_binary(b"a").await;
    peer.expect_ping().await;
    peer.send_engine("3").await;
    peer.send_binary(b"b").await;
    peer.expect(&format!("62-1[{PLACEHOLDERS}]")).await;
    peer.expect_binary(b"a").await;
    peer.expect_binary(b"b").await;
}

pub(crate) async fn a_packet_between_a_packet_and_its_binary_closes(over: Over) {
    let mut server = Server::start().await;
    let packets = [
        "2[\"echo\"]",
        "1",
        "0/admin,",
        "51-[\"echo\",{\"_placeholder\":true,\"num\":0}]",
    ];
    for between in packets {
        let mut peer = server.join(over).await;
        peer.send(&format!("52-1[\"echo\",{PLACEHOLDERS}]")).await;
        peer.send_binary(b"a").await;
        peer.send(between).await;
        peer.expect_closed(between).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {between}");
    }
    server.expect_refused(packets.len());
}

pub(crate) async fn binary_that_belongs_to_nothing_closes(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.send_binary(b"a").await;
    peer.expect_closed("binary").await;
    assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    server.expect_refused(1);
}

/// Packets for each of which the connection is closed.
const MALFORMED: &[&str] = &[
    // No type, or none that a client has.
    "",
    " ",
    "x",
    "7",
    "8[]",
    "9",
    "-1",
    "ü",
    "\u{0}",
    "4",
    "4\"refused\"",
    "4{\"message\":\"refused\"}",
    // DISCONNECT has no data.
    "1{}",
    "1[]",
    // EVENT has an array that begins with a name, and a namespace that was joined.
    "2/admin",
    "2/admin,",
    "2{}",
    "2\"echo\"",
    "2null",
    "2[]",
    "2[null]",
    "2[true]",
    "2[[]]",
    "2[{}]",
    "2[\"echo\"",
    "2[\"echo\",]",
    "2[\"echo\",x]",
    "2[\"echo\"]x",
    "2[\"echo\"][]",
    "2[\"\\x\"]",
    "2+1[\"echo\"]",
    "2-1[\"echo\"]",
    "2/a,b,[\"echo\"]",
    // ACK has an array.
    "3{}",
    "3null",
    "3/admin,",
    "31{}",
    "31\"a\"",
    "31[",
    // Binary packets have a number of attachments.
    "5",
    "5[\"echo\"]",
    "5-[\"echo\"]",
    "50-[\"echo\"]",
    "5x-[\"echo\"]",
    "5+1-[\"echo\"]",
    "5-1-[\"echo\"]",
    "51[\"echo\"]",
    "6-1[]",
    "60-1[]",
];

pub(crate) async fn malformed_packets_close(over: Over) {
    let mut server = Server::start().await;
    for packet in MALFORMED {
        let mut peer = server.join(over).await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {packet}");
    }
    server.expect_refused(MALFORMED.len());
    assert_eq!(server.io.metrics().num_clients, 0);
}

pub(crate) async fn malformed_authentication_closes(over: Over) {
    let server = Server::start().await;
    let packets = ["0{", "0{}x", "0/admin,[", "0token"];
    for packet in packets {
        let mut peer = server.open(over).await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
    }
    server.expect_refused(packets.len());
    assert_eq!(server.io.metrics().num_clients, 0);
}

pub(crate) async fn reserved_names_close(over: Over) {
    let mut server = Server::start().await;
    let (calls, mut called) = mpsc::unbounded_channel();
    server.io.namespace("/").on_any(move || {
        calls.send(()).unwrap();
        async {}
    });
    let names = [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    ];
    for name in names {
        let mut peer = server.join(over).await;
        peer.send(&format!("21[\"{name}\",\"forged\"]")).await;
        peer.expect_closed(name).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {name}");
        let mut peer = server.join(over).await;
        peer.send(&format!("51-1[\"{name}\",{{\"_placeholder\":true,\"num\":0}}]"))
            .await;
        peer.send_binary(b"forged").await;
        peer.expect_closed(name).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {name}");
    }
    server.expect_refused(2 * names.len());
    assert!(called.try_recv().is_err(), "a reserved name is not an event");
}

pub(crate) async fn an_event_without_a_payload_does_not_close(over: Over) {
    let server = Server::start().await;
    let (calls, mut called) = mpsc::unbounded_channel();
    let mut peer = server.join(over).await;
    peer.join("/admin").await;
    for name in ["/", "/admin"] {
        let calls = calls.clone();
        server.io.namespace(name).on_any(move || {
            calls.send(()).unwrap();
            async { "called" }
        });
    }
    for packet in ["2", "21", "2/", "2/admin", "2/admin,", "2/admin,7"] {
        peer.send(packet).await;
        peer.expect_alive().await;
    }
    peer.send("51-1").await;
    peer.send_binary(b"a").await;
    peer.expect_alive().await;
    assert!(called.try_recv().is_err(), "it names no event");
}

pub(crate) async fn an_acknowledgement_without_an_id_does_not_close(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.join("/admin").await;
    for packet in ["3", "3[]", "3[1]", "3/admin,", "3/admin,[]"] {
        peer.send(packet).await;
        peer.expect_alive().await;
    }
    peer.send("61-[{\"_placeholder\":true,\"num\":0}]").await;
    peer.send_binary(b"a").await;
    peer.expect_alive().await;
}

pub(crate) async fn an_answer_to_nothing_is_ignored(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    for packet in ["30[]", "318446744073709551615[1]", "37"] {
        peer.send(packet).await;
    }
    peer.send("61-5[{\"_placeholder\":true,\"num\":0}]").await;
    peer.send_binary(b"a").await;
    peer.expect_alive().await;
}

pub(crate) async fn an_event_without_a_handler_is_ignored(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    peer.send("2[\"unhandled\"]").await;
    peer.send("21[\"unhandled\"]").await;
    peer.send("22[\"\"]").await;
    peer.expect_alive().await;
}

pub(crate) async fn text_and_binary_of_emitters_on_several_threads_never_mingle(over: Over) {
    const EVENTS: u8 = 50;
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    let runtime = Handle::current();
    let emit = |emitter: u8| {
        let (io, socket, runtime) = (server.io.clone(), server.socket("/", &peer), runtime.clone());
        let emit_pair = move |number: u8| {
            let attachment = |nth: u8| Bytes::from(vec![emitter, number, nth]);
            let event = ([emitter, number], attachment(0), attachment(1));
            match emitter % 2 {
                0 => socket.emit("pair", &event).into_inner().unwrap(),
                _ => runtime.block_on(io.emit("pair", &event)).unwrap(),
            }
        };
        std::thread::spawn(move || (0..EVENTS).for_each(emit_pair))
    };
    let emitters: Vec<_> = (0..4).map(emit).collect();
    let mut next = [0; 4];
    for _ in 0..4 * usize::from(EVENTS) {
        let packet = peer.text().await;
        let numbers = packet.strip_prefix("52-[\"pair\",").unwrap();
        let numbers = numbers.strip_suffix(&format!(",{PLACEHOLDERS}]")).unwrap();
        let [emitter, number]: [u8; 2] = serde_json::from_str(numbers).unwrap();
        peer.expect_binary(&[emitter, number, 0]).await;
        peer.expect_binary(&[emitter, number, 1]).await;
        assert_eq!(number, next[usize::from(emitter)], "in the order of each emitter");
        next[usize::from(emitter)] += 1;
    }
    emitters.into_iter().for_each(|emitter| emitter.join().unwrap());
}
