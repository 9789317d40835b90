//! Requests of pages of other origins.

use std::sync::{Arc, Mutex};

use engine_io::config::AllowedOrigins;
use engine_io::{CloseReason, Config};

use crate::client::{Pending, Response, Ws, upgrade_request};
use crate::support::{Server, poll};

const OPEN: &str = "/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/?EIO=4&transport=websocket";
const FOREIGN: &str = r#"{"code":3,"message":"Not an accepted origin"}"#;

async fn allowing(origins: impl Into<AllowedOrigins>) -> Server {
    Server::start(Config {
        cors_allowed_origins: origins.into(),
        ..Config::default()
    })
    .await
}

/// Opens a session from a page; the server's own name is `x`.
async fn open(server: &Server, origin: &str, more: &str) -> Response {
    let headers = format!("origin: {origin}\r\n{more}");
    server.http("GET", OPEN, &headers, b"").await
}

fn upgrade_from(origin: &str) -> String {
    upgrade_request(WEBSOCKET).replace("host: x\r\n", &format!("host: x\r\norigin: {origin}\r\n"))
}

fn assert_granted(response: &Response, origin: &str) {
    assert_eq!(response.header("access-control-allow-origin"), Some(origin));
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    assert_eq!(response.header("vary"), Some("Origin"));
}

fn assert_no_cors(response: &Response) {
    assert!(!response.head.contains("access-control"), "{}", response.head);
}

#[tokio::test]
async fn requests_without_an_origin_are_not_restricted() {
    for origins in [AllowedOrigins::SameOrigin, Vec::new().into(), "https://a".into()] {
        let mut server = allowing(origins).await;
        server.polling().await;
        server.websocket().await;
        assert_no_cors(&server.get(OPEN).await);
    }
}

#[tokio::test]
async fn the_same_origin_is_scheme_and_host_of_the_request() {
    let server = allowing(AllowedOrigins::SameOrigin).await;
    for origin in ["http://x", "http://x:80", "HTTP://X"] {
        let response = open(&server, origin, "").await;
        assert_eq!(response.status, 200, "{origin}");
        assert_granted(&response, origin);
    }
    for origin in ["https://x", "http://x:81", "http://y", "http://x.y", "null", "file://"] {
        let response = open(&server, origin, "").await;
        assert_eq!((response.status, response.body.as_str()), (400, FOREIGN), "{origin}");
        assert_eq!(response.header("content-type"), Some("application/json"));
        assert_no_cors(&response);
    }
}

#[tokio::test]
async fn behind_a_proxy_the_first_forwarded_values_count_too() {
    let server = allowing(AllowedOrigins::SameOrigin).await;
    let proxied = "x-forwarded-proto: https, http\r\nx-forwarded-host: app.example, inner\r\n";
    let cases = [
        ("https://app.example", proxied, 200),
        ("https://app.example:443", proxied, 200),
        ("http://x", proxied, 200),
        ("http://app.example", proxied, 400),
        ("https://inner", proxied, 400),
        ("https://x", "x-forwarded-proto: https\r\n", 200),
        ("http://app.example", "x-forwarded-host: app.example\r\n", 200),
        ("https://app.example", "x-forwarded-host: app.example\r\n", 400),
    ];
    for (origin, more, status) in cases {
        assert_eq!(open(&server, origin, more).await.status, status, "{origin} {more}");
    }
}

#[tokio::test]
async fn one_origin_or_a_list_is_exact() {
    let one = allowing("https://a.example").await;
    let many = allowing(["https://b.example", "https://a.example"]).await;
    for server in [one, many] {
        assert_granted(&open(&server, "https://a.example", "").await, "https://a.example");
        for origin in [
            "https://a.example:444",
            "http://a.example",
            "https://a.example.evil",
            "http://x",
        ] {
            assert_eq!(open(&server, origin, "").await.body, FOREIGN, "{origin}");
        }
    }
}

#[tokio::test]
async fn any_origin_is_echoed_with_credentials_and_a_star_without() {
    let server = allowing("*").await;
    assert_granted(&open(&server, "https://anything", "").await, "https://anything");
    assert_granted(&open(&server, "null", "").await, "null");
    let server = Server::start(Config {
        cors_allowed_origins: AllowedOrigins::Any,
        cors_credentials: false,
        ..Config::default()
    })
    .await;
    let response = open(&server, "https://anything", "").await;
    assert_eq!(response.header("access-control-allow-origin"), Some("*"));
    assert_eq!(response.header("access-control-allow-credentials"), None);
}

#[tokio::test]
async fn a_function_sees_origin_and_request() {
    let server = allowing(AllowedOrigins::matching(|origin, request| {
        origin == "https://a.example" && request.headers.contains_key("x-key")
    }))
    .await;
    let granted = open(&server, "https://a.example", "x-key: 1\r\n").await;
    assert_granted(&granted, "https://a.example");
    assert_eq!(open(&server, "https://a.example", "").await.body, FOREIGN);
    assert_eq!(open(&server, "https://b.example", "x-key: 1\r\n").await.body, FOREIGN);
}

#[tokio::test]
async fn without_cors_nothing_is_checked_added_or_answered() {
    let server = allowing(AllowedOrigins::Off).await;
    let response = open(&server, "https://anything", "").await;
    assert_eq!(response.status, 200);
    assert_no_cors(&response);
    let preflight = "origin: https://anything\r\naccess-control-request-method: POST\r\n";
    let response = server.http("OPTIONS", OPEN, preflight, b"").await;
    assert_eq!(
        (response.status, response.body.as_str()),
        (400, r#"{"code":2,"message":"Bad handshake method"}"#)
    );
}

/// Origins of non-browser clients and libraries, and those that no client should send.
const ODD: [&[u8]; 12] = [
    b"\xff\xfe",
    b"x",
    b"",
    b"http://x/",
    b"http://x, http://x",
    b"http://\xc3\xa9",
    b"*",
    b"null",
    b"file://",
    b"capacitor://localhost",
    b"ionic://localhost",
    b"http://u@x",
];

async fn open_raw(server: &Server, origin: &[u8]) -> Response {
    let head = format!("GET {OPEN} HTTP/1.1\r\nhost: x\r\nconnection: close\r\norigin: ");
    let request = [head.as_bytes(), origin, b"\r\n\r\n"].concat();
    Pending::raw(server.addr, &request).await.response().await
}

#[tokio::test]
async fn an_origin_of_any_form_passes_where_all_are_allowed_or_a_predicate_decides() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let kept = seen.clone();
    let predicate = AllowedOrigins::matching(move |origin, _| {
        kept.lock().unwrap().push(origin.to_owned());
        true
    });
    for origins in [AllowedOrigins::Any, AllowedOrigins::Off, predicate] {
        let server = allowing(origins).await;
        for origin in ODD {
            assert_eq!(
                open_raw(&server, origin).await.status,
                200,
                "{:?}",
                origin.escape_ascii()
            );
        }
        assert_eq!(server.engine.metrics().opened, ODD.len() as u64);
    }
    let expected = ODD.map(|origin| String::from_utf8_lossy(origin).into_owned());
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn an_origin_of_another_form_is_foreign_to_the_same_origin_and_to_a_list() {
    for origins in [AllowedOrigins::SameOrigin, "http://x".into()] {
        let server = allowing(origins).await;
        for origin in ODD {
            let response = open_raw(&server, origin).await;
            assert_eq!(
                (response.status, response.body.as_str()),
                (400, FOREIGN),
                "{:?}",
                origin.escape_ascii()
            );
            assert_no_cors(&response);
        }
        let twice = open(&server, "http://x", "origin: http://x\r\n").await;
        assert_eq!(twice.body, FOREIGN);
        assert_eq!(server.engine.metrics().opened, 0);
    }
}

#[tokio::test]
async fn a_preflight_is_answered_with_what_is_allowed() {
    let mut server = allowing("https://a.example").await;
    let (sid, _socket) = server.polling().await;
    let headers = "access-control-request-method: POST\r\naccess-control-request-headers: x-one, X-Two\r\n";
    for target in [OPEN, "/", &poll(&sid), &poll("unknown")] {
        let allowed = format!("origin: https://a.example\r\n{headers}");
        let response = server.http("OPTIONS", target, &allowed, b"").await;
        assert_eq!((response.status, response.body.as_str()), (204, ""), "{target}");
        assert_eq!(
            response.header("access-control-allow-origin"),
            Some("https://a.example")
        );
        assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(
            response.header("access-control-allow-methods"),
            Some("OPTIONS, GET, POST")
        );
        assert_eq!(response.header("access-control-allow-headers"), Some("x-one, X-Two"));
        let vary: Vec<&str> = response
            .head
            .lines()
            .filter_map(|line| line.strip_prefix("vary: "))
            .collect();
        assert_eq!(vary, ["Access-Control-Request-Headers", "Origin"]);
    }
    let foreign = format!("origin: https://b.example\r\n{headers}");
    let response = server.http("OPTIONS", OPEN, &foreign, b"").await;
    assert_eq!((response.status, response.body.as_str()), (400, FOREIGN));
    assert_no_cors(&response);
    let junk = "origin: https://a.example\r\naccess-control-request-headers: a b\r\n";
    let response = server.http("OPTIONS", OPEN, junk, b"").await;
    assert_eq!(response.header("access-control-allow-headers"), None);
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
}

#[tokio::test]
async fn polls_posts_and_errors_carry_the_headers() {
    let mut server = allowing("https://a.example").await;
    let (sid, _socket) = server.polling().await;
    let origin = "origin: https://a.example\r\n";
    let cases = [
        ("POST", poll(&sid), 200),
        ("GET", poll(&sid), 200),
        ("PUT", poll(&sid), 500),
        ("GET", poll("unknown"), 400),
        ("GET", "/?EIO=4".to_owned(), 400),
        ("GET", "/?EIO=3&transport=polling".to_owned(), 400),
    ];
    for (method, target, status) in cases {
        let response = server.http(method, &target, origin, b"4x").await;
        assert_eq!(response.status, status, "{method} {target}");
        assert_granted(&response, "https://a.example");
    }
}

#[tokio::test]
async fn every_request_is_checked_not_only_the_first() {
    let mut server = allowing("https://a.example").await;
    let (sid, _socket) = server.polling().await;
    for method in ["GET", "POST"] {
        let response = server
            .http(method, &poll(&sid), "origin: https://b.example\r\n", b"4x")
            .await;
        assert_eq!((response.status, response.body.as_str()), (400, FOREIGN));
    }
    // Whether a session exists is not told to strangers.
    let response = server
        .http("GET", &poll("unknown"), "origin: https://b.example\r\n", b"")
        .await;
    assert_eq!(response.body, FOREIGN);
    server.no_event();
    assert_eq!(server.post(&sid, b"1").await.body, "ok");
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn a_websocket_of_another_origin_is_refused_before_it_switches() {
    let mut server = allowing("https://a.example").await;
    for origin in ["https://b.example", "junk"] {
        let response = Pending::raw(server.addr, upgrade_from(origin).as_bytes())
            .await
            .response()
            .await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (400, "Not an accepted origin")
        );
        assert_no_cors(&response);
    }
    assert_eq!(server.engine.metrics().opened, 0);
    let (mut ws, head) = Ws::connect_with(server.addr, WEBSOCKET, "origin: https://a.example\r\n").await;
    assert!(
        head.contains("access-control-allow-origin: https://a.example\n"),
        "{head}"
    );
    server.opened().await;
    assert!(ws.text().await.starts_with("0{"));
    let (sid, _socket) = server.polling().await;
    let target = format!("{WEBSOCKET}&sid={sid}");
    let stranger = upgrade_from("https://b.example").replace(WEBSOCKET, &target);
    let response = Pending::raw(server.addr, stranger.as_bytes()).await.response().await;
    assert_eq!(response.body, "Not an accepted origin");
}

#[tokio::test]
async fn an_empty_list_allows_no_origin() {
    let server = allowing(Vec::new()).await;
    for origin in ["http://x", "https://a.example", "null"] {
        let response = open(&server, origin, "").await;
        assert_eq!((response.status, response.body.as_str()), (400, FOREIGN), "{origin}");
        assert_no_cors(&response);
    }
}

/// A page is to learn why it failed.
#[tokio::test]
async fn failures_of_the_server_and_refused_upgrades_carry_the_headers() {
    let mut server = Server::start(Config {
        cors_allowed_origins: "https://a.example".into(),
        max_payload: 10,
        max_sessions: 1,
        ..Config::default()
    })
    .await;
    let panicked = open_at(&server, &format!("{OPEN}&panic")).await;
    assert_eq!(panicked.status, 500);
    let (sid, _socket) = server.polling().await;
    let full = open_at(&server, OPEN).await;
    assert_eq!(full.status, 503);
    let origin = "origin: https://a.example\r\n";
    let long = server.http("POST", &poll(&sid), origin, &[b'4'; 11]).await;
    assert_eq!(long.status, 413);
    let request = upgrade_from("https://a.example").replace("EIO=4", "EIO=3");
    let refused = Pending::raw(server.addr, request.as_bytes()).await.response().await;
    assert_eq!(refused.body, "Unsupported protocol version");
    for response in [panicked, full, long, refused] {
        assert_granted(&response, "https://a.example");
    }
}

async fn open_at(server: &Server, target: &str) -> Response {
    server.http("GET", target, "origin: https://a.example\r\n", b"").await
}
