//! Bodies of POSTs: each is responded to, and the session is open or gone after it.
#![no_main]

use bytes::Bytes;
use engine_io::{Config, Engine};
use http::Request;
use http_body_util::{BodyExt, Full};
use sio_fuzz::{Echo, block_on};

libfuzzer_sys::fuzz_target!(|data: &[u8]| block_on(async {
    let config = Config {
        max_payload: 1000,
        ..Config::default()
    };
    let engine = Engine::new(Echo, config);
    let opened = engine.handle(request("GET", "", b"")).await;
    let body = opened
        .into_body()
        .collect()
        .await
        .expect("bodies do not fail")
        .to_bytes();
    let sid = std::str::from_utf8(&body[9..29]).expect("an opening packet");
    let status = engine.handle(request("POST", sid, data)).await.status();
    assert!(status == 200 || (status == 413 && data.len() > 1000));
    let open = engine.metrics().open_sessions == 1;
    let echoed = engine.metrics().messages_in > 0;
    if open && echoed {
        assert_eq!(engine.handle(request("GET", sid, b"")).await.status(), 200);
    } else if !open {
        assert_eq!(engine.handle(request("GET", sid, b"")).await.status(), 400);
    }
    engine.shutdown().await;
    assert_eq!(engine.metrics().open_sessions, 0);
}));

fn request(method: &str, sid: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("/socket.io/?EIO=4&transport=polling&sid={sid}"))
        .body(Full::new(Bytes::copy_from_slice(body)))
        .expect("a valid request")
}
