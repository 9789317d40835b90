//! Tables of the protocol: requests, packets and responses that no other module covers.
//!
//! "Node" is the reference server; a test says where this one differs from it, and why.

use engine_io::{CloseReason, Config};

use crate::client::{Pending, Response, Ws, masked, upgrade_request};
use crate::support::{Event, Server, poll, waiting_poll};
use tokio::io::AsyncWriteExt;

const TRANSPORT: &str = r#"{"code":0,"message":"Transport unknown"}"#;
const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
const METHOD: &str = r#"{"code":2,"message":"Bad handshake method"}"#;
const BAD: &str = r#"{"code":3,"message":"Bad request"}"#;
const ORIGIN: &str = r#"{"code":3,"message":"Not an accepted origin"}"#;
const VERSION: &str = r#"{"code":5,"message":"Unsupported protocol version"}"#;

/// The head of an response, line by line, without the date.
fn head(response: &Response) -> Vec<&str> {
    response
        .head
        .lines()
        .filter(|line| !line.starts_with("date: "))
        .collect()
}

#[tokio::test]
async fn responses_have_these_heads_and_no_other_lines() {
    let mut server = Server::start(Config::default()).await;
    let opening = server.get("/?EIO=4&transport=polling").await;
    let length = format!("content-length: {}", opening.body.len());
    let text = "content-type: text/plain; charset=UTF-8";
    let (close, no_store) = ("connection: close", "cache-control: no-store");
    assert_eq!(
        head(&opening),
        ["HTTP/1.1 200 OK", no_store, text, close, length.as_str()]
    );
    let sid = server.opened().await.0.id().to_owned();
    let posted = server.post(&sid, b"4x").await;
    let html = "content-type: text/html";
    assert_eq!(
        head(&posted),
        ["HTTP/1.1 200 OK", no_store, html, close, "content-length: 2"]
    );
    let polled = server.get(&poll(&sid)).await;
    assert_eq!(
        head(&polled),
        ["HTTP/1.1 200 OK", no_store, text, close, "content-length: 2"]
    );
    let refused = server.get("/?EIO=4").await;
    let (json, length) = ("content-type: application/json", "content-length: 40");
    assert_eq!(head(&refused), ["HTTP/1.1 400 Bad Request", json, close, length]);
    let request = upgrade_request("/?EIO=3&transport=websocket");
    let refused = Pending::raw(server.addr, request.as_bytes()).await.response().await;
    assert_eq!(
        head(&refused),
        ["HTTP/1.1 400 Bad Request", html, close, "content-length: 28"]
    );
    let (_ws, head) = Ws::connect_with(server.addr, "/?EIO=4&transport=websocket", "").await;
    let lines: Vec<&str> = head
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("date: "))
        .collect();
    let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let expected = [
        "HTTP/1.1 101 Switching Protocols",
        "upgrade: websocket",
        "connection: Upgrade",
        accept,
    ];
    assert_eq!(lines, expected);
}

/// Of several faults the first is named, in this order: transport, origin, sid, the session's
/// transport, the session's version, method, missing upgrade, version.
#[tokio::test]
async fn the_first_fault_is_the_one_that_is_named() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let junk = "origin: junk\r\n";
    let cases = [
        ("PUT", "/?EIO=3&transport=x&sid=x".to_owned(), junk, TRANSPORT),
        ("PUT", "/?EIO=3&transport=polling&sid=x".to_owned(), junk, ORIGIN),
        ("PUT", "/?EIO=3&transport=websocket&sid=x".to_owned(), "", UNKNOWN),
        ("PUT", format!("/?EIO=4&transport=websocket&sid={sid}"), "", BAD),
        ("PUT", format!("/?EIO=3&transport=polling&sid={sid}"), "", BAD),
        ("PUT", "/?EIO=3&transport=websocket".to_owned(), "", METHOD),
        ("GET", "/?EIO=3&transport=websocket".to_owned(), "", BAD),
        ("GET", "/?EIO=3&transport=polling".to_owned(), "", VERSION),
    ];
    for (method, target, headers, body) in cases {
        let response = server.http(method, &target, headers, b"").await;
        assert_eq!(
            (response.status, response.body.as_str()),
            (400, body),
            "{method} {target}"
        );
    }
    assert_eq!(server.engine.metrics().opened, 1);
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
}

/// Node still supports JSONP (`j`) to clients of version 4, which never ask for it: their
/// specification has none. It means nothing here; nor does `b64` on long-polling, where bytes are
/// base64 anyway.
#[tokio::test]
async fn parameters_of_old_versions_mean_nothing() {
    let mut server = Server::start(Config::default()).await;
    let response = server.get("/?EIO=4&transport=polling&j=0&b64=1").await;
    assert!(response.body.starts_with("0{"), "{}", response.body);
    let sid = server.opened().await.0.id().to_owned();
    assert_eq!(server.post(&sid, b"4x\x1ebAQID").await.body, "ok");
    assert_eq!(
        server.get(&format!("{}&j=0&b64=1", poll(&sid))).await.body,
        "4x\u{1e}bAQID"
    );
}

/// Of several faults of an upgrade, too; a version that is not served is found before it switches.
#[tokio::test]
async fn the_first_fault_of_an_upgrade_is_the_one_that_is_named() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let cases = [
        (
            "/?EIO=3&transport=x&sid=x".to_owned(),
            "origin: junk\r\n",
            "Transport unknown",
        ),
        (
            "/?EIO=3&transport=websocket&sid=x".to_owned(),
            "origin: junk\r\n",
            "Not an accepted origin",
        ),
        ("/?EIO=3&transport=websocket&sid=x".to_owned(), "", "Session ID unknown"),
        (format!("/?EIO=3&transport=websocket&sid={sid}"), "", "Bad request"),
        (format!("/?EIO=3&transport=polling&sid={sid}"), "", "Bad request"),
        (
            "/?EIO=3&transport=polling".to_owned(),
            "",
            "Unsupported protocol version",
        ),
    ];
    for (target, headers, message) in cases {
        let request = upgrade_request(&target).replace("host: x\r\n", &format!("host: x\r\n{headers}"));
        let response = Pending::raw(server.addr, request.as_bytes()).await.response().await;
        assert_eq!((response.status, response.body.as_str()), (400, message), "{target}");
    }
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
}

#[tokio::test]
async fn the_last_of_equal_parameters_counts() {
    let mut server = Server::start(Config::default()).await;
    for target in [
        "/?EIO=3&EIO=4&transport=polling",
        "/?EIO=4&transport=x&transport=polling",
    ] {
        assert_eq!(server.get(target).await.status, 200, "{target}");
        server.opened().await;
    }
    assert_eq!(
        server.get("/?EIO=4&transport=polling&transport=x").await.body,
        TRANSPORT
    );
}

#[tokio::test]
async fn a_session_on_a_websocket_is_not_polled() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    for method in ["GET", "POST", "PUT"] {
        let response = server.http(method, &poll(socket.id()), "", b"4x").await;
        assert_eq!((response.status, response.body.as_str()), (400, BAD), "{method}");
    }
    ws.send_text("4alive").await;
    assert_eq!(ws.text().await, "4alive");
}

#[tokio::test]
async fn a_frame_is_one_packet_with_any_content() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4a\u{1e}4b").await;
    assert_eq!(server.text().await, "a\u{1e}4b");
    assert_eq!(ws.text().await, "4a\u{1e}4b");
}

#[tokio::test]
async fn other_methods_are_refused_by_what_they_ask_for() {
    let mut server = Server::start(Config::default()).await;
    for method in ["DELETE", "OPTIONS", "PATCH"] {
        assert_eq!(server.http(method, &poll("x"), "", b"").await.body, UNKNOWN, "{method}");
        let response = server.http(method, "/?EIO=4&transport=polling", "", b"").await;
        assert_eq!((response.status, response.body.as_str()), (400, METHOD), "{method}");
    }
    let head = server.http("HEAD", &poll("x"), "", b"").await;
    assert_eq!((head.status, head.body.as_str()), (400, ""));
    let (sid, _socket) = server.polling().await;
    for method in ["HEAD", "PATCH"] {
        assert_eq!(server.http(method, &poll(&sid), "", b"").await.status, 500, "{method}");
    }
    assert_eq!(server.post(&sid, b"4alive").await.body, "ok");
}

#[tokio::test]
async fn an_empty_sid_is_none() {
    let mut server = Server::start(Config::default()).await;
    assert_eq!(server.get("/?EIO=4&transport=polling&sid=").await.status, 200);
    server.opened().await;
    Ws::connect(server.addr, "/?EIO=4&transport=websocket&sid=").await;
    server.opened().await;
    // The last of equals counts.
    assert_eq!(server.get("/?EIO=4&transport=polling&sid=&sid=x").await.body, UNKNOWN);
}

/// The effect of each packet of a client that is not a message: the reason for which the session
/// ends, if it does.
const PACKETS: [(&str, Option<CloseReason>); 14] = [
    // Only servers open; noop and upgrade mean nothing outside an upgrade.
    ("0", None),
    ("0{\"sid\":\"x\"}", None),
    ("3", None),
    ("3probe", None),
    ("5", None),
    ("6", None),
    // On a WebSocket Node ignores it, until the ping timeout; the client means what it says.
    ("1", Some(CloseReason::TransportClose)),
    // Only servers ping, and a probe is none of an open transport.
    ("2", Some(CloseReason::TransportError)),
    ("2probe", Some(CloseReason::TransportError)),
    ("7", Some(CloseReason::ParseError)),
    ("é", Some(CloseReason::ParseError)),
    ("\0", Some(CloseReason::ParseError)),
    ("b=", Some(CloseReason::ParseError)),
    ("", Some(CloseReason::ParseError)),
];

#[tokio::test]
async fn every_packet_type_of_a_client_on_a_websocket() {
    for (packet, end) in PACKETS {
        let mut server = Server::start(Config::default()).await;
        let (mut ws, _socket) = server.websocket().await;
        for text in ["4before", packet, "4after"] {
            ws.send_text(text).await;
        }
        assert_eq!(server.text().await, "before", "{packet:?}");
        match end {
            Some(reason) => {
                assert!(
                    matches!(server.event().await, Event::Closed(is) if is == reason),
                    "{packet:?}"
                );
                ws.closed(&[]).await;
            }
            None => assert_eq!(server.text().await, "after", "{packet:?}"),
        }
    }
}

#[tokio::test]
async fn every_packet_type_of_a_client_in_a_post() {
    for (packet, end) in PACKETS {
        let mut server = Server::start(Config::default()).await;
        let (sid, _socket) = server.polling().await;
        let body = format!("4before\u{1e}{packet}\u{1e}4after");
        let response = server.post(&sid, body.as_bytes()).await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok"), "{packet:?}");
        assert_eq!(server.text().await, "before", "{packet:?}");
        match end {
            Some(reason) => {
                assert!(
                    matches!(server.event().await, Event::Closed(is) if is == reason),
                    "{packet:?}"
                );
                assert_eq!(server.get(&poll(&sid)).await.body, UNKNOWN);
            }
            None => assert_eq!(server.text().await, "after", "{packet:?}"),
        }
    }
}

#[tokio::test]
async fn a_separator_at_the_end_is_followed_by_a_packet_that_is_none() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4x\x1e").await.body, "ok");
    assert_eq!(server.text().await, "x");
    server.gone(CloseReason::ParseError).await;
}

#[tokio::test]
async fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
    let config = Config {
        max_payload: 200,
        ..Config::default()
    };
    let text = |length: usize| format!("4{}", "x".repeat(length - 1));
    let mut server = Server::start(config.clone()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text(&text(200)).await;
    assert_eq!(server.text().await.len(), 199);
    ws.send(0x01, &text(150).into_bytes()).await;
    ws.send(0x80, &[b'x'; 50]).await;
    assert_eq!(server.text().await.len(), 199);
    // The header is enough to refuse it.
    ws.stream
        .write_all(&masked(0x81, text(201).as_bytes())[..8])
        .await
        .unwrap();
    assert_eq!(server.closed().await, CloseReason::TransportError);

    let mut server = Server::start(config).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.send(0x01, &text(150).into_bytes()).await;
    ws.send(0x80, &[b'x'; 51]).await;
    ws.closed(&1009u16.to_be_bytes()).await;
    server.gone(CloseReason::TransportError).await;
}

/// Node takes the upgrade packet without a probe, too.
#[tokio::test]
async fn an_upgrade_needs_no_probe_and_may_have_two() {
    for before in [&[][..], &["2probe", "2probe"]] {
        let mut server = Server::start(Config::default()).await;
        let (sid, _socket) = server.polling().await;
        let mut ws = Ws::upgrade(&server, &sid).await;
        for probe in before {
            ws.send_text(probe).await;
            assert_eq!(ws.text().await, "3probe");
        }
        ws.send_text("5").await;
        ws.send_text("4moved").await;
        assert_eq!(ws.text().await, "4moved");
    }
}

#[tokio::test]
async fn a_poll_outlives_a_websocket_that_never_probed() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    let mut ws = Ws::upgrade(&server, &sid).await;
    ws.send(0x88, &[]).await;
    ws.closed(&[]).await;
    assert_eq!(server.post(&sid, b"4still").await.body, "ok");
    assert_eq!(pending.response().await.body, "4still");
}

/// A body that came in pieces is the same as one that did not, wherever it was cut.
#[tokio::test]
async fn a_post_may_come_in_pieces() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let body = "4hé\u{1e}bAQID";
    for cut in 0..=body.len() {
        let headers = "transfer-encoding: chunked\r\n";
        let mut pending = Pending::start(server.addr, "POST", &poll(&sid), headers, b"").await;
        for piece in [&body.as_bytes()[..cut], &body.as_bytes()[cut..]] {
            if !piece.is_empty() {
                let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
                pending.stream.write_all(&chunk).await.unwrap();
                tokio::task::yield_now().await;
            }
        }
        pending.stream.write_all(b"0\r\n\r\n").await.unwrap();
        assert_eq!(pending.response().await.body, "ok", "{cut}");
        assert_eq!(server.text().await, "hé", "{cut}");
        assert!(
            matches!(server.event().await, Event::Binary(data) if data == [1, 2, 3]),
            "{cut}"
        );
    }
}
