//! How much a client may say.

use socket_io::SocketIo;

use crate::Over;
use crate::peer::Server;

fn placeholders(count: usize) -> String {
    let each: Vec<String> = (0..count)
        .map(|num| format!("{{\"_placeholder\":true,\"num\":{num}}}"))
        .collect();
    each.join(",")
}

pub(crate) async fn eleven_attachments_close_and_ten_do_not(over: Over) {
    let server = Server::start().await;
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
}

pub(crate) async fn attachments_are_limited_in_bytes(over: Over) {
    let builder = SocketIo::builder().configure(|config| config.max_attachment_bytes = 10);
    let server = Server::with(builder).await;
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
}

pub(crate) async fn a_placeholder_must_have_its_attachment(over: Over) {
    let server = Server::start().await;
    for argument in [
        "{\"_placeholder\":true,\"num\":1}",
        "{\"_placeholder\":true,\"num\":-1}",
        "{\"_placeholder\":true,\"num\":\"0\"}",
        "{\"_placeholder\":true,\"num\":0.5}",
        "{\"_placeholder\":true}",
        "[{\"deep\":[{\"_placeholder\":true,\"num\":99999999999999999999}]}]",
    ] {
        let mut peer = server.join(over).await;
        peer.send(&format!("51-1[\"echo\",{argument}]")).await;
        peer.send_binary(b"a").await;
        peer.expect_closed(argument).await;
    }
    // Without attachments it is an object like any other.
    let mut peer = server.join(over).await;
    let argument = "{\"_placeholder\":true,\"num\":0}";
    peer.send(&format!("21[\"echo\",{argument}]")).await;
    peer.expect(&format!("31[{argument}]")).await;
}

pub(crate) async fn an_id_beyond_64_bits_closes(over: Over) {
    let server = Server::start().await;
    for packet in [
        "218446744073709551616[\"echo\"]",
        "299999999999999999999999999999999999999999[\"echo\"]",
        "318446744073709551616[]",
        "599999999999999999999999-[\"echo\"]",
    ] {
        let mut peer = server.join(over).await;
        peer.send(packet).await;
        peer.expect_closed(packet).await;
    }
}

/// A POST body over the limit is refused and its session lives; a WebSocket is closed, for there is nothing else to answer.
pub(crate) async fn a_message_over_the_limit_is_not_handled(over: Over) {
    let builder = SocketIo::builder().configure(|config| config.engine.max_payload = 1_000);
    let server = Server::with(builder).await;
    let mut peer = server.join(over).await;
    let padding = "x".repeat(2_000);
    peer.send(&format!("2[\"back\",\"{padding}\"]")).await;
    match over {
        Over::Polling => peer.expect_alive().await,
        Over::WebSocket => peer.expect_closed("a frame that is too long").await,
    }
}

pub(crate) async fn deep_json_harms_nobody(over: Over) {
    let server = Server::start().await;
    server.io.namespace("/").on(
        "parsed",
        async |socket_io::Data(_): socket_io::Data<serde_json::Value>| "parsed",
    );
    let mut peer = server.join(over).await;
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    // Whoever parses it is told that it does not fit; so the first is not answered.
    peer.send(&format!("21[\"parsed\",{deep}]")).await;
    peer.send(&format!("2[\"back\",{deep}]")).await;
    let back = peer.text().await;
    assert!(
        back == format!("2[\"back\",{deep}]"),
        "what only passes through is not parsed"
    );
    peer.expect_alive().await;
}
