//! Limits of what a client may send.

use std::time::Duration;

use serde_json::Value;
use socket_io::SocketIo;
use socket_io::manager_api::ErrorKind;

use crate::Over;
use crate::peer::{DEADLINE, Server, within};

fn placeholders(count: usize) -> String {
    let each: Vec<String> = (0..count)
        .map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}"))
        .collect();
    each.join(",")
}

pub(crate) async fn eleven_attachments_close_and_ten_do_not(over: Over) {
    let mut server = Server::start().await;
    let mut peer = server.join(over).await;
    let arguments = placeholders(10);
    peer.send(&format!("510-1[\"echo\",{arguments}]")).await;
    for number in 0..10 {
        peer.send_binary(&[number]).await;
    }
    peer.expect(&format!("610-1[{arguments}]")).await;
    for number in 0..10 {
        peer.expect_binary(&[number]).await;
    }
    peer.send(&format!("511-1[\"echo\",{}]", placeholders(11))).await;
    peer.expect_closed("the announcement of eleven").await;
    assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    server.expect_refused(1);
}

pub(crate) async fn attachments_are_limited_in_bytes(over: Over) {
    let builder = SocketIo::builder().configure(|config| config.max_attachment_bytes = 10);
    let mut server = Server::with(builder).await;
    let mut peer = server.join(over).await;
    let packet = format!("52-1[\"echo\",{}]", placeholders(2));
    peer.send(&packet).await;
    peer.send_binary(b"12345").await;
    peer.send_binary(b"67890").await;
    peer.expect(&format!("62-1[{}]", placeholders(2))).await;
    peer.expect_binary(b"12345").await;
    peer.expect_binary(b"67890").await;
    peer.send(&packet).await;
    peer.send_binary(b"12345").await;
    peer.send_binary(b"678901").await;
    peer.expect_closed("eleven bytes").await;
    assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    server.expect_refused(1);
}

pub(crate) async fn half_a_packet_is_not_kept_for_ever(over: Over) {
    let builder = SocketIo::builder().configure(|config| {
        config.attachment_timeout = Duration::from_secs(2);
        config.engine.ping_interval = Duration::from_millis(300);
        config.engine.ping_timeout = DEADLINE;
    });
    let mut server = Server::with(builder).await;
    let mut complete = server.join(over).await;
    complete.send("51-1[\"echo\",{\"_placeholder\":true,\"num\":0}]").await;
    // In time, though not at once.
    complete.expect_ping().await;
    complete.send_binary(b"a").await;
    complete.expect("61-1[{\"_placeholder\":true,\"num\":0}]").await;
    complete.expect_binary(b"a").await;
    let mut half = server.join(over).await;
    half.send(&format!("52-1[\"echo\",{}]", placeholders(2))).await;
    half.send_binary(b"a").await;
    // Its pings are answered.
    half.expect_closed("the time for attachments").await;
    assert_eq!(server.left().await, ("/".to_owned(), "forced close"));
    complete.expect_alive().await;
}

pub(crate) async fn a_placeholder_must_have_its_attachment(over: Over) {
    let mut server = Server::start().await;
    let arguments = [
        "{\"_placeholder\":true,\"num\":1}",
        "{\"_placeholder\":true,\"num\":-1}",
        "{\"_placeholder\":true,\"num\":\"0\"}",
        "{\"_placeholder\":true,\"num\":0.5}",
        "{\"_placeholder\":true}",
        "[{\"deep\":[{\"_placeholder\":true,\"num\":99999999999999999999}]}]",
    ];
    for argument in arguments {
        for packet in [format!("51-1[\"echo\",{argument}]"), format!("61-1[{argument}]")] {
            let mut peer = server.join(over).await;
            peer.send(&packet).await;
            peer.send_binary(b"a").await;
            peer.expect_closed(&packet).await;
            assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {packet}");
        }
    }
    server.expect_refused(2 * arguments.len());
    // Without attachments it is an object like any other.
    let mut peer = server.join(over).await;
    let argument = "{\"_placeholder\":true,\"num\":0}";
    peer.send(&format!("21[\"echo\",{argument}]")).await;
    peer.expect(&format!("31[{argument}]")).await;
}

pub(crate) async fn a_call_is_not_answered_with_an_attachment_that_did_not_come(over: Over) {
    let server = Server::start().await;
    let mut peer = server.join(over).await;
    let socket = server.socket("/", &peer);
    let call = tokio::spawn(async move { socket.call::<_, Value>("question", &(), DEADLINE).await });
    let question = peer.text().await;
    let id = question
        .strip_prefix('2')
        .unwrap()
        .strip_suffix("[\"question\"]")
        .unwrap();
    peer.send(&format!("61-{id}[{{\"_placeholder\":true,\"num\":1}}]"))
        .await;
    peer.send_binary(b"a").await;
    peer.expect_closed("a placeholder out of range").await;
    server.expect_refused(1);
    let error = within(call).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "no client is left to answer");
}

pub(crate) async fn an_id_beyond_64_bits_closes(over: Over) {
    let mut server = Server::start().await;
    let packets = [
        "218446744073709551616[\"echo\"]",
        "299999999999999999999999999999999999999999[\"echo\"]",
        "318446744073709551616[]",
        "599999999999999999999999-[\"echo\"]",
    ];
    for packet in packets {
        let mut peer = server.join(over).await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
        assert_eq!(server.left().await, ("/".to_owned(), "forced close"), "after {packet}");
    }
    server.expect_refused(packets.len());
}

/// A POST body over the limit is refused and its session lives; a WebSocket is closed, for there is nothing else to answer.
pub(crate) async fn a_message_over_the_limit_is_not_handled(over: Over) {
    let builder = SocketIo::builder().configure(|config| config.engine.max_payload = 1_000);
    let mut server = Server::with(builder).await;
    let mut peer = server.join(over).await;
    let padding = "x".repeat(2_000);
    let answer = peer.say(&format!("42[\"back\",\"{padding}\"]")).await;
    match over {
        Over::Polling => {
            assert_eq!(answer, Some((413, String::new())));
            peer.expect_alive().await;
        }
        Over::WebSocket => {
            peer.expect_closed_with(1009, "a frame that is too long").await;
            assert_eq!(server.left().await, ("/".to_owned(), "transport error"));
        }
    }
}

pub(crate) async fn deep_json_harms_no_other(over: Over) {
    let server = Server::start().await;
    server.io.namespace("/").on(
        "parsed",
        async |socket_io::Data(_): socket_io::Data<serde_json::Value>| "parsed",
    );
    let mut peer = server.join(over).await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    // A handler that parses it does not fit; so the first is not answered.
    peer.send(&format!("21[\"parsed\",{deep}]")).await;
    peer.send(&format!("2[\"back\",{deep}]")).await;
    let back = peer.text().await;
    assert!(
        back == format!("2[\"back\",{deep}]"),
        "what only passes through is not parsed"
    );
    peer.expect_alive().await;
}
