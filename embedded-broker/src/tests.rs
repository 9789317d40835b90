//! The broker over real sockets: once by raw bytes, once by the `redis` client.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{EmbeddedBroker, Limits};

async fn start(limits: Limits) -> EmbeddedBroker {
    EmbeddedBroker::start_with("127.0.0.1:0", limits).await.unwrap()
}

async fn raw(broker: &EmbeddedBroker) -> Raw {
    Raw {
        stream: TcpStream::connect(broker.local_addr()).await.unwrap(),
    }
}

/// A client that sends and expects exact bytes.
struct Raw {
    stream: TcpStream,
}

impl Raw {
    async fn send(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let mut out = format!("*{}\r\n", words.len());
        for word in words {
            out.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.stream.write_all(out.as_bytes()).await.unwrap();
    }

    async fn expect(&mut self, expected: &str) {
        let mut got = vec![0; expected.len()];
        let read = tokio::time::timeout(Duration::from_secs(10), self.stream.read_exact(&mut got)).await;
        assert!(read.is_ok(), "nothing came, expected {expected:?}");
        assert_eq!(String::from_utf8_lossy(&got), expected);
    }

    async fn ask(&mut self, line: &str, expected: &str) {
        self.send(line).await;
        self.expect(expected).await;
    }

    async fn expect_end(&mut self) {
        let mut rest = Vec::new();
        // A reset counts as an end: the other side closed with our bytes unread.
        let _ = tokio::time::timeout(Duration::from_secs(10), self.stream.read_to_end(&mut rest))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn resp2_subscriber_gets_arrays_and_may_send_few_commands() {
    let broker = start(Limits::default()).await;
    let (mut sub, mut publisher) = (raw(&broker).await, raw(&broker).await);
    sub.ask(
        "SUBSCRIBE a b",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nb\r\n:2\r\n",
    )
    .await;
    sub.ask("PSUBSCRIBE a*", "*3\r\n$10\r\npsubscribe\r\n$2\r\na*\r\n:3\r\n")
        .await;
    publisher.ask("PUBLISH a hi", ":2\r\n").await;
    sub.expect("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n").await;
    sub.expect("*4\r\n$8\r\npmessage\r\n$2\r\na*\r\n$1\r\na\r\n$2\r\nhi\r\n")
        .await;
    sub.ask("PING", "*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
    sub.ask("PUBLISH a no", "-ERR Can't execute 'publish': only").await;
    sub.expect(" (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n")
        .await;
    publisher
        .ask("PUBSUB NUMSUB a x", "*4\r\n$1\r\na\r\n:1\r\n$1\r\nx\r\n:0\r\n")
        .await;
    publisher.ask("PUBSUB CHANNELS [b]", "*1\r\n$1\r\nb\r\n").await;
    publisher.ask("PUBSUB NUMPAT", ":1\r\n").await;
    sub.ask("UNSUBSCRIBE a", "*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:2\r\n")
        .await;
    sub.ask("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$1\r\nb\r\n:1\r\n")
        .await;
    sub.ask("UNSUBSCRIBE", "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n")
        .await;
    sub.ask("RESET", "+RESET\r\n").await;
    sub.ask("PUBLISH a x", ":0\r\n").await;
}

#[tokio::test]
async fn resp3_subscriber_gets_pushes_and_may_send_everything() {
    let broker = start(Limits::default()).await;
    let mut client = raw(&broker).await;
    let hello = format!(
        "%7\r\n$6\r\nserver\r\n$3\r\nsio\r\n$7\r\nversion\r\n$5\r\n{}\r\n",
        env!("CARGO_PKG_VERSION")
    );
    client.ask("HELLO 3", &hello).await;
    client
        .expect("$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:1\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n")
        .await;
    client
        .expect("$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n")
        .await;
    client
        .ask("SUBSCRIBE a", ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .await;
    client
        .ask("PUBLISH a hi", ">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$2\r\nhi\r\n:1\r\n")
        .await;
    client.ask("CLIENT GETNAME", "_\r\n").await;
    client.ask("PING", "+PONG\r\n").await;
}

#[tokio::test]
async fn what_clients_send_on_connecting_is_answered() {
    let broker = start(Limits::default()).await;
    let mut client = raw(&broker).await;
    for (line, expected) in [
        ("AUTH secret", "+OK\r\n"),
        ("AUTH user secret", "+OK\r\n"),
        ("SELECT 3", "+OK\r\n"),
        ("client setinfo LIB-NAME x", "+OK\r\n"),
        ("CLIENT SETNAME me", "+OK\r\n"),
        ("CLIENT GETNAME", "$2\r\nme\r\n"),
        ("CLIENT ID", ":1\r\n"),
        ("COMMAND DOCS", "*0\r\n"),
        ("ECHO x", "$1\r\nx\r\n"),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("PUBLISH a", "-ERR wrong number of arguments for 'publish' command\r\n"),
        (
            "GET a",
            "-ERR unknown command 'GET': this broker does publish/subscribe only\r\n",
        ),
        ("QUIT", "+OK\r\n"),
    ] {
        client.ask(line, expected).await;
    }
    client.expect_end().await;
}

#[tokio::test]
async fn the_redis_client_publishes_a_pipeline_and_subscribes_in_both_versions() {
    let broker = start(Limits::default()).await;
    let client = redis::Client::open(broker.url()).unwrap();
    let mut resp2 = client.get_async_pubsub().await.unwrap();
    resp2.subscribe("c").await.unwrap();
    let (sender, mut pushes) = tokio::sync::mpsc::unbounded_channel();
    let resp3_client = redis::Client::open(format!("{}/?protocol=resp3", broker.url())).unwrap();
    let config = patient().set_push_sender(sender);
    let mut resp3 = resp3_client
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap();
    resp3.subscribe("c").await.unwrap();

    let mut publisher = client
        .get_multiplexed_async_connection_with_config(&patient())
        .await
        .unwrap();
    let mut pipeline = redis::pipe();
    for number in 0..1_000 {
        pipeline.publish("c", format!("message {number}"));
    }
    let receivers: Vec<usize> = pipeline.query_async(&mut publisher).await.unwrap();
    assert_eq!(receivers, vec![2; 1_000]);

    let mut messages = resp2.on_message();
    for number in 0..1_000 {
        let message = messages.next().await.unwrap();
        assert_eq!(message.get_payload::<String>().unwrap(), format!("message {number}"));
    }
    let mut num_pushed = 0;
    while num_pushed < 1_000 {
        let push = pushes.recv().await.unwrap();
        if push.kind == redis::PushKind::Message {
            let expected = redis::Value::BulkString(format!("message {num_pushed}").into());
            assert_eq!(push.data[1], expected);
            num_pushed += 1;
        }
    }
    assert_eq!((broker.stats().published(), broker.stats().delivered()), (1_000, 2_000));
}

#[tokio::test]
async fn binary_and_a_mebibyte_arrive_exact() {
    let broker = start(Limits::default()).await;
    let client = redis::Client::open(broker.url()).unwrap();
    let mut subscriber = client.get_async_pubsub().await.unwrap();
    subscriber.subscribe(&b"\x00\r\n"[..]).await.unwrap();
    let mut publisher = client
        .get_multiplexed_async_connection_with_config(&patient())
        .await
        .unwrap();
    let payload: Vec<u8> = (0..1_u32 << 20).map(|number| (number % 251) as u8).collect();
    let command = redis::cmd("PUBLISH").arg(&b"\x00\r\n"[..]).arg(&payload).to_owned();
    assert_eq!(command.query_async::<usize>(&mut publisher).await.unwrap(), 1);
    assert_eq!(
        subscriber.on_message().next().await.unwrap().get_payload_bytes(),
        payload
    );
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_cut_and_the_others_get_everything() {
    let limits = Limits {
        max_outbox_bytes: 4 << 20,
        slow_bytes: 1 << 20,
        slow_grace: Duration::from_millis(100),
        ..Limits::default()
    };
    let broker = start(limits).await;
    let client = redis::Client::open(broker.url()).unwrap();
    let mut deaf = raw(&broker).await;
    deaf.ask("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        .await;
    let mut healthy = client.get_async_pubsub().await.unwrap();
    healthy.subscribe("c").await.unwrap();
    let reading = tokio::spawn(async move { healthy.on_message().take(400).count().await });
    let mut publisher = client
        .get_multiplexed_async_connection_with_config(&patient())
        .await
        .unwrap();
    let payload = vec![b'x'; 100_000];
    for _ in 0..400 {
        let command = redis::cmd("PUBLISH").arg("c").arg(&payload).to_owned();
        command.query_async::<usize>(&mut publisher).await.unwrap();
    }
    assert_eq!(reading.await.unwrap(), 400);
    deaf.expect_end().await;
    assert_eq!(broker.stats().slow_clients(), 1);
}

#[tokio::test]
async fn bytes_that_are_no_command_are_answered_and_end_the_connection() {
    let broker = start(Limits {
        max_frame_bytes: 1_000,
        ..Limits::default()
    })
    .await;
    for bytes in [
        "GET / HTTP/1.1\r\n\r\n",
        &"*1\r\n".repeat(10_000),
        "*2\r\n$4\r\nECHO\r\n$1001\r\n",
    ] {
        let mut client = raw(&broker).await;
        // The answer may come before all of it is written.
        let _ = client.stream.write_all(bytes.as_bytes()).await;
        client.expect("-ERR Protocol error").await;
        client.expect_end().await;
    }
    assert_eq!(broker.stats().protocol_errors(), 3);
}

#[tokio::test]
async fn a_health_check_by_a_line_of_text_is_answered_and_nothing_else_is_done_by_lines() {
    let broker = start(Limits::default()).await;
    let mut client = raw(&broker).await;
    for (line, answer) in [
        ("PING\r\n", "+PONG\r\n"),
        ("\r\nping\n", "+PONG\r\n"),
        ("QUIT\r\n", "+OK\r\n"),
    ] {
        for byte in line.as_bytes() {
            client.stream.write_all(&[*byte]).await.unwrap();
        }
        client.expect(answer).await;
    }
    client.expect_end().await;
    // Browsers can be made to send these.
    for line in [
        "PUBLISH c x\r\n",
        "POST / HTTP/1.1\r\n\r\nPING\r\n",
        "PING x\r\n",
        "EVAL x\r\n",
    ] {
        let mut client = raw(&broker).await;
        let _ = client.stream.write_all(line.as_bytes()).await;
        client.expect("-ERR Protocol error").await;
        client.expect_end().await;
    }
    assert_eq!(broker.stats().published(), 0);
}

#[tokio::test]
async fn limits_of_clients_and_subscriptions_are_answered() {
    let limits = Limits {
        max_clients: 1,
        max_subscriptions: 1,
        max_channel_bytes: 3,
        ..Limits::default()
    };
    let broker = start(limits).await;
    let mut first = raw(&broker).await;
    first
        .ask("SUBSCRIBE long", "-ERR a channel's name has at most 3 bytes\r\n")
        .await;
    first
        .ask("SUBSCRIBE a b", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
        .await;
    first.expect("-ERR a client has at most 1 subscriptions\r\n").await;
    let mut second = raw(&broker).await;
    second.expect("-ERR max number of clients reached\r\n").await;
    second.expect_end().await;
    assert_eq!(broker.stats().refused_clients(), 1);
}

#[tokio::test]
async fn stopping_sends_what_is_queued_and_closes() {
    let broker = start(Limits::default()).await;
    let mut client = raw(&broker).await;
    client.ask("PING", "+PONG\r\n").await;
    let addr = broker.local_addr();
    tokio::time::timeout(Duration::from_secs(10), broker.stop())
        .await
        .unwrap();
    client.expect_end().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_broker_that_is_dropped_closes_its_port_and_its_connections() {
    let broker = start(Limits::default()).await;
    let mut client = raw(&broker).await;
    client.ask("PING", "+PONG\r\n").await;
    let addr = broker.local_addr();
    drop(broker);
    client.expect_end().await;
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_the_stop_by_the_limit_and_no_more() {
    let flush_timeout = Duration::from_secs(3_600);
    let broker = start(Limits {
        slow_bytes: 64 << 20,
        flush_timeout,
        ..Limits::default()
    })
    .await;
    let (mut deaf, mut publisher) = (raw(&broker).await, raw(&broker).await);
    deaf.ask("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
        .await;
    // More than the buffers of both sockets take.
    let message = format!("PUBLISH c {}", "x".repeat(1 << 20));
    for _ in 0..32 {
        publisher.ask(&message, ":1\r\n").await;
    }
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    broker.stop().await;
    let took = began.elapsed();
    assert!(took >= flush_timeout && took < 2 * flush_timeout, "{took:?}");
}

#[tokio::test]
async fn only_loopback_is_bound() {
    let error = EmbeddedBroker::start("0.0.0.0:0").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

/// Long enough for a busy machine; what takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long the client may wait, in place of its half second: for a busy machine.
fn patient() -> redis::AsyncConnectionConfig {
    redis::AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(Some(PATIENCE))
}
