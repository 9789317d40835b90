//! A whole connection: after any bytes that follow its beginning, the server ends it and keeps nothing.
//!
//! The first byte chooses the beginning: a WebSocket of its own, a compressed one, an upgrade, or plain HTTP.
#![no_main]

use std::convert::Infallible;

use bytes::Bytes;
use engine_io::config::AllowedOrigins;
use engine_io::{Config, Engine};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sio_fuzz::{Echo, block_on};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const UPGRADE: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const OFFER: &str = "sec-websocket-extensions: permessage-deflate\r\n";

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    block_on(async {
        let engine = Engine::new(
            Echo,
            Config {
                max_payload: 10_000,
                per_message_deflate: true,
                cors_allowed_origins: AllowedOrigins::SameOrigin,
                ..Config::default()
            },
        );
        let websocket = "GET /?EIO=4&transport=websocket";
        let head = match choice % 4 {
            0 => format!("{websocket} HTTP/1.1\r\nhost: x\r\n{UPGRADE}\r\n"),
            1 => format!("{websocket} HTTP/1.1\r\nhost: x\r\n{UPGRADE}{OFFER}\r\n"),
            2 => {
                let sid = opened(&engine).await;
                format!("{websocket}&sid={sid} HTTP/1.1\r\nhost: x\r\n{UPGRADE}{OFFER}\r\n")
            }
            _ => String::new(),
        };
        exchange(&engine, &[head.as_bytes(), bytes].concat()).await;
        engine.shutdown().await;
        assert_eq!(engine.metrics().open_sessions, 0);
        assert_eq!(engine.metrics().panics, 0);
    });
});

/// Opens a session that polls; returns its id.
async fn opened(engine: &Engine) -> String {
    let request = Request::get("/?EIO=4&transport=polling").body(Empty::<Bytes>::new());
    let answer = engine.handle(request.expect("a valid request")).await;
    let body = answer
        .into_body()
        .collect()
        .await
        .expect("bodies do not fail")
        .to_bytes();
    String::from_utf8_lossy(&body[9..29]).into_owned()
}

/// Sends everything, and reads until the server is done with it.
async fn exchange(engine: &Engine, bytes: &[u8]) {
    let (server, client) = tokio::io::duplex(64 * 1024);
    let engine = engine.clone();
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let engine = engine.clone();
            async move { Ok::<_, Infallible>(engine.handle(request).await) }
        });
        let connection = http1::Builder::new()
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        // A client that breaks off, or talks nonsense, is an error of the connection.
        let _ = connection.with_upgrades().await;
    });
    let (mut reader, mut writer) = tokio::io::split(client);
    let writing = async {
        // The server may have closed already.
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let mut answer = Vec::new();
    let reading = reader.read_to_end(&mut answer);
    // The server ends the connection, in one way or another.
    let _ = tokio::join!(writing, reading);
}
