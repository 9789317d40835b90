//! Tests of the API over a server with clients.

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use manager_api::Emitter;
use manager_api::memory::MemoryBus;
use serde_json::{Value, json};
use socket_io::{Data, Socket, SocketIo};
use tower_service::Service;

use super::{Api, ApiConfig, ApiKey};
use crate::tests::{Client, serve};

pub(super) const KEY: &str = "a-key-of-the-tests-with-32-bytes-and-more";

pub(super) fn api(io: &SocketIo) -> Api {
    Api::new(io.clone(), [ApiKey::new(KEY).unwrap()], ApiConfig::default())
}

/// A server whose clients join rooms.
pub(super) fn server() -> SocketIo {
    let io = SocketIo::new();
    io.namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| "ok")
        });
    io
}

/// The answer to a request.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Value,
}

pub(super) fn request(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let builder = Request::builder().method(method).uri(path);
    let builder = builder.header(header::AUTHORIZATION, format!("Bearer {KEY}"));
    builder.body(Full::from(body.into())).unwrap()
}

pub(super) async fn ask(api: &Api, request: Request<Full<Bytes>>) -> Answer {
    let response = api.service().call(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&body).unwrap(),
    }
}

pub(super) async fn post(api: &Api, path: &str, body: &Value) -> Answer {
    ask(api, request("POST", path, body.to_string())).await
}

pub(super) async fn get(api: &Api, path: &str) -> Answer {
    ask(api, request("GET", path, "")).await
}

pub(super) async fn joined(address: std::net::SocketAddr, room: &str) -> Client {
    let (mut client, _) = Client::connect(address, &json!({})).await;
    assert_eq!(client.call(&json!(["join", room])).await, json!(["ok"]));
    client
}

#[tokio::test]
async fn events_reach_rooms_in_their_order_and_receipts_say_how_many_got_them() {
    let io = server();
    let (api, address) = (api(&io), serve(&io).await);
    let (mut in_room, mut other) = (joined(address, "lobby").await, joined(address, "hall").await);
    let answer = post(
        &api,
        "/api/emit",
        &json!({"event": "news", "rooms": "lobby", "data": {"a": 1}}),
    )
    .await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, json!({"accepted": 1})));
    assert_eq!(in_room.packet().await, r#"42["news",{"a":1}]"#);

    let batch = json!([
        {"event": "one", "args": [1, {"$base64": "AAEC"}], "rooms": ["lobby", "hall"], "except": ["hall"]},
        {"event": "two", "receipt": true},
        {"event": "three", "rooms": "empty", "receipt": true},
        {"event": "four", "rooms": ["lobby"]},
    ]);
    let answer = post(&api, "/api/emit", &batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let server = io.server_id().as_str();
    let receipt = |clients: u64| json!({"clients": clients, "servers": [{"server": server, "clients": clients}], "missing_servers": []});
    let expected = json!({"accepted": 4, "receipts": [null, receipt(2), receipt(0), null]});
    assert_eq!(answer.body, expected);
    assert_eq!(in_room.packet().await, r#"451-["one",1,{"_placeholder":true,"num":0}]"#);
    assert_eq!(in_room.packet().await, r#"42["two"]"#);
    assert_eq!(in_room.packet().await, r#"42["four"]"#);
    assert_eq!(other.packet().await, r#"42["two"]"#);
    let metrics = api.metrics();
    assert_eq!((metrics.requests, metrics.events, metrics.refused), (2, 5, 0));
}

#[tokio::test]
async fn clients_and_rooms_are_listed_and_clients_disconnected() {
    let io = server();
    let (api, address) = (api(&io), serve(&io).await);
    let (mut first, mut second) = (joined(address, "lobby").await, joined(address, "lobby").await);
    let _third = joined(address, "hall").await;
    let rooms = get(&api, "/api/rooms?prefix=lo").await.body;
    let expected =
        json!({"rooms": [{"room": "lobby", "clients": 2}], "servers": 1, "missing_servers": [], "truncated": false});
    assert_eq!(rooms, expected);

    let who = get(&api, "/api/who?room=lobby&timeout=2").await.body;
    assert_eq!(
        (who["clients"].as_array().map(Vec::len), &who["servers"]),
        (Some(2), &json!(1))
    );
    let client = &who["clients"][0];
    assert_eq!(
        (&client["rooms"], &client["transport"]),
        (&json!(["lobby"]), &json!("websocket"))
    );

    let id = client["id"].clone();
    let answer = post(&api, "/api/disconnect", &json!({ "client": id })).await;
    assert_eq!(answer.body, json!({"accepted": true}));
    let answer = post(&api, "/api/disconnect", &json!({"rooms": ["lobby"]})).await;
    assert_eq!(answer.body, json!({"accepted": true}));
    assert_eq!(
        (first.packet().await, second.packet().await),
        ("41".to_owned(), "41".to_owned())
    );
    let left = get(&api, "/api/who").await.body;
    assert_eq!(left["clients"].as_array().map(Vec::len), Some(1));
    post(&api, "/api/disconnect", &json!({"all": true, "close": true})).await;
    assert_eq!(get(&api, "/api/who").await.body["clients"], json!([]));
}

#[tokio::test]
async fn an_emitter_publishes_to_the_servers_of_its_channel() {
    let bus = MemoryBus::new();
    let io = SocketIo::builder().manager(bus.manager("c")).build();
    io.ready().await;
    let address = serve(&io).await;
    let (mut client, _) = Client::connect(address, &json!({})).await;
    let emitter = Emitter::new(bus.manager("c"));
    let api = Api::new(emitter, [ApiKey::new(KEY).unwrap()], ApiConfig::default());
    let answer = post(
        &api,
        "/api/emit",
        &json!({"event": "news", "receipt": true, "timeout": 3}),
    )
    .await;
    assert_eq!(answer.body["receipts"][0]["clients"], 1, "{answer:?}");
    assert_eq!(client.packet().await, r#"42["news"]"#);
    assert_eq!(get(&api, "/api/rooms").await.body["servers"], 1);
}

#[tokio::test]
async fn what_is_not_of_the_api_is_answered_by_the_service_behind_it() {
    let io = server();
    let app: axum::Router = axum::Router::new()
        .route("/apiary", axum::routing::get(async || "bees"))
        .layer(api(&io).layer());
    let ask = async |path: &str| {
        let response = app.clone().call(request("GET", path, "")).await.unwrap();
        let status = response.status();
        (
            status,
            axum::body::to_bytes(response.into_body(), 10_000).await.unwrap(),
        )
    };
    assert_eq!(ask("/apiary").await, (StatusCode::OK, Bytes::from_static(b"bees")));
    assert_eq!(ask("/api/rooms").await.0, StatusCode::OK);
    let (status, problem) = ask("/api/nonsense").await;
    assert!(status == StatusCode::NOT_FOUND && problem.starts_with(b"{"));
}
