//! Bodies and queries of the HTTP API: each is answered, by success or by a problem.
#![no_main]

use bytes::Bytes;
use gateway::api::{Api, ApiConfig, ApiKey};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use sio_fuzz::block_on;
use socket_io::SocketIo;
use tower_service::Service;

const KEY: &str = "a-key-of-at-least-32-bytes-for-fuzzing";

libfuzzer_sys::fuzz_target!(|data: &[u8]| block_on(async {
    let key = ApiKey::new(KEY).expect("it is long enough");
    let api = Api::new(SocketIo::new(), [key], ApiConfig::default());
    for (method, path) in [("POST", "/api/emit"), ("POST", "/api/disconnect")] {
        answered(&api, request(method, path, data)).await;
    }
    let query = String::from_utf8_lossy(data);
    if let Ok(uri) = format!("/api/who?{query}").parse::<http::Uri>() {
        answered(&api, request("GET", &uri.to_string(), b"")).await;
    }
}));

async fn answered(api: &Api, request: Request<Full<Bytes>>) {
    let response = api.service().call(request).await.expect("it does not fail");
    let status = response.status();
    let body = response.into_body().collect().await.expect("it is whole").to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).expect("answers are JSON");
    match status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => assert!(body["code"].is_string(), "{body}"),
        _ => panic!("{status}: {body}"),
    }
}

fn request(method: &str, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {KEY}"))
        .body(Full::new(Bytes::copy_from_slice(body)))
        .expect("a valid request")
}
