//! Misbehaving clients: those that do not read, and those that write too much.

use std::sync::Arc;
use std::time::Duration;

use integration::app::hasty;
use integration::brokers::RedisBroker;
use manager_redis::RedisManager;
use socket_io::extract::State;
use socket_io::socket::CloseReason;
use socket_io::{Data, SocketIo};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use super::{CHANNEL, ROOM, emit_all, emitter, end};
use crate::support::{Client, Reader, Server};

const MIB: usize = 1 << 20;

/// Its window is closed, the others' are not: they get everything, and it is disconnected by the limit of its outbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_client_holds_up_no_other_and_is_disconnected() {
    // Beyond what the kernel takes for a client that never reads, and its outbox.
    const COUNT: u64 = 600;
    // The bytes queued for clients that read stay far below the limit.
    const BATCH: u64 = 10;
    let broker = RedisBroker::start().await;
    let manager = RedisManager::new(&broker.url(), hasty(CHANNEL)).unwrap();
    let builder = SocketIo::builder().manager(manager).configure(|config| {
        config.engine.outbox_hard_limit = 2 * MIB;
        config.engine.slow_client_grace = Duration::from_secs(3600);
    });
    let server = Server::start(builder).await;
    let mut stuck = Client::connect(server.address, &[ROOM]).await;
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Client::connect(server.address, &[ROOM]).await.read());
    }
    let emitter = emitter(&broker.url());
    let padding = "x".repeat(64 << 10);
    let mut next = 0;
    while next < COUNT {
        emit_all(&emitter, next..next + BATCH, &padding).await;
        next += BATCH;
        for reader in &readers {
            reader.until_len(next as usize).await;
        }
    }
    let closed = server.io.metrics().engine.closed;
    assert_eq!((closed.get(CloseReason::Overflow), closed.total()), (1, 1));
    assert_eq!(server.io.metrics().num_clients, readers.len());
    // The client still reads what the kernel had accepted; then the connection ends before all events have arrived.
    let mut num_read = 0;
    while stuck.next_packet().await.is_some() {
        num_read += 1;
    }
    assert!(num_read < COUNT, "{num_read} packets");
    end(&emitter).await;
    for reader in readers {
        assert_eq!(reader.finish().await, (0..COUNT).collect::<Vec<_>>());
    }
    server.expect_empty().await;
}

/// Handlers that wait for permits, and what they have handled.
#[derive(Clone)]
struct Gate {
    permits: Arc<Semaphore>,
    handled: mpsc::UnboundedSender<u64>,
}

/// While its handlers are busy, a client's events stay in the kernel and in the client; other clients do not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_floods_is_paused_and_loses_nothing() {
    const COUNT: u64 = 3_000;
    const LEN: usize = 20_000;
    let (handled, mut seen) = mpsc::unbounded_channel();
    let permits = Arc::new(Semaphore::new(0));
    let gate = Gate {
        permits: permits.clone(),
        handled,
    };
    let server = Server::start(SocketIo::builder().state(gate)).await;
    let work = async |State(gate): State<Gate>, Data((number, _)): Data<(u64, String)>| {
        gate.permits.acquire().await.expect("never closed").forget();
        gate.handled.send(number).expect("the test listens");
    };
    server.io.namespace("/").on("work", work);

    let flood = Client::connect(server.address, &[]).await;
    let mut sent = flood_with(flood, COUNT, LEN);
    // Sending comes to a halt. A machine that is merely slow may look like that too; what is checked holds then as well.
    while timeout(Duration::from_millis(500), sent.changed())
        .await
        .is_ok_and(|changed| changed.is_ok())
    {}
    let num_sent = *sent.borrow();
    let bytes_in = server.io.metrics().engine.bytes_in as usize;
    assert!(num_sent < COUNT, "all were taken although none was handled");
    assert!(bytes_in < 8 * MIB, "{bytes_in} bytes are held");

    let mut other = Client::connect(server.address, &[]).await;
    assert_eq!(other.call("echo", "still served").await, "[\"still served\"]");

    permits.add_permits(COUNT as usize);
    for number in 0..COUNT {
        let handled = crate::support::within("the event", seen.recv()).await;
        assert_eq!(handled, Some(number));
    }
    assert_eq!(*sent.borrow(), COUNT);
}

/// Sends events as fast as they are taken; counts them.
fn flood_with(mut client: Client, count: u64, len: usize) -> watch::Receiver<u64> {
    let (sent, watched) = watch::channel(0);
    tokio::spawn(async move {
        let padding = "x".repeat(len);
        for number in 0..count {
            client.send(&format!("42[\"work\",{number},\"{padding}\"]")).await;
            sent.send_replace(number + 1);
        }
        // Stays connected until everything is handled.
        sent.closed().await;
    });
    watched
}

/// A server's listener, too, is not held up: what it receives for others passes a client that is slow but reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_or_hangs_stops_no_event_from_afar() {
    let broker = RedisBroker::start().await;
    let manager = RedisManager::new(&broker.url(), hasty(CHANNEL)).unwrap();
    let server = Server::start(SocketIo::builder().manager(manager)).await;
    server
        .io
        .namespace("/")
        .on("panic", async || -> () { panic!("as it was told to") })
        .on("hang", async || std::future::pending::<()>().await);
    let mut clients: Vec<Reader> = Vec::new();
    for event in ["panic", "hang"] {
        let mut client = Client::connect(server.address, &[ROOM]).await;
        client.send(&format!("42[\"{event}\"]")).await;
        clients.push(client.read());
    }
    let emitter = emitter(&broker.url());
    emit_all(&emitter, 0..100, "").await;
    end(&emitter).await;
    for client in clients {
        assert_eq!(client.finish().await, (0..100).collect::<Vec<_>>());
    }
    server.expect_empty().await;
}
