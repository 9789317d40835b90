//! WebSockets, frame by frame.

use std::convert::Infallible;

use bytes::Bytes;
use engine_io::http::PeerAddr;
use engine_io::{CloseReason, Config, Outgoing, SendError, Transport};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::client::{Ws, masked};
use crate::support::{Event, Server};

#[tokio::test]
async fn messages_travel_both_ways() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    ws.send_text("4hé").await;
    assert_eq!(ws.text().await, "4hé");
    ws.send(0x82, &[1, 2, 3]).await;
    assert_eq!(ws.frame().await, Some((0x82, vec![1, 2, 3])));
    ws.send_text("bAQIDBA==").await;
    assert_eq!(ws.frame().await, Some((0x82, vec![1, 2, 3, 4])));
    ws.send(0x82, &[]).await;
    assert_eq!(ws.frame().await, Some((0x82, vec![])));
    let packet = Outgoing::build(
        1,
        |text| text.push(b'x'),
        &[Bytes::from_static(b"a"), Bytes::from_static(b"b")],
    );
    socket.send(packet).unwrap();
    assert_eq!(ws.text().await, "4x");
    assert_eq!(ws.frame().await, Some((0x82, b"a".to_vec())));
    assert_eq!(ws.frame().await, Some((0x82, b"b".to_vec())));
    let metrics = server.engine.metrics();
    assert_eq!((metrics.messages_in, metrics.fast_upgrades), (4, 1));
}

#[tokio::test]
async fn large_messages_travel_both_ways() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    for length in [126, 65_535, 65_536, 999_999] {
        let text = format!("4{}", "x".repeat(length - 1));
        ws.send_text(&text).await;
        assert!(ws.text().await == text, "{length}");
    }
}

#[tokio::test]
async fn frames_may_come_in_pieces_and_messages_in_fragments() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    for byte in masked(0x81, b"4slow") {
        ws.stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(ws.text().await, "4slow");
    ws.send(0x01, b"4fr").await;
    ws.send(0x89, b"between").await;
    assert_eq!(ws.frame().await, Some((0x8a, b"between".to_vec())));
    ws.send(0x00, b"ag").await;
    ws.send(0x80, b"ment").await;
    assert_eq!(ws.text().await, "4fragment");
}

#[tokio::test]
async fn order_is_kept_through_bursts_of_any_cut() {
    let mut server = Server::start(Config::default()).await;
    let (ws, _socket) = server.websocket().await;
    let texts: Vec<String> = (0..5000).map(|n| format!("4{n}{}", "x".repeat(n % 300))).collect();
    let burst: Vec<u8> = texts.iter().flat_map(|text| masked(0x81, text.as_bytes())).collect();
    let (mut ws, mut writer) = ws.split();
    let writing = tokio::spawn(async move {
        for piece in burst.chunks(70_003) {
            writer.write_all(piece).await.unwrap();
        }
        writer
    });
    for text in &texts {
        assert_eq!(&ws.text().await, text);
    }
    drop(writing.await.unwrap());
}

#[tokio::test]
async fn rules_that_are_broken_are_named_in_the_close_frame() {
    let cases: [(Vec<u8>, u16); 5] = [
        (masked(0xc1, b"4x"), 1002),
        (vec![0x81, 2, b'4', b'x'], 1002),
        (masked(0x80, b"4x"), 1002),
        (masked(0x81, b"4\xff"), 1007),
        (masked(0x82, &[0; 1001]), 1009),
    ];
    for (frame, code) in cases {
        let mut server = Server::start(Config {
            max_payload: 1000,
            ..Config::default()
        })
        .await;
        let (mut ws, _socket) = server.websocket().await;
        ws.stream.write_all(&frame).await.unwrap();
        ws.closed(&code.to_be_bytes()).await;
        server.gone(CloseReason::TransportError).await;
    }
}

#[tokio::test]
async fn packets_that_are_none_close_the_connection() {
    let cases = [
        ("", CloseReason::ParseError),
        ("abc", CloseReason::ParseError),
        ("b*", CloseReason::ParseError),
        ("4refuse", CloseReason::ParseError),
        ("2", CloseReason::TransportError),
        ("1", CloseReason::TransportClose),
    ];
    for (text, reason) in cases {
        let mut server = Server::start(Config::default()).await;
        let (mut ws, _socket) = server.websocket().await;
        ws.send_text(text).await;
        ws.closed(&[]).await;
        server.gone(reason).await;
    }
}

#[tokio::test]
async fn a_close_frame_is_answered() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    ws.send(0x88, &[0x03, 0xe8]).await;
    ws.closed(&[0x03, 0xe8]).await;
    server.gone(CloseReason::TransportClose).await;
    assert_eq!(socket.send(Outgoing::text("x")), Err(SendError::Closed));
}

#[tokio::test]
async fn a_client_that_goes_away_is_noticed() {
    let mut server = Server::start(Config::default()).await;
    let (ws, _socket) = server.websocket().await;
    drop(ws);
    server.gone(CloseReason::TransportClose).await;
}

#[tokio::test]
async fn closing_flushes_first() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    let large = "x".repeat(900_000);
    socket.send(Outgoing::text(&large)).unwrap();
    socket.send(Outgoing::text("bye")).unwrap();
    socket.close();
    assert_eq!(ws.text().await.len(), 900_001);
    assert_eq!(ws.text().await, "4bye");
    ws.closed(&[]).await;
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn a_session_may_close_within_its_message() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    ws.stream
        .write_all(&[masked(0x81, b"4one"), masked(0x81, b"4close")].concat())
        .await
        .unwrap();
    assert_eq!(ws.text().await, "4one");
    ws.closed(&[]).await;
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn a_session_is_not_read_from_while_its_input_is_full() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, _socket) = server.websocket().await;
    let burst = [masked(0x81, b"4hold"), masked(0x81, b"4next"), masked(0x81, b"4last")].concat();
    ws.stream.write_all(&burst).await.unwrap();
    assert_eq!(server.text().await, "hold");
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked), "before the next message");
    assert_eq!(server.text().await, "next");
    assert_eq!(server.text().await, "last");
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("4next".to_owned(), "4last".to_owned())
    );
}

#[tokio::test]
async fn work_is_finished_after_the_connection_is_gone() {
    let mut server = Server::start(Config::default()).await;
    let (mut ws, socket) = server.websocket().await;
    ws.send_text("4hold").await;
    assert_eq!(server.text().await, "hold");
    socket.close();
    assert_eq!(server.closed().await, CloseReason::ForcedClose);
    server.no_event();
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked));
    assert!(matches!(server.event().await, Event::Dropped));
}

#[tokio::test]
async fn axum_lets_go_of_the_bare_socket() {
    let mut server = Server::new(Config::default(), ([127, 0, 0, 1], 0).into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.addr = listener.local_addr().unwrap();
    let engine = server.engine.clone();
    let app = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let engine = engine.clone();
        async move { engine.handle(request).await.map(axum::body::Body::new) }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let (mut ws, socket) = server.websocket().await;
    ws.send_text("4axum").await;
    assert_eq!(ws.text().await, "4axum");
    assert_eq!(socket.transport(), Transport::WebSocket);
    assert_eq!(server.engine.metrics().fast_upgrades, 1);
}

#[tokio::test]
async fn a_server_that_recognises_versions_lets_go_of_the_bare_socket() {
    let mut server = Server::new(Config::default(), ([127, 0, 0, 1], 0).into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.addr = listener.local_addr().unwrap();
    serve_once(&server, listener, TokioIo::new);
    let (mut ws, _socket) = server.websocket().await;
    ws.send_text("4auto").await;
    assert_eq!(ws.text().await, "4auto");
    assert_eq!(server.engine.metrics().fast_upgrades, 1);
}

#[tokio::test]
async fn any_other_stream_works_too() {
    let mut server = Server::new(Config::default(), ([127, 0, 0, 1], 0).into());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    server.addr = listener.local_addr().unwrap();
    serve_once(&server, listener, |stream| {
        TokioIo::new(tokio::io::BufStream::new(stream))
    });
    let (mut ws, socket) = server.websocket().await;
    let packet = Outgoing::build(1, |text| text.push(b'x'), &[Bytes::from_static(b"a")]);
    socket.send(packet).unwrap();
    assert_eq!(ws.text().await, "4x");
    assert_eq!(ws.frame().await, Some((0x82, b"a".to_vec())));
    ws.send_text("4wrapped").await;
    assert_eq!(ws.text().await, "4wrapped");
    assert_eq!(server.engine.metrics().fast_upgrades, 0);
    ws.send_text("1").await;
    ws.closed(&[]).await;
}

fn serve_once<I>(server: &Server, listener: TcpListener, wrap: impl Fn(tokio::net::TcpStream) -> I + Send + 'static)
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let engine = server.engine.clone();
    tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            let engine = engine.clone();
            async move { Ok::<_, Infallible>(engine.handle(request).await) }
        });
        let http = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
        http.serve_connection_with_upgrades(wrap(stream), service).await
    });
}

#[tokio::test]
async fn a_client_may_ask_for_bytes_in_base64() {
    let mut server = Server::start(Config::default()).await;
    let mut ws = Ws::connect(server.addr, "/?EIO=4&transport=websocket&b64=1").await;
    let socket = server.opened().await.0;
    assert!(ws.text().await.starts_with("0{"));
    for data in [&[][..], &[1, 2, 3, 4]] {
        ws.send(0x82, data).await;
        assert!(matches!(server.event().await, Event::Binary(received) if received == data));
    }
    assert_eq!(
        (ws.text().await, ws.text().await),
        ("b".to_owned(), "bAQIDBA==".to_owned())
    );
    let attachments = [vec![7; 200].into(), Bytes::from_static(&[1]), vec![7; 90_000].into()];
    let packet = Outgoing::build(1, |text| text.push(b'x'), &attachments);
    socket.send(packet.clone()).unwrap();
    socket.send(Outgoing::text("after")).unwrap();
    assert_eq!(ws.text().await, "4x");
    assert_eq!(ws.text().await, format!("b{}Bwc=", "BwcH".repeat(66)));
    assert_eq!(ws.text().await, "bAQ==");
    assert_eq!(ws.text().await.len(), 1 + 120_000);
    assert_eq!(ws.text().await, "4after");
    assert_eq!(socket.buffered_bytes(), 0);
    // The same packet is frames of bytes for all others.
    let (mut other, socket) = server.websocket().await;
    socket.send(packet).unwrap();
    assert_eq!(other.text().await, "4x");
    assert_eq!(other.frame().await, Some((0x82, vec![7; 200])));
}

#[tokio::test]
async fn bytes_in_base64_are_asked_for_with_any_value_but_none() {
    let mut server = Server::start(Config::default()).await;
    let mut open = Vec::new();
    for (parameter, first) in [("&b64=0", 0x81), ("&b64=", 0x82), ("&b64", 0x82), ("&B64=1", 0x82)] {
        let mut ws = Ws::connect(server.addr, &format!("/?EIO=4&transport=websocket{parameter}")).await;
        ws.text().await;
        server.opened().await;
        ws.send(0x82, b"x").await;
        assert_eq!(ws.frame().await.unwrap().0, first, "{parameter}");
        assert!(matches!(server.event().await, Event::Binary(_)));
        open.push(ws);
    }
}
