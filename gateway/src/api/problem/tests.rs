//! What bad requests are answered with.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{Full, StreamBody};
use serde_json::{Value, json};
use socket_io::SocketIo;
use tower_service::Service;

use crate::access::Pattern;
use crate::api::tests::{Answer, KEY, api, ask, get, post, request};
use crate::api::{Api, ApiConfig, ApiKey, Operation};

/// Checks that an answer is a problem, with a code and a field.
fn is_problem(answer: &Answer, status: u16, code: &str, field: Value) {
    let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    assert_eq!(
        (answer.status.as_u16(), kind),
        (status, "application/problem+json"),
        "{answer:?}"
    );
    let expected = (&json!("about:blank"), &json!(status), &json!(code), &field);
    let body = &answer.body;
    assert_eq!(
        (&body["type"], &body["status"], &body["code"], &body["field"]),
        expected,
        "{body}"
    );
    assert!(body["title"].is_string() && body["detail"].as_str().is_some_and(|detail| !detail.is_empty()));
}

#[tokio::test]
async fn a_bad_event_is_a_problem_that_names_the_field() {
    let api = api(&SocketIo::new());
    for (body, code, field) in [
        (json!({}), "missing_field", "event"),
        (json!({"event": null}), "missing_field", "event"),
        (json!({"event": 7}), "invalid_field", "event"),
        (json!({"event": ""}), "reserved_event", "event"),
        (json!({"event": "disconnect"}), "reserved_event", "event"),
        (json!({"evnt": "news"}), "unknown_field", "evnt"),
        (json!({"event": "e", "namespace": "chat"}), "invalid_field", "namespace"),
        (json!({"event": "e", "rooms": []}), "invalid_field", "rooms"),
        (json!({"event": "e", "rooms": [""]}), "invalid_field", "rooms"),
        (json!({"event": "e", "rooms": {"a": 1}}), "invalid_field", "rooms"),
        (json!({"event": "e", "rooms": 1.5}), "invalid_field", "rooms"),
        (json!({"event": "e", "rooms": vec!["r"; 1001]}), "too_many", "rooms"),
        (
            json!({"event": "e", "rooms": vec!["r"; 600], "skip": vec!["s"; 600]}),
            "too_many",
            "rooms",
        ),
        (
            json!({"event": "e", "skip": ["x".repeat(1025)]}),
            "invalid_field",
            "skip",
        ),
        (json!({"event": "e", "args": 1}), "invalid_field", "args"),
        (json!({"event": "e", "args": [], "data": 1}), "invalid_field", "data"),
        (json!({"event": "e", "data": {"$base64": "?"}}), "invalid_field", "data"),
        (json!({"event": "e", "receipt": "yes"}), "invalid_field", "receipt"),
        (json!({"event": "e", "timeout": 0}), "invalid_field", "timeout"),
        (json!({"event": "e", "timeout": 31}), "invalid_field", "timeout"),
    ] {
        let answer = post(&api, "/api/emit", &body).await;
        is_problem(&answer, 400, code, json!(field));
        // In a list it says which, and none of the list is emitted.
        let answer = post(&api, "/api/emit", &json!([{"event": "good"}, body])).await;
        is_problem(&answer, 400, code, json!(field));
        assert_eq!(answer.body["index"], 1);
    }
    assert_eq!(api.metrics().events, 0);
}

#[tokio::test]
async fn a_body_that_is_not_json_or_no_object_is_a_problem() {
    let api = api(&SocketIo::new());
    for (body, code) in [
        (&b""[..], "not_json"),
        (b"{", "not_json"),
        (b"{\"event\":\"e\"}x", "not_json"),
        (b"{'event': 1}", "not_json"),
        (b"\xff", "not_json"),
        (b"7", "not_an_object"),
        (b"[7]", "not_an_object"),
        (b"[[]]", "not_an_object"),
    ] {
        let answer = ask(&api, request("POST", "/api/emit", body)).await;
        is_problem(&answer, 400, code, Value::Null);
    }
    let twice = br#"{"event":"e","event":"f"}"#;
    let answer = ask(&api, request("POST", "/api/emit", &twice[..])).await;
    is_problem(&answer, 400, "invalid_field", json!("event"));
    let mut compressed = request("POST", "/api/emit", &br#"{"event":"e"}"#[..]);
    let coding = header::HeaderValue::from_static("gzip");
    compressed.headers_mut().insert(header::CONTENT_ENCODING, coding);
    is_problem(&ask(&api, compressed).await, 400, "body_broken", Value::Null);
    let many = Value::Array(vec![json!({"event": "e"}); 1001]);
    is_problem(&post(&api, "/api/emit", &many).await, 400, "too_many", Value::Null);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_slow_is_not_read_to_its_end() {
    let config = ApiConfig {
        max_body_bytes: 100,
        body_timeout: Duration::from_millis(50),
        ..ApiConfig::default()
    };
    let api = Api::new(SocketIo::new(), [ApiKey::new(KEY).unwrap()], config);
    let long = request("POST", "/api/emit", "x".repeat(101));
    is_problem(&ask(&api, long).await, 413, "body_too_large", Value::Null);
    // One that announces its length is refused at once: its body would never end.
    let never = || {
        StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, std::convert::Infallible>,
        >())
    };
    for (length, status) in [(Some("101"), 413), (Some("99999999999999999999"), 408), (None, 408)] {
        let mut request = Request::post("/api/emit").header(header::AUTHORIZATION, format!("Bearer {KEY}"));
        if let Some(length) = length {
            request = request.header(header::CONTENT_LENGTH, length);
        }
        let response = api.service().call(request.body(never()).unwrap()).await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["connection"].to_str().unwrap()
            ),
            (status, "close"),
            "{length:?}"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_good_key_is_refused_before_its_body_is_read() {
    let api = api(&SocketIo::new());
    let never = || {
        StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, std::convert::Infallible>,
        >())
    };
    for authorization in [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some(KEY),
        Some("Bearer wrong"),
        Some(&format!("Basic {KEY}")),
        Some(&format!("Bearer {KEY}x")),
    ] {
        let mut request = Request::post("/api/emit");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let response = api.service().call(request.body(never()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{authorization:?}");
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
    }
    let metrics = api.metrics();
    assert_eq!((metrics.unauthorized, metrics.refused), (8, 8));
    let lower = Request::get("/api/rooms").header(header::AUTHORIZATION, format!("bearer {KEY}"));
    let answer = ask(&api, lower.body(Full::default()).unwrap()).await;
    assert_eq!(
        answer.status,
        StatusCode::OK,
        "the name of the scheme may be written in any case"
    );
    api.set_keys([]);
    assert_eq!(get(&api, "/api/rooms").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_does_only_what_it_is_for() {
    let key = ApiKey::new(KEY).unwrap().only([Operation::Emit, Operation::Who]);
    let key = key.in_namespace(Pattern::new("/chat")).events_per_second(3);
    let api = Api::new(SocketIo::new(), [key], ApiConfig::default());
    is_problem(&get(&api, "/api/rooms").await, 403, "forbidden", Value::Null);
    is_problem(
        &post(&api, "/api/disconnect", &json!({"all": true})).await,
        403,
        "forbidden",
        Value::Null,
    );
    is_problem(&get(&api, "/api/who").await, 403, "forbidden", json!("namespace"));
    assert_eq!(get(&api, "/api/who?namespace=/chat").await.status, StatusCode::OK);
    let event = json!({"event": "e", "namespace": "/chat"});
    let other = post(&api, "/api/emit", &json!([event, {"event": "e"}])).await;
    is_problem(&other, 403, "forbidden", json!("namespace"));
    assert_eq!(other.body["index"], 1);
    assert_eq!(
        post(&api, "/api/emit", &json!([event, event, event])).await.status,
        StatusCode::OK
    );
    let limited = post(&api, "/api/emit", &event).await;
    is_problem(&limited, 429, "rate_limited", Value::Null);
    assert_eq!(limited.headers[header::RETRY_AFTER], "1");
}

#[tokio::test]
async fn a_wrong_path_method_or_parameter_is_a_problem() {
    let api = api(&SocketIo::new());
    is_problem(&get(&api, "/api/nonsense").await, 404, "not_found", Value::Null);
    let wrong = get(&api, "/api/emit").await;
    is_problem(&wrong, 405, "method_not_allowed", Value::Null);
    assert_eq!(wrong.headers[header::ALLOW], "POST");
    for (path, code, field) in [
        ("/api/who?rooms=a", "unknown_field", "rooms"),
        ("/api/who?namespace=chat", "invalid_field", "namespace"),
        ("/api/who?namespace=/a&namespace=/b", "invalid_field", "namespace"),
        ("/api/rooms?timeout=soon", "invalid_field", "timeout"),
        ("/api/rooms?timeout=-1", "invalid_field", "timeout"),
        ("/api/rooms?timeout=NaN", "invalid_field", "timeout"),
    ] {
        is_problem(&get(&api, path).await, 400, code, json!(field));
    }
    for (body, code, field) in [
        (json!({}), "missing_field", "client"),
        (json!({"rooms": []}), "missing_field", "client"),
        (json!({"all": false}), "missing_field", "client"),
        (json!({"client": "a", "all": true}), "invalid_field", "client"),
        (json!({"client": ""}), "invalid_field", "client"),
        (json!({"room": "a"}), "unknown_field", "room"),
    ] {
        is_problem(&post(&api, "/api/disconnect", &body).await, 400, code, json!(field));
    }
}

#[tokio::test]
async fn requests_beyond_those_at_work_are_refused_with_a_time_to_come_again() {
    let config = ApiConfig {
        max_requests: 0,
        ..ApiConfig::default()
    };
    let api = Api::new(SocketIo::new(), [ApiKey::new(KEY).unwrap()], config);
    let busy = get(&api, "/api/rooms").await;
    is_problem(&busy, 503, "busy", Value::Null);
    assert_eq!(busy.headers[header::RETRY_AFTER], "1");
    assert_eq!(get(&api, "/api/openapi.json").await.status, StatusCode::OK);
}
