//! Restarts of Redis while a server emits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use integration::app::hasty;
use integration::brokers::RedisBroker;
use manager_api::{ClientManager, Error, ErrorKind};
use socket_io::SocketIo;
use tokio::task::JoinHandle;

use super::{Host, ROOM, emitter, end};
use crate::support::{Client, Reader, eventually, whole_text};

/// Events on their way to the broker at a time.
const IN_FLIGHT: usize = 500;
/// Events that the local client may be behind: no client is to be lost for reading slowly.
const AHEAD: usize = 2_000;
/// Past its deadline of a second, a publish is answered within this on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The outcome of one event.
struct Emitted {
    number: u64,
    result: Result<(), Error>,
    took: Duration,
}

/// Emits numbers until told to stop, not held up by a broker that is down.
fn emit_until(is_over: Arc<AtomicBool>, io: SocketIo, local: Arc<Reader>) -> JoinHandle<Vec<Emitted>> {
    tokio::spawn(async move {
        let (mut emitted, mut in_flight) = (Vec::new(), FuturesUnordered::new());
        let mut next = 0;
        loop {
            while !is_over.load(Ordering::SeqCst) && in_flight.len() < IN_FLIGHT {
                local.until_len((next as usize).saturating_sub(AHEAD)).await;
                let (number, started) = (next, Instant::now());
                let emit = io.to(ROOM).emit("m", &("one", number, ""));
                in_flight.push(async move {
                    let result = emit.await;
                    let took = started.elapsed();
                    Emitted { number, result, took }
                });
                next += 1;
            }
            match in_flight.next().await {
                Some(one) => emitted.push(one),
                None => break,
            }
        }
        emitted.sort_by_key(|one| one.number);
        emitted
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_under_load_stops_no_local_delivery_and_loses_nothing_silently() {
    let mut broker = RedisBroker::start_with(&["--user", "sio", "on", ">s3cret", "~*", "&*", "+@all"]).await;
    let url = format!("redis://sio:s3cret@{}", broker.address());
    let one = Host::start(&url, hasty(super::CHANNEL)).await;
    let two = Host::start(&url, hasty(super::CHANNEL)).await;
    let local = Arc::new(Client::connect(one.server.address, &[ROOM]).await.read());
    let remote = Client::connect(two.server.address, &[ROOM]).await.read();
    let is_over = Arc::new(AtomicBool::new(false));
    let emits = emit_until(is_over.clone(), one.server.io.clone(), local.clone());

    remote.until_len(2_000).await;
    broker.kill();
    // More than were on their way, so that most of these were emitted, and some have failed, while there was no broker.
    let seen_before = local.len();
    local.until_len(seen_before + 4 * IN_FLIGHT).await;
    let seen_meanwhile = remote.len();
    broker.restart().await;
    eventually("both servers admit a gap", || one.num_gaps() > 0 && two.num_gaps() > 0).await;
    remote.until_len(seen_meanwhile + 1_000).await;
    is_over.store(true, Ordering::SeqCst);

    let emitted = emits.await.unwrap();
    end(&emitter(&url)).await;
    let local = Arc::into_inner(local).expect("the emits are over").finish().await;
    let out_of_order = local.iter().zip(0..).find(|(seen, expected)| *seen != expected);
    assert_eq!(
        (out_of_order, local.len()),
        (None, emitted.len()),
        "every event, in order"
    );
    let accepted = emitted.iter().filter(|one| one.result.is_ok()).map(|one| one.number);
    two.assert_loss_is_admitted(&remote.finish().await, &accepted.collect::<Vec<_>>());
    assert_failures_are_clear(&emitted, &broker.address());
    assert!(emitted.last().is_some_and(|one| one.result.is_ok()), "accepted again");
    for host in [&one, &two] {
        let health = host.recorder.health();
        assert!(health.listening_since.is_some());
        assert_eq!(health.num_gaps, host.num_gaps());
        host.server.expect_empty().await;
    }
}

fn assert_failures_are_clear(emitted: &[Emitted], address: &str) {
    let failures: Vec<_> = emitted.iter().filter_map(|one| one.result.as_ref().err()).collect();
    let num_unreachable = failures
        .iter()
        .filter(|error| error.kind() == ErrorKind::Connect)
        .count();
    assert!(
        num_unreachable >= IN_FLIGHT,
        "{num_unreachable} failed for want of a broker"
    );
    for error in failures {
        let text = whole_text(error);
        assert!(error.is_retryable() && text.contains(address), "{text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
    let slowest = emitted.iter().map(|one| one.took).max().unwrap();
    assert!(
        slowest < hasty("").common.deadline + PATIENCE,
        "answered after {slowest:?}"
    );
}
