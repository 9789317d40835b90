//! What the server holds of clients before a handler has it: packets without their attachments, events that wait.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use socket_io::metrics::Metrics;
use socket_io::{Data, SocketIo};
use tokio::sync::{Mutex, Semaphore};

use crate::client::{Client, TestServer, within};

/// Awaits numbers of the server.
async fn until(server: &TestServer, condition: impl Fn(&Metrics) -> bool) {
    within(async {
        while !condition(&server.io.metrics()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Awaits that the server closes so many of the connections; the others stay.
async fn closes(clients: &mut [Client], count: usize) {
    let mut closing: FuturesUnordered<_> = clients.iter_mut().map(Client::expect_closed).collect();
    for _ in 0..count {
        closing.next().await.expect("there are more");
    }
}

/// Connects ten clients.
async fn clients(server: &TestServer) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(server.connect().await);
    }
    clients
}

#[tokio::test]
async fn attachments_whose_packet_never_becomes_complete_close_their_connections_above_the_total() {
    const TOTAL: u64 = 2_000_000;
    let server =
        TestServer::with(SocketIo::builder().configure(|config| config.engine.inbound_total_limit = TOTAL as usize))
            .await;
    server.io.namespace("/").on("ping", async || "pong");
    let mut honest = server.connect().await;
    let mut holding = clients(&server).await;
    for client in &mut holding {
        let placeholders = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        client.send(&format!("452-[\"two\",{placeholders}]")).await;
        client.send_bytes_if_open(vec![0; 600_000]).await;
        let held = server.io.metrics().engine.inbound_bytes;
        assert!(held < TOTAL / 4 * 5 + 1_200_000, "{held}");
    }
    until(&server, |metrics| {
        let held = metrics.engine.inbound_bytes;
        0 < held && held < TOTAL && metrics.engine.inbound_shed >= 7
    })
    .await;
    closes(&mut holding, 7).await;
    assert!(server.io.metrics().engine.open_sessions > 1, "some keep theirs");
    honest.send("420[\"ping\"]").await;
    honest.expect("430[\"pong\"]").await;
    drop(holding);
    until(&server, |metrics| metrics.engine.inbound_bytes == 0).await;
}

/// A server whose handler of `hang` ends when it is allowed to, and whose handler of `note` counts what it is given.
async fn slow_server(total: usize) -> (TestServer, Arc<Semaphore>, Arc<Mutex<Vec<usize>>>) {
    let server =
        TestServer::with(SocketIo::builder().configure(move |config| config.max_queued_bytes_total = total)).await;
    let (allowed, noted) = (Arc::new(Semaphore::new(0)), Arc::default());
    let (may, notes) = (allowed.clone(), Arc::<Mutex<Vec<usize>>>::clone(&noted));
    let namespace = server.io.namespace("/");
    namespace
        .on("hang", move || {
            let may = may.clone();
            async move { may.acquire().await.unwrap().forget() }
        })
        .on("note", move |Data((number, _)): Data<(usize, String)>| {
            let notes = notes.clone();
            async move { notes.lock().await.push(number) }
        })
        .on("ping", async || "pong");
    (server, allowed, noted)
}

fn note(number: usize, length: usize) -> String {
    format!("42[\"note\",{number},\"{}\"]", "x".repeat(length))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_wait_for_slow_handlers_of_many_clients_pause_reading_and_none_is_lost() {
    const TOTAL: usize = 1_000_000;
    // A quarter more may wait, and of each client as much as is read at once, and one event more.
    const MAX_READ: u64 = 1_250_000 + 4 * (65_536 + 20_100);
    let (server, allowed, noted) = slow_server(TOTAL).await;
    let mut honest = server.connect().await;
    let mut sending = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect().await;
        sending.push(tokio::spawn(async move {
            client.send("42[\"hang\"]").await;
            for number in 0..100 {
                client.send(&note(number, 20_000)).await;
            }
            client
        }));
    }
    until(&server, |metrics| metrics.queued_event_bytes > TOTAL).await;
    for _ in 0..20 {
        honest.send("420[\"ping\"]").await;
        honest.expect("430[\"pong\"]").await;
        let metrics = server.io.metrics();
        let (queued, read) = (metrics.queued_event_bytes, metrics.engine.bytes_in);
        assert!(queued < TOTAL / 4 * 5, "{queued}");
        // None was handled yet: what was read is what is held.
        assert!(read < MAX_READ, "{read} of 8,000,000 bytes were read");
    }
    allowed.add_permits(4);
    for client in sending {
        let mut client = client.await.unwrap();
        client.send("420[\"ping\"]").await;
        client.expect("430[\"pong\"]").await;
    }
    let metrics = server.io.metrics();
    assert_eq!((metrics.queue_shed, metrics.queued_event_bytes), (0, 0));
    let mut numbers = noted.lock().await.clone();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..400).map(|at| at / 4).collect::<Vec<_>>());
}

#[tokio::test]
async fn where_pausing_is_not_enough_clients_whose_events_would_have_to_wait_are_closed() {
    const TOTAL: usize = 1_000_000;
    let (server, allowed, _) = slow_server(TOTAL).await;
    let mut honest = server.connect().await;
    let mut holding = clients(&server).await;
    for client in &mut holding {
        client.send("42[\"hang\"]").await;
        client.send(&note(0, 200_000)).await;
        let queued = server.io.metrics().queued_event_bytes;
        assert!(queued < TOTAL / 4 * 5 + 250_000, "{queued}");
    }
    until(&server, |metrics| metrics.queue_shed >= 3).await;
    closes(&mut holding, 3).await;
    assert!(server.io.metrics().engine.open_sessions > 1, "some keep theirs");
    honest.send("420[\"ping\"]").await;
    honest.expect("430[\"pong\"]").await;
    allowed.add_permits(10);
    until(&server, |metrics| metrics.queued_event_bytes == 0).await;
    drop(holding);
}
