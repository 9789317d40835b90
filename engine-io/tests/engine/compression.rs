//! Compression: gzip and deflate of long-polling, permessage-deflate of WebSockets.

use std::io::Read;

use bytes::Bytes;
use engine_io::{CloseReason, Config, Outgoing, Socket};
use flate2::read::{GzDecoder, ZlibDecoder};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use tokio::io::AsyncWriteExt;

use crate::client::{Pending, Ws, masked};
use crate::support::{Server, poll};

const OFFER: &str = "sec-websocket-extensions: permessage-deflate; client_max_window_bits\r\n";
const AGREED: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
const WEBSOCKET: &str = "/?EIO=4&transport=websocket";

/// Polls with a header; returns the head and the body of the response.
async fn polled(server: &Server, sid: &str, accepted: &str) -> (String, Vec<u8>) {
    let headers = format!("accept-encoding: {accepted}\r\n");
    // No length is announced for a GET, under any name of a header.
    let pending = Pending::start(server.addr, "GET", &poll(sid), &headers, b"").await;
    let bytes = pending.bytes().await;
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    (
        String::from_utf8(bytes[..end].to_vec()).unwrap(),
        bytes[end + 4..].to_vec(),
    )
}

fn unpack(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn long_responses_are_compressed_as_the_client_prefers() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    for length in [1023, 300_000] {
        let text = "x".repeat(length);
        let send = |socket: &Socket| socket.send(Outgoing::text(&text)).unwrap();
        send(&socket);
        let (head, body) = polled(&server, &sid, "gzip, deflate, br").await;
        assert!(head.contains("\r\ncontent-encoding: gzip"), "{head}");
        assert!(head.contains("content-type: text/plain; charset=UTF-8") && head.contains("cache-control: no-store"));
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.len() < length / 4);
        assert_eq!(unpack(GzDecoder::new(&body[..])), format!("4{text}"));
        send(&socket);
        let (head, body) = polled(&server, &sid, "deflate").await;
        assert!(head.contains("\r\ncontent-encoding: deflate"), "{head}");
        assert_eq!(unpack(ZlibDecoder::new(&body[..])), format!("4{text}"));
        send(&socket);
        let (head, body) = polled(&server, &sid, "br, gzip;q=0").await;
        assert!(!head.contains("content-encoding"), "{head}");
        assert_eq!(body.len(), length + 1);
    }
}

#[tokio::test]
async fn short_responses_and_those_that_ask_for_none_are_not_compressed() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    socket.send(Outgoing::text(&"x".repeat(1022))).unwrap();
    assert!(!polled(&server, &sid, "gzip").await.0.contains("content-encoding"));
    socket.send(Outgoing::text(&"x".repeat(2000)).uncompressed()).unwrap();
    assert!(!polled(&server, &sid, "gzip").await.0.contains("content-encoding"));
    // One packet that may be compressed is enough.
    socket.send(Outgoing::text(&"x".repeat(2000)).uncompressed()).unwrap();
    socket.send(Outgoing::text("y")).unwrap();
    assert!(polled(&server, &sid, "gzip").await.0.contains("content-encoding"));
}

#[tokio::test]
async fn compression_of_responses_can_be_turned_off() {
    let config = Config {
        http_compression: false,
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (sid, socket) = server.polling().await;
    socket.send(Outgoing::text(&"x".repeat(2000))).unwrap();
    assert!(!polled(&server, &sid, "gzip").await.0.contains("content-encoding"));
}

/// Bytes that no compression makes shorter.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn deflating() -> Config {
    Config {
        per_message_deflate: true,
        ..Config::default()
    }
}

async fn connect(server: &mut Server) -> (Ws, Socket) {
    let (mut ws, head) = Ws::connect_with(server.addr, WEBSOCKET, OFFER).await;
    assert!(
        head.contains(&format!("sec-websocket-extensions: {AGREED}\n")),
        "{head}"
    );
    let socket = server.opened().await.0;
    assert!(ws.text().await.starts_with("0{"), "short frames are as they were");
    (ws, socket)
}

fn deflate(payload: &[u8]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(payload.len() + 100);
    Compress::new(Compression::fast(), false)
        .compress_vec(payload, &mut packed, FlushCompress::Sync)
        .unwrap();
    packed.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
}

fn inflate(payload: &[u8], length: usize) -> Vec<u8> {
    let mut unpacked = Vec::with_capacity(length + 100);
    Decompress::new(false)
        .decompress_vec(
            &[payload, &[0, 0, 0xff, 0xff]].concat(),
            &mut unpacked,
            FlushDecompress::Sync,
        )
        .unwrap();
    unpacked
}

#[tokio::test]
async fn websockets_are_compressed_only_if_both_sides_want_it() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, head) = Ws::connect_with(server.addr, WEBSOCKET, OFFER).await;
    assert!(!head.contains("extensions"), "{head}");
    server.opened().await;
    ws.text().await;
    ws.send(0xc1, &deflate(b"4x")).await;
    ws.closed(&1002u16.to_be_bytes()).await;

    let mut server = Server::start(deflating()).await;
    let (mut ws, socket) = server.websocket().await;
    socket.send(Outgoing::text(&"x".repeat(5000))).unwrap();
    assert_eq!(ws.text().await.len(), 5001);
    ws.send(0xc1, &deflate(b"4x")).await;
    ws.closed(&1002u16.to_be_bytes()).await;
}

#[tokio::test]
async fn only_offers_that_can_be_kept_are_accepted() {
    let server = Server::start(deflating()).await;
    let with_bits = format!("{AGREED}; server_max_window_bits=15");
    let cases = [
        ("permessage-deflate", Some(AGREED)),
        (
            "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
            Some(AGREED),
        ),
        ("x-webkit-deflate-frame, permessage-deflate", Some(AGREED)),
        ("permessage-deflate; server_max_window_bits=10", None),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            Some(AGREED),
        ),
        (
            "permessage-deflate; server_max_window_bits=\"15\"",
            Some(with_bits.as_str()),
        ),
        ("permessage-deflate; server_max_window_bits", None),
        ("permessage-deflate; client_max_window_bits=16", None),
        ("permessage-deflate; client_max_window_bits=08", None),
        ("permessage-deflate; client_no_context_takeover=1", None),
        (
            "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
            None,
        ),
        ("permessage-deflate; unknown", None),
        ("permessage-bzip2", None),
    ];
    for (offer, response) in cases {
        let headers = format!("sec-websocket-extensions: {offer}\r\n");
        let (_ws, head) = Ws::connect_with(server.addr, WEBSOCKET, &headers).await;
        let agreed = head
            .lines()
            .find_map(|line| line.strip_prefix("sec-websocket-extensions: "));
        assert_eq!(agreed, response, "{offer}");
    }
}

#[tokio::test]
async fn compressed_messages_travel_both_ways() {
    let mut server = Server::start(deflating()).await;
    let (mut ws, socket) = connect(&mut server).await;
    // Browsers compress messages of any length.
    for length in [0, 1, 1022, 1023, 100_000, 900_000] {
        let text = format!("4{}", "é".repeat(length / 2));
        ws.send(0xc1, &deflate(text.as_bytes())).await;
        let (first, payload) = ws.frame().await.unwrap();
        let payload = match first {
            0xc1 => inflate(&payload, text.len()),
            _ => payload,
        };
        assert_eq!(first == 0xc1, text.len() >= 1024, "{length}");
        assert!(payload == text.as_bytes(), "{length}");
    }
    // Uncompressed ones may come between, and attachments are frames of their own.
    ws.send_text("4plain").await;
    assert_eq!(ws.text().await, "4plain");
    let packet = Outgoing::build(
        1,
        |text| text.push(b'x'),
        &[Bytes::from(vec![7; 5000]), Bytes::from_static(b"short")],
    );
    socket.send(packet).unwrap();
    assert_eq!(ws.text().await, "4x");
    let (first, payload) = ws.frame().await.unwrap();
    assert_eq!((first, inflate(&payload, 5000)), (0xc2, vec![7; 5000]));
    assert_eq!(ws.frame().await, Some((0x82, b"short".to_vec())));
    socket.send(Outgoing::text(&"x".repeat(5000)).uncompressed()).unwrap();
    assert_eq!(ws.text().await.len(), 5001);
    socket.send(Outgoing::binary(noise(5000).into())).unwrap();
    assert_eq!(ws.frame().await, Some((0x82, noise(5000))), "for nothing is gained");
    // More than one write takes, in order.
    for n in 0..200 {
        socket
            .send(Outgoing::text(&format!("{n} {}", "x".repeat(n * 100))))
            .unwrap();
    }
    for n in 0..200 {
        let (first, payload) = ws.frame().await.unwrap();
        let payload = if first == 0xc1 {
            inflate(&payload, 30_000)
        } else {
            payload
        };
        assert!(payload.starts_with(format!("4{n} ").as_bytes()), "{n}");
    }
    assert_eq!(socket.buffered_bytes(), 0);
}

#[tokio::test]
async fn compressed_messages_may_come_in_fragments() {
    let mut server = Server::start(deflating()).await;
    let (mut ws, _socket) = connect(&mut server).await;
    let packed = deflate(b"4fragments of a compressed message");
    ws.send(0x41, &packed[..5]).await;
    ws.send(0x89, b"").await;
    assert_eq!(ws.frame().await, Some((0x8a, Vec::new())));
    ws.send(0x00, &packed[5..9]).await;
    ws.send(0x80, &packed[9..]).await;
    assert_eq!(ws.text().await, "4fragments of a compressed message");
    // A final block, as RFC 7692 §7.2.3.4 shows it.
    ws.send(0xc1, &[0x33, 0xf1, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00])
        .await;
    assert_eq!(ws.text().await, "4Hello");
    ws.send(0x41, &packed[..5]).await;
    ws.send(0xc0, &packed[5..]).await;
    ws.closed(&1002u16.to_be_bytes()).await;
}

#[tokio::test]
async fn compressed_junk_closes_the_connection() {
    let bomb = deflate(&[b'4'; 1_000_001]);
    assert!(bomb.len() < 10_000);
    let many_ends = [0x03, 0x00].repeat(400_000);
    let cases: [(u8, &[u8], u16); 6] = [
        (0xc1, &bomb, 1009),
        (0xc1, &[0xff, 0xff, 0xff], 1007),
        (0xc1, &deflate(b"4\xff"), 1007),
        (0xc1, &many_ends, 1007),
        (0xc9, b"", 1002),
        (0xe1, b"", 1002),
    ];
    for (first, payload, code) in cases {
        let mut server = Server::start(deflating()).await;
        let (mut ws, _socket) = connect(&mut server).await;
        ws.stream.write_all(&masked(first, payload)).await.unwrap();
        ws.closed(&code.to_be_bytes()).await;
        server.gone(CloseReason::TransportError).await;
    }
}

#[tokio::test]
async fn a_small_burst_that_unpacks_to_much_arrives_whole() {
    let mut server = Server::start(deflating()).await;
    let (ws, _socket) = connect(&mut server).await;
    let (_reader, mut writer) = ws.split();
    let message = masked(0xc1, &deflate(format!("4{}", "x".repeat(200_000)).as_bytes()));
    writer.write_all(&message.repeat(40)).await.unwrap();
    for _ in 0..40 {
        assert_eq!(server.text().await.len(), 200_000);
    }
}

#[tokio::test]
async fn an_upgrade_may_be_compressed() {
    let mut server = Server::start(deflating()).await;
    let (sid, socket) = server.polling().await;
    let (mut ws, _) = Ws::connect_with(server.addr, &format!("{WEBSOCKET}&sid={sid}"), OFFER).await;
    ws.send(0xc1, &deflate(b"2probe")).await;
    assert_eq!(ws.text().await, "3probe");
    ws.send(0xc1, &deflate(b"5")).await;
    ws.send(0xc1, &deflate(b"4moved")).await;
    assert_eq!(ws.text().await, "4moved");
    socket.send(Outgoing::text(&"x".repeat(5000))).unwrap();
    assert_eq!(ws.frame().await.unwrap().0, 0xc1);
}

#[tokio::test]
async fn text_is_compressed_for_a_client_that_takes_bytes_in_base64() {
    let mut server = Server::start(deflating()).await;
    let (mut ws, _) = Ws::connect_with(server.addr, &format!("{WEBSOCKET}&b64=1"), OFFER).await;
    let socket = server.opened().await.0;
    ws.text().await;
    socket.send(Outgoing::text(&"x".repeat(5000))).unwrap();
    let (first, payload) = ws.frame().await.unwrap();
    assert_eq!((first, inflate(&payload, 5001).len()), (0xc1, 5001));
    socket.send(Outgoing::binary(vec![0; 3000].into())).unwrap();
    assert_eq!(ws.text().await, format!("b{}", "A".repeat(4000)));
    assert_eq!(socket.buffered_bytes(), 0);
}
