//! Packets that name one attachment, or what looks like a name of one, very often: what is made of them is as small as they are.
//!
//! A process of its own, because memory is measured of a whole process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails in a helper has failed the test")]

#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "server/client.rs"]
mod client;
#[allow(dead_code, reason = "the other tests use the rest of it")]
#[path = "msgpack/packets.rs"]
mod packets;

use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use socket_io::config::Parser;
use socket_io::manager_api::Payload;
use socket_io::{Data, SocketIo};

use client::TestServer;

/// The most that both tests together may take, in KiB.
const MAX_GROWTH: u64 = 50_000;

/// The most memory that this process ever held, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_event_that_names_one_attachment_30_000_times_takes_no_memory_and_closes_its_own_connection_alone() {
    let server = TestServer::start().await;
    let is_read = Arc::new(AtomicBool::new(false));
    let read = is_read.clone();
    let root = server.io.namespace("/");
    root.on("take", move |Data(all): Data<Vec<Bytes>>| {
        read.store(true, Ordering::Relaxed);
        async move { all.len() }
    });
    root.on("ok", async || "ok");
    let (mut client, mut other) = (server.connect().await, server.connect().await);
    let before = peak_kib();
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    let placeholders = vec![placeholder; 30_000].join(",");
    client.send(&format!("451-1[\"take\",[{placeholders}]]")).await;
    client.send_bytes(vec![7; 990_000]).await;
    client.expect_closed().await;
    let grown = peak_kib() - before;
    assert!(grown < MAX_GROWTH, "{grown} KiB");
    assert!(!is_read.load(Ordering::Relaxed));
    other.send("420[\"ok\"]").await;
    other.expect("430[\"ok\"]").await;
    // One that is honest, and as large, passes.
    other.send(&format!("451-1[\"take\",[{placeholder}]]")).await;
    other.send_bytes(vec![7; 990_000]).await;
    other.expect("431[1]").await;
}

#[tokio::test]
async fn twenty_thousand_maps_that_look_like_names_of_an_attachment_are_echoed_as_they_came() {
    let server = TestServer::with(SocketIo::builder().configure(|config| config.parser = Parser::MsgPack)).await;
    server.io.namespace("/").on("echo", async |all: Payload| all);
    let mut client = server.open().await;
    client.send_bytes(packets::packet(2, 0, "/", b"")).await;
    client.binary().await;
    let before = peak_kib();
    let map = b"\x82\xac_placeholder\xc3\xa3num\x00";
    let maps: Vec<u8> = iter::repeat_n(map, 20_000).flatten().copied().collect();
    // An array of 20,000 maps, and 200,000 bytes of binary.
    let arguments = [b"\xdc\x4e\x20", &maps[..], b"\xc6\x00\x03\x0d\x40", &[7; 200_000]].concat();
    client
        .send_bytes(packets::asking(&[b"\x93\xa4echo", &arguments[..]].concat()))
        .await;
    let answer = client.binary().await;
    let expected = packets::packet(4, 3, "/", &[b"\xa2id\x07\xa4data\x92", &arguments[..]].concat());
    assert!(answer == expected, "{} bytes for {}", answer.len(), expected.len());
    let grown = peak_kib() - before;
    assert!(grown < MAX_GROWTH, "{grown} KiB");
}
