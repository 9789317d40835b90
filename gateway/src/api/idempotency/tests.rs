//! Requests that are repeated, and keys that cannot be used.

use http::StatusCode;
use manager_api::memory::MemoryBus;
use serde_json::{Value, json};
use socket_io::SocketIo;

use crate::api::Api;
use crate::api::tests::{Answer, api, ask, post, request, server};
use crate::tests::{Client, serve};

/// Posts an event with the header.
async fn with_header(api: &Api, keys: &[&str], body: &Value) -> Answer {
    let mut request = request("POST", "/api/emit", body.to_string());
    for key in keys {
        request.headers_mut().append("idempotency-key", key.parse().unwrap());
    }
    ask(api, request).await
}

#[tokio::test]
async fn a_request_that_is_repeated_reaches_each_client_once_through_whichever_server() {
    let bus = MemoryBus::new();
    let servers = [(); 2].map(|()| SocketIo::builder().manager(bus.manager("c")).build());
    let mut clients = Vec::new();
    for io in &servers {
        io.ready().await;
        clients.push(Client::connect(serve(io).await, &json!({})).await.0);
    }
    let event = |number: u64, key: &str| json!({"event": "e", "data": number, "idempotency_key": key});
    for api in servers.each_ref().map(api) {
        let answer = post(&api, "/api/emit", &event(1, "field")).await;
        assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"accepted": 1})));
        for key in ["header", "\"header\""] {
            let answer = with_header(&api, &[key], &json!({"event": "e", "data": 2})).await;
            assert_eq!(answer.status, StatusCode::OK);
        }
        assert_eq!(
            with_header(&api, &["both"], &event(3, "both")).await.status,
            StatusCode::OK
        );
        let list = json!([event(4, "4"), event(5, "5"), {"event": "e", "data": 6}]);
        assert_eq!(post(&api, "/api/emit", &list).await.body, json!({"accepted": 3}));
    }
    // The last one has no key.
    for client in &mut clients {
        for number in [1, 2, 3, 4, 5, 6, 6] {
            assert_eq!(client.packet().await, format!("42[\"e\",{number}]"));
        }
    }
}

#[tokio::test]
async fn the_receipt_of_a_repeated_request_is_the_same() {
    let io = server();
    let (api, address) = (api(&io), serve(&io).await);
    let (_client, _) = Client::connect(address, &json!({})).await;
    let event = json!({"event": "e", "receipt": true, "idempotency_key": "k"});
    let first = post(&api, "/api/emit", &event).await.body;
    assert_eq!(first["receipts"][0]["clients"], 1, "{first}");
    assert_eq!(post(&api, "/api/emit", &event).await.body, first);
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_refused_and_nothing_is_sent() {
    let io = server();
    let (api, address) = (api(&io), serve(&io).await);
    let (mut client, _) = Client::connect(address, &json!({})).await;
    let (event, long) = (json!({"event": "e"}), "k".repeat(129));
    let in_field = |key: Value| json!({"event": "e", "idempotency_key": key});
    let header = "Idempotency-Key";
    for (answer, field, detail) in [
        (
            post(&api, "/api/emit", &in_field(json!(long))).await,
            "idempotency_key",
            "over the limit of 128",
        ),
        (
            post(&api, "/api/emit", &in_field(json!(""))).await,
            "idempotency_key",
            "must not be empty",
        ),
        (
            post(&api, "/api/emit", &in_field(json!("a\n"))).await,
            "idempotency_key",
            "control characters",
        ),
        (
            post(&api, "/api/emit", &in_field(json!(7))).await,
            "idempotency_key",
            "expected text",
        ),
        (
            with_header(&api, &[&long], &event).await,
            header,
            "over the limit of 128",
        ),
        (with_header(&api, &["\"\""], &event).await, header, "must not be empty"),
        (with_header(&api, &["a", "a"], &event).await, header, "twice"),
        (
            with_header(&api, &["a"], &in_field(json!("b"))).await,
            "idempotency_key",
            "another key",
        ),
        (
            with_header(&api, &["a"], &json!([event, event])).await,
            header,
            "single event",
        ),
    ] {
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        let body = answer.body;
        assert_eq!(
            (&body["code"], &body["field"]),
            (&json!("invalid_field"), &json!(field)),
            "{body}"
        );
        assert!(body["detail"].as_str().unwrap().contains(detail), "{body}");
    }
    // `null` stands for no key.
    post(&api, "/api/emit", &json!({"event": "end", "idempotency_key": null})).await;
    assert_eq!(client.packet().await, r#"42["end"]"#);
}
