//! RabbitMQ from 4.3 on, as far as a server of this file plays it: it refuses queues that are neither durable nor exclusive.

use std::io;
use std::time::Duration;

use manager_amqp::{AmqpManager, AmqpOptions};
use manager_api::{ClientManager, ErrorKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const REFUSAL: &str = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated. Its use is not permitted per the configuration.";

/// Serves connections one after the other, on a port of its own.
async fn newer_rabbit() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    format!("amqp://{address}")
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.read_exact(&mut [0; 8]).await?;
    // Version 0-9, no properties, one mechanism, one locale.
    let start = [&[0, 9, 0, 0, 0, 0][..], &long(b"PLAIN"), &long(b"en_US")].concat();
    send(&mut stream, 0, (10, 10), &start).await?;
    loop {
        let mut head = [0; 7];
        stream.read_exact(&mut head).await?;
        let channel = u16::from_be_bytes([head[1], head[2]]);
        let len = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut payload = vec![0; len as usize + 1];
        stream.read_exact(&mut payload).await?;
        if head[0] != 1 {
            continue;
        }
        let method = (
            u16::from_be_bytes([payload[0], payload[1]]),
            u16::from_be_bytes([payload[2], payload[3]]),
        );
        if let Some((channel, method, arguments)) = answer(channel, method, &payload[4..]) {
            send(&mut stream, channel, method, &arguments).await?;
        }
    }
}

type Method = (u16, u16);

fn answer(channel: u16, method: Method, arguments: &[u8]) -> Option<(u16, Method, Vec<u8>)> {
    let fields = match method {
        // Start-ok is answered by tune, tune-ok by nothing.
        (10, 11) => return Some((0, (10, 30), vec![0, 10, 0, 2, 0, 0, 0, 0])),
        (10, 31 | 51) => return None,
        (10, 40) => vec![0],
        (20, 10) => vec![0; 4],
        (50, 10) if !is_permitted(arguments) => return Some((0, (10, 50), refusal())),
        (50, 10) => [&short(b"q")[..], &[0; 8]].concat(),
        (60, 20) => short(b"consumer"),
        _ => Vec::new(),
    };
    Some((channel, (method.0, method.1 + 1), fields))
}

/// Reads the flags behind the name of a queue that is declared: durable is the second, exclusive the third.
fn is_permitted(arguments: &[u8]) -> bool {
    let flags = arguments[3 + usize::from(arguments[2])];
    flags & 0b110 != 0
}

fn refusal() -> Vec<u8> {
    [&541_u16.to_be_bytes()[..], &short(REFUSAL.as_bytes()), &[0, 50, 0, 10]].concat()
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8], text].concat()
}

fn long(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_be_bytes()[..], text].concat()
}

async fn send(stream: &mut TcpStream, channel: u16, method: Method, arguments: &[u8]) -> io::Result<()> {
    let payload = [&method.0.to_be_bytes()[..], &method.1.to_be_bytes(), arguments].concat();
    let len = payload.len() as u32;
    let frame = [&[1][..], &channel.to_be_bytes(), &len.to_be_bytes(), &payload, &[0xce]].concat();
    stream.write_all(&frame).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kind_of_queue_that_the_broker_refuses_is_an_error_at_once_and_the_default_is_none() {
    let url = newer_rabbit().await;
    let transient = AmqpManager::new(&format!("{url}?queue=transient"), AmqpOptions::default()).unwrap();
    let since = Instant::now();
    let error = transient.subscribe().await.unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(3), "{:?}", since.elapsed());
    assert_eq!(
        (error.kind(), error.is_retryable()),
        (ErrorKind::Config, false),
        "{error}"
    );
    let text = error.to_string();
    assert!(
        text.contains("?queue=durable") && text.contains("transient_nonexcl_queues"),
        "{text}"
    );

    for kind in ["", "?queue=durable", "?queue=exclusive", "?queue=quorum"] {
        let manager = AmqpManager::new(&format!("{url}{kind}"), AmqpOptions::default()).unwrap();
        manager
            .subscribe()
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
    }
}
