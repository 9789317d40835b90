//! Long-polling, request by request.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engine_io::{CloseReason, Config, Outgoing, SendError, Sent};
use tokio::io::AsyncWriteExt;

use crate::client::Pending;
use crate::support::{Event, Server, poll, waiting_poll};

const UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

#[tokio::test]
async fn packets_travel_both_ways() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let response = server.post(&sid, "4hé\u{1e}bAQIDBA==\u{1e}4".as_bytes()).await;
    assert_eq!((response.status, response.body.as_str()), (200, "ok"));
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(server.text().await, "hé");
    assert!(matches!(server.event().await, Event::Binary(data) if data == [1, 2, 3, 4]));
    assert_eq!(server.text().await, "");
    let response = server.poll(&sid).await.response().await;
    assert_eq!(response.body, "4hé\u{1e}bAQIDBA==\u{1e}4");
    assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let both = Outgoing::build(1, |text| text.push(b'x'), &[Bytes::from_static(b"\0"), Bytes::new()]);
    socket.send(both).unwrap();
    assert_eq!(server.poll(&sid).await.response().await.body, "4x\u{1e}bAA==\u{1e}b");
    assert_eq!(socket.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_poll_waits_for_a_packet() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    assert_eq!(server.post(&sid, b"4later").await.body, "ok");
    assert_eq!(pending.response().await.body, "4later");
}

#[tokio::test]
async fn a_payload_is_cut_between_packets() {
    let mut server = Server::start(Config {
        max_payload: 10,
        ..Config::default()
    })
    .await;
    let (sid, socket) = server.polling().await;
    for text in ["123", "456", "7", "a packet of its own", "8"] {
        socket.send(Outgoing::text(text)).unwrap();
    }
    for payload in ["4123\u{1e}4456", "47", "4a packet of its own", "48"] {
        assert_eq!(server.poll(&sid).await.response().await.body, payload);
    }
}

#[tokio::test]
async fn two_polls_at_once_close_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let first = waiting_poll(&server, &sid, &socket).await;
    let second = server.poll(&sid).await.response().await;
    assert_eq!((second.status, second.body.as_str()), (400, ""));
    let first = first.response().await;
    assert_eq!((first.status, first.body.as_str()), (200, "1"));
    server.gone(CloseReason::TransportError).await;
    assert_eq!(server.poll(&sid).await.response().await.body, UNKNOWN);
}

#[tokio::test]
async fn two_posts_at_once_close_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let mut first = Pending::start(server.addr, "POST", &poll(&sid), "transfer-encoding: chunked\r\n", b"").await;
    first.stream.write_all(b"2\r\n4h\r\n").await.unwrap();
    // Whichever of the two is seen first, the session ends.
    let second = Pending::start(server.addr, "POST", &poll(&sid), "transfer-encoding: chunked\r\n", b"").await;
    assert_eq!(server.closed().await, CloseReason::TransportError);
    assert_eq!(second.response().await.status, 400);
    assert_eq!(first.response().await.status, 400);
}

#[tokio::test]
async fn a_second_post_is_refused_and_closes_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let first = Pending::start(server.addr, "POST", &poll(&sid), "", b"4hold\x1e4never").await;
    assert_eq!(server.text().await, "hold");
    let second = server.post(&sid, b"4x").await;
    assert_eq!((second.status, second.body.as_str()), (400, ""));
    assert!(matches!(
        server.event().await,
        Event::Closed(CloseReason::TransportError)
    ));
    first.response().await;
    for method in ["GET", "POST"] {
        assert_eq!(
            server.http(method, &poll(&sid), "", b"").await.body,
            UNKNOWN,
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_aborted_poll_closes_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    drop(waiting_poll(&server, &sid, &socket).await);
    server.gone(CloseReason::TransportError).await;
}

#[tokio::test]
async fn an_aborted_post_closes_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    drop(
        Pending::start(
            server.addr,
            "POST",
            &poll(&sid),
            "transfer-encoding: chunked\r\n",
            b"2\r\n4h\r\n",
        )
        .await,
    );
    server.gone(CloseReason::TransportError).await;
}

#[tokio::test]
async fn a_post_that_ends_before_its_announced_length_closes_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n4h",
        poll(&sid)
    );
    drop(Pending::raw(server.addr, request.as_bytes()).await);
    server.gone(CloseReason::TransportError).await;
    assert_eq!(server.poll(&sid).await.response().await.body, UNKNOWN);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_session_lives() {
    let mut server = Server::start(Config {
        max_payload: 100,
        ..Config::default()
    })
    .await;
    let (sid, _socket) = server.polling().await;
    let announced = server.post(&sid, &[b'4'; 101]).await;
    assert_eq!((announced.status, announced.body.as_str()), (413, ""));
    let body = [&b"65\r\n"[..], &[b'4'; 101], b"\r\n0\r\n\r\n"].concat();
    let chunked = server
        .http("POST", &poll(&sid), "transfer-encoding: chunked\r\n", &body)
        .await;
    assert_eq!((chunked.status, chunked.body.as_str()), (413, ""));
    assert_eq!(server.post(&sid, &[b'4'; 100]).await.status, 200);
    assert_eq!(server.text().await, "4".repeat(99));
    server.no_event();
}

#[tokio::test]
async fn what_a_client_may_not_do_closes_the_session() {
    let cases: [(&[u8], CloseReason); 7] = [
        (b"abc", CloseReason::ParseError),
        (b"", CloseReason::ParseError),
        (b"4\xff", CloseReason::ParseError),
        (b"b*", CloseReason::ParseError),
        (b"4refuse", CloseReason::ParseError),
        (b"4a\x1e4b\x1e4c\x1e4d", CloseReason::ParseError),
        (b"2", CloseReason::TransportError),
    ];
    for (body, reason) in cases {
        let mut server = Server::start(Config {
            max_packets_per_payload: 3,
            ..Config::default()
        })
        .await;
        let (sid, _socket) = server.polling().await;
        let response = server.post(&sid, body).await;
        assert_eq!((response.status, response.body.as_str()), (200, "ok"));
        server.gone(reason).await;
        assert_eq!(server.poll(&sid).await.response().await.body, UNKNOWN);
    }
}

#[tokio::test]
async fn a_binary_body_closes_the_session() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let response = server
        .http("POST", &poll(&sid), "content-type: application/octet-stream\r\n", b"4")
        .await;
    assert_eq!((response.status, response.body.as_str()), (400, ""));
    server.gone(CloseReason::TransportError).await;
}

#[tokio::test]
async fn other_methods_fail_and_the_session_lives() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    for method in ["PUT", "DELETE", "OPTIONS"] {
        let response = server.http(method, &poll(&sid), "", b"").await;
        assert_eq!((response.status, response.body.as_str()), (500, ""));
    }
    assert_eq!(server.post(&sid, b"4x").await.status, 200);
}

#[tokio::test]
async fn a_client_closes_with_a_packet() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    assert_eq!(server.post(&sid, b"1").await.body, "ok");
    assert_eq!(pending.response().await.body, "6");
    server.gone(CloseReason::TransportClose).await;
    assert_eq!(server.poll(&sid).await.response().await.body, UNKNOWN);
    assert_eq!(socket.send(Outgoing::text("x")), Err(SendError::Closed));
    assert!(!socket.is_open());
}

/// Clients send both at once, on two connections.
#[tokio::test]
async fn a_poll_right_behind_the_close_packet_is_answered() {
    let mut server = Server::start(Config::default()).await;
    for _ in 0..10 {
        let (sid, _socket) = server.polling().await;
        let begin = Instant::now();
        let posting = Pending::start(server.addr, "POST", &poll(&sid), "", b"1").await;
        let polled = server.poll(&sid).await.response().await;
        assert_eq!(posting.response().await.body, "ok");
        assert_eq!(server.closed().await, CloseReason::TransportClose);
        if (polled.status, polled.body.as_str()) == (200, "6") {
            return;
        }
        // The machine was so busy that the poll came too late.
        assert!(begin.elapsed() >= Duration::from_millis(100), "{polled:?}");
        assert_eq!(polled.body, UNKNOWN);
        assert!(matches!(server.event().await, Event::Dropped));
    }
    panic!("the poll never was in time");
}

#[tokio::test]
async fn a_forced_close_is_told_to_the_poll_that_waits() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    let pending = waiting_poll(&server, &sid, &socket).await;
    socket.close();
    assert_eq!(pending.response().await.body, "1");
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn a_forced_close_delivers_what_is_queued_first() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    socket.send(Outgoing::text("bye")).unwrap();
    socket.close();
    assert_eq!(socket.send(Outgoing::text("too late")), Err(SendError::Closed));
    assert_eq!(server.post(&sid, b"4ignored").await.body, "ok");
    server.no_event();
    assert_eq!(server.poll(&sid).await.response().await.body, "4bye");
    assert_eq!(server.poll(&sid).await.response().await.body, "6\u{1e}1");
    server.gone(CloseReason::ForcedClose).await;
}

#[tokio::test]
async fn a_forced_close_waits_for_a_poll_only_so_long() {
    let config = Config {
        polling_close_timeout: Duration::from_millis(50),
        ..Config::default()
    };
    let mut server = Server::start(config).await;
    let (sid, socket) = server.polling().await;
    socket.close();
    server.gone(CloseReason::ForcedClose).await;
    assert_eq!(server.poll(&sid).await.response().await.body, UNKNOWN);
}

#[tokio::test]
async fn work_goes_on_without_a_request() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    assert_eq!(server.post(&sid, b"4hold").await.body, "ok");
    assert_eq!(server.text().await, "hold");
    server.no_event();
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked));
}

#[tokio::test]
async fn a_post_waits_while_the_input_of_its_session_is_full() {
    let mut server = Server::start(Config::default()).await;
    let (sid, _socket) = server.polling().await;
    let posting = Pending::start(server.addr, "POST", &poll(&sid), "", b"4hold\x1e4next").await;
    assert_eq!(server.text().await, "hold");
    assert_eq!(server.engine.metrics().messages_in, 0);
    server.release.add_permits(1);
    assert!(matches!(server.event().await, Event::Worked), "before the next message");
    assert_eq!(server.text().await, "next");
    assert_eq!(posting.response().await.body, "ok");
}

#[tokio::test]
async fn a_volatile_packet_needs_a_poll_that_waits() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    assert_eq!(socket.send_volatile(Outgoing::text("lost")), Ok(Sent::Dropped));
    let pending = waiting_poll(&server, &sid, &socket).await;
    assert_eq!(socket.send_volatile(Outgoing::text("taken")), Ok(Sent::Queued));
    assert_eq!(socket.send_volatile(Outgoing::text("lost")), Ok(Sent::Dropped));
    assert_eq!(pending.response().await.body, "4taken");
    assert_eq!(server.engine.metrics().volatile_dropped, 2);
}

#[tokio::test]
async fn a_response_holds_no_more_packets_than_clients_of_python_accept() {
    let mut server = Server::start(Config::default()).await;
    let (sid, socket) = server.polling().await;
    for _ in 0..17 {
        socket.send(Outgoing::text("x")).unwrap();
    }
    // A message and its attachments stay together, however many they are.
    let attachments = vec![Bytes::from_static(b"\0"); 20];
    socket
        .send(Outgoing::build(1, |text| text.push(b'x'), &attachments))
        .unwrap();
    let mut counts = Vec::new();
    for _ in 0..3 {
        counts.push(server.poll(&sid).await.response().await.body.split('\u{1e}').count());
    }
    assert_eq!(counts, [16, 1, 21]);
}
