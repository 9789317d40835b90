//! Handshakes: those that are accepted, and the refusals of the others.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use engine_io::config::{AllowRequest, Forbidden, Transports};
use engine_io::http::Secure;
use engine_io::{CloseReason, Config, Engine, Transport};
use http::Request;
use http_body_util::Empty;

use crate::client::{Pending, Ws, upgrade_request};
use crate::support::{Server, poll};

#[tokio::test]
async fn a_polling_handshake_has_the_headers_and_the_five_keys() {
    let mut server = Server::start(Config::default()).await;
    let response = server
        .http(
            "GET",
            "/socket.io/?EIO=4&transport=polling&t=abc",
            "x-name: value\r\n",
            b"",
        )
        .await;
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(
        response.header("content-length"),
        Some(response.body.len().to_string().as_str())
    );
    let (socket, handshake) = server.opened().await;
    let sid = socket.id();
    assert_eq!(
        response.body,
        format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        )
    );
    assert_eq!(sid.len(), 20);
    assert_eq!(socket.transport(), Transport::Polling);
    assert_eq!(handshake.path(), "/socket.io/");
    assert_eq!(handshake.query(), "EIO=4&transport=polling&t=abc");
    assert_eq!(handshake.header("X-Name"), Some("value"));
    assert_eq!(handshake.headers()["host"], "x");
    assert!(handshake.peer_addr().unwrap().ip().is_loopback());
    assert!(!handshake.is_secure());
}

#[tokio::test]
async fn a_websocket_handshake_offers_no_upgrade() {
    let mut server = Server::start(Config::default()).await;
    let mut ws = Ws::connect(server.addr, "/?EIO=4&transport=websocket&greet").await;
    let socket = server.opened().await.0;
    let sid = socket.id();
    assert_eq!(
        ws.text().await,
        format!(r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#)
    );
    assert_eq!(
        ws.text().await,
        "4hello",
        "what the handler sends follows the opening packet"
    );
    assert_eq!(socket.transport(), Transport::WebSocket);
}

#[tokio::test]
async fn the_handshake_packet_travels_alone() {
    let mut server = Server::start(Config::default()).await;
    let response = server.get("/?EIO=4&transport=polling&greet").await;
    assert!(response.body.starts_with("0{") && !response.body.contains("hello"));
    let socket = server.opened().await.0;
    assert_eq!(server.poll(socket.id()).await.response().await.body, "4hello");
}

#[tokio::test]
async fn refusals_have_code_and_message() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let transport = r#"{"code":0,"message":"Transport unknown"}"#;
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    let method = r#"{"code":2,"message":"Bad handshake method"}"#;
    let bad = r#"{"code":3,"message":"Bad request"}"#;
    let version = r#"{"code":5,"message":"Unsupported protocol version"}"#;
    let cases = [
        ("GET", "/?EIO=4".to_owned(), transport),
        ("GET", "/?EIO=4&transport=abc".to_owned(), transport),
        ("POST", "/?transport=__proto__".to_owned(), transport),
        ("GET", poll("zzz"), unknown),
        ("GET", poll("__proto__"), unknown),
        ("POST", poll("aaaaaaaaaaaaaaaaaaaa"), unknown),
        ("PUT", poll("constructor"), unknown),
        ("POST", "/?EIO=4&transport=polling".to_owned(), method),
        ("PUT", "/?EIO=4&transport=polling".to_owned(), method),
        ("OPTIONS", "/?EIO=4&transport=polling&sid=".to_owned(), method),
        ("GET", "/?EIO=4&transport=websocket".to_owned(), bad),
        ("GET", format!("/?EIO=4&transport=websocket&sid={sid}"), bad),
        ("GET", format!("/?EIO=3&transport=polling&sid={sid}"), bad),
        ("GET", "/?transport=polling".to_owned(), version),
        ("GET", "/?EIO=3&transport=polling".to_owned(), version),
        ("GET", "/?EIO=abc&transport=polling".to_owned(), version),
        ("GET", "/?EIO=4&EIO=3&transport=polling".to_owned(), version),
    ];
    for (verb, target, body) in cases {
        let response = server.http(verb, &target, "", b"").await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (400, body),
            "{verb} {target}"
        );
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    assert_eq!(
        server.http("HEAD", "/?EIO=4&transport=polling", "", b"").await.status,
        400
    );
    assert_eq!(server.engine.metrics().open_sessions, 1);
}

#[tokio::test]
async fn an_upgrade_is_refused_before_it_switches() {
    let server = Server::start(Config::default()).await;
    let cases = [
        ("/?EIO=3&transport=websocket", "Unsupported protocol version"),
        ("/?transport=websocket", "Unsupported protocol version"),
        ("/?EIO=4&transport=abc", "Transport unknown"),
        ("/?EIO=4&transport=websocket&sid=zzz", "Session ID unknown"),
    ];
    for (target, message) in cases {
        let response = Pending::raw(server.addr, upgrade_request(target).as_bytes())
            .await
            .response()
            .await;
        assert_eq!((response.status, response.body.as_str()), (400, message), "{target}");
        assert_eq!(response.header("content-type"), Some("text/html"));
        assert_eq!(response.header("connection"), Some("close"));
    }
    let old = upgrade_request("/?EIO=4&transport=websocket").replace("version: 13", "version: 8");
    let response = Pending::raw(server.addr, old.as_bytes()).await.response().await;
    assert_eq!(response.status, 400);
    assert_eq!(response.header("sec-websocket-version"), Some("13"));
    assert_eq!(server.engine.metrics().opened, 0);
}

#[tokio::test]
async fn a_websocket_of_no_use_is_closed_at_once() {
    let mut server = Server::start(Config::default()).await;
    Ws::connect(server.addr, "/?EIO=4&transport=polling")
        .await
        .closed(&[])
        .await;
    let (mut first, socket) = server.websocket().await;
    Ws::upgrade(&server, socket.id()).await.closed(&[]).await;
    first.send_text("4still here").await;
    assert_eq!(first.text().await, "4still here");
}

#[tokio::test]
async fn sessions_are_limited() {
    let mut server = Server::start(Config {
        max_sessions: 1,
        ..Config::default()
    })
    .await;
    let (mut ws, _) = server.websocket().await;
    assert_eq!(server.get("/?EIO=4&transport=polling").await.status, 503);
    let request =
        upgrade_request("/?EIO=4&transport=websocket").replace("connection: Upgrade", "connection: Upgrade, close");
    assert_eq!(
        Pending::raw(server.addr, request.as_bytes())
            .await
            .response()
            .await
            .status,
        503
    );
    ws.send_text("1").await;
    server.gone(CloseReason::TransportClose).await;
    server.polling().await;
}

#[tokio::test]
async fn transports_can_be_left_out() {
    let unknown = r#"{"code":0,"message":"Transport unknown"}"#;
    let mut server = Server::start(Config {
        transports: Transports::PollingOnly,
        ..Config::default()
    })
    .await;
    assert!(
        server
            .get("/?EIO=4&transport=polling")
            .await
            .body
            .contains(r#""upgrades":[]"#)
    );
    let request = upgrade_request("/?EIO=4&transport=websocket");
    assert_eq!(
        Pending::raw(server.addr, request.as_bytes())
            .await
            .response()
            .await
            .body,
        "Transport unknown"
    );
    server.opened().await;

    let server = Server::start(Config {
        transports: Transports::WebSocketOnly,
        ..Config::default()
    })
    .await;
    assert_eq!(server.get("/?EIO=4&transport=polling").await.body, unknown);

    let mut server = Server::start(Config {
        allow_upgrades: false,
        ..Config::default()
    })
    .await;
    assert!(
        server
            .get("/?EIO=4&transport=polling")
            .await
            .body
            .contains(r#""upgrades":[]"#)
    );
    let sid = server.opened().await.0.id().to_owned();
    let request = upgrade_request(&format!("/?EIO=4&transport=websocket&sid={sid}"));
    assert_eq!(
        Pending::raw(server.addr, request.as_bytes())
            .await
            .response()
            .await
            .body,
        "Bad request"
    );
}

#[tokio::test]
async fn paths_match_exactly() {
    let server = Server::start(Config::default()).await;
    let matches = |path| Engine::matches(&server.engine, path);
    assert!(matches("/socket.io/") && matches("/socket.io"));
    assert!(!matches("/socket.io-admin") && !matches("/socket.io/extra") && !matches("//socket.io/"));
    assert!(matches("/socket.io//"), "as Node");
    assert!(!matches("/") && !matches(""));
}

#[tokio::test]
async fn what_is_configured_is_what_clients_are_told() {
    let mut server = Server::start(Config {
        ping_interval: Duration::from_millis(250),
        ping_timeout: Duration::from_millis(61_500),
        max_payload: 1234,
        ..Config::default()
    })
    .await;
    let told = r#","pingInterval":250,"pingTimeout":61500,"maxPayload":1234}"#;
    let body = server.get("/?EIO=4&transport=polling").await.body;
    assert!(body.ends_with(told), "{body}");
    server.opened().await;
    let body = Ws::connect(server.addr, "/?EIO=4&transport=websocket")
        .await
        .text()
        .await;
    assert!(body.ends_with(told), "{body}");
}

#[tokio::test]
async fn names_of_sessions_need_no_escaping() {
    let mut server = Server::start(Config::default()).await;
    for _ in 0..50 {
        let sid = server.polling().await.0;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(sid.len() == 20 && sid.bytes().all(plain), "{sid}");
    }
}

#[tokio::test]
async fn an_upgrade_to_polling_is_closed_and_its_session_lives() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    Ws::connect(server.addr, &poll(&sid)).await.closed(&[]).await;
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
    assert_eq!(server.poll(&sid).await.response().await.body, "4alive");
}

#[tokio::test]
async fn the_path_may_lack_its_slash() {
    let mut server = Server::start(Config::default()).await;
    assert_eq!(server.get("/socket.io?EIO=4&transport=polling").await.status, 200);
    let handshake = server.opened().await.1;
    assert_eq!(
        (handshake.path(), handshake.query()),
        ("/socket.io", "EIO=4&transport=polling")
    );
}

#[tokio::test]
async fn a_request_marked_secure_is_secure_and_of_the_same_origin_as_https() {
    let mut server = Server::new(Config::default(), ([127, 0, 0, 1], 0).into());
    let request = |secure: bool| {
        let mut request = Request::get("/?EIO=4&transport=polling")
            .header("host", "x")
            .header("origin", "https://x");
        if secure {
            request = request.extension(Secure).extension("mine");
        }
        request.body(Empty::<Bytes>::new()).unwrap()
    };
    let begin = SystemTime::now();
    assert_eq!(server.engine.handle(request(true)).await.status(), 200);
    let handshake = server.opened().await.1;
    assert!(handshake.is_secure());
    assert_eq!(handshake.extensions().get::<&str>(), Some(&"mine"));
    assert!((begin..=SystemTime::now()).contains(&handshake.time()));
    assert_eq!(server.engine.handle(request(false)).await.status(), 400);
}

/// Accepts clients with a key, and refuses others, some with a reason.
fn guarded() -> Config {
    Config {
        allow_request: AllowRequest::matching(|request| match request.headers.get("x-key") {
            Some(key) if key == "right" => Ok(()),
            Some(_) => Err(format!("not \"{}\"\n\\é", request.uri.path()).into()),
            None => Err(Forbidden::default()),
        }),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_request_that_is_not_allowed_is_forbidden() {
    let mut server = Server::start(guarded()).await;
    let cases = [
        ("", r#"{"code":4,"message":"Forbidden"}"#),
        ("x-key: wrong\r\n", r#"{"code":4,"message":"not \"/\"\n\\é"}"#),
    ];
    for (headers, body) in cases {
        let response = server.http("GET", "/?EIO=4&transport=polling", headers, b"").await;
        assert_eq!((response.status, response.body.as_str()), (403, body));
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    let key = "x-key: right\r\n";
    assert_eq!(
        server.http("GET", "/?EIO=4&transport=polling", key, b"").await.status,
        200
    );
    let sid = server.opened().await.0.id().to_owned();
    // It is asked who opens a session, not who goes on with it.
    assert_eq!(server.post(&sid, b"4x").await.body, "ok");
    assert_eq!(server.poll(&sid).await.response().await.body, "4x");
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send_text("2probe").await;
    assert_eq!(ws.text().await, "3probe");
}

#[tokio::test]
async fn a_websocket_that_is_not_allowed_is_refused_before_it_switches() {
    let mut server = Server::start(guarded()).await;
    let target = "/?EIO=4&transport=websocket";
    for (headers, message) in [("", "Forbidden"), ("x-key: wrong\r\n", "not \"/\"\n\\é")] {
        let request = upgrade_request(target).replace("host: x\r\n", &format!("host: x\r\n{headers}"));
        let response = Pending::raw(server.addr, request.as_bytes()).await.response().await;
        assert_eq!((response.status, response.body.as_str()), (400, message));
        assert_eq!(response.header("content-type"), Some("text/html"));
    }
    assert_eq!(server.engine.metrics().refused, 2);
    Ws::connect_with(server.addr, target, "x-key: right\r\n").await;
    server.opened().await;
}

/// Method and missing upgrade come before it, the version after it.
#[tokio::test]
async fn a_request_that_is_not_allowed_is_told_so_before_its_version_is_looked_at() {
    let server = Server::start(guarded()).await;
    let cases = [
        ("POST", "/?EIO=4&transport=polling", 400, "Bad handshake method"),
        ("GET", "/?EIO=4&transport=websocket", 400, "Bad request"),
        ("GET", "/?EIO=4&transport=polling&sid=x", 400, "Session ID unknown"),
        ("GET", "/?EIO=3&transport=polling", 403, "Forbidden"),
    ];
    for (method, target, status, message) in cases {
        let response = server.http(method, target, "", b"").await;
        assert!(
            response.status == status && response.body.contains(message),
            "{method} {target}: {response:?}"
        );
    }
}
