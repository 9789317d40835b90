//! Attacks, each of which once stopped a server, at the same time on one server with many well-behaved clients.
//!
//! What is asserted are counts and limits. The times are printed, for they are the machine's as much as the server's:
//! `cargo test --release -p integration --test integration faults::attacks -- --nocapture`, on a machine that does nothing else, gives those
//! of docs/deploy.md.

mod inputs;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::process::Process;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::{oneshot, watch};

use crate::support::{Client, within};
use inputs::Target;

/// Clients that echo all the time, each the next event once the last one was answered, after a moment.
const CLIENTS: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// The longest time of one response on the slowest machine, where attackers, server and clients share two processors.
const STALL: Duration = Duration::from_secs(30);

/// The highest allowed memory of the process, in KiB: 256 MiB of outboxes (`outbox_total_limit`) and a quarter more until those with most are
/// gone, what 2 clients have of rooms (3 MiB each), 16 MiB of messages of the broker, one message of 0.99 MB for each client of the
/// attackers, and what the allocator keeps besides.
const MEMORY_KIB: u64 = 640 << 10;

/// The outcome for the well-behaved clients.
#[derive(Default)]
struct Echoes {
    num_answers: Vec<usize>,
    latencies: Vec<Duration>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_attacks_together_cost_well_behaved_clients_nothing_and_the_process_ends_when_it_is_told_to() {
    let (broker, channel, folder) = (
        RedisBroker::start().await,
        unique_channel(),
        tempfile::tempdir().unwrap(),
    );
    std::fs::write(folder.path().join("large"), vec![b'x'; 20_000_000]).unwrap();
    let mut server = start(&[&broker.url(), &channel, folder.path().to_str().unwrap()]);
    let listening = server.next_line(DEADLINE).await.unwrap();
    let listening: Value = serde_json::from_str(&listening).unwrap();
    let address = |name: &str| SocketAddr::from(([127, 0, 0, 1], listening[name].as_u64().unwrap() as u16));
    let target = Target {
        json: address("port"),
        msgpack: address("msgpack_port"),
        broker: broker.url(),
        channel,
    };

    // On threads of their own, so that one does not wait for the other inside the test.
    let (stop, stopped) = watch::channel(false);
    let (json, (all, connected)) = (target.json, oneshot::channel());
    let clients = thread::spawn(move || on_a_runtime(echo_all(json, all, stopped)));
    within("the clients", connected).await.unwrap();
    let attackers = thread::spawn(move || on_a_runtime(inputs::attack(target)));
    let attacked = tokio::task::spawn_blocking(|| attackers.join().unwrap()).await.unwrap();
    stop.send_replace(true);
    let echoes = tokio::task::spawn_blocking(|| clients.join().unwrap()).await.unwrap();
    let peak = status_kib(&server, "VmHWM:");

    let terminated = Instant::now();
    server.signal("TERM");
    let status = server.wait(STALL).await;
    report(echoes, &attacked.durations, peak, terminated.elapsed());
    assert!(status.success(), "{status}");
    assert!(peak < MEMORY_KIB, "{peak} KiB at its worst");
    drop(attacked);
}

/// Starts the server without a standard error that takes anything.
fn start(arguments: &[&str]) -> Process {
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "exec \"$@\" 2>/dev/full",
            "sh",
            env!("CARGO_BIN_EXE_sio-test-attacked"),
        ])
        .args(arguments)
        .env_remove("RUST_LOG");
    Process::spawn("the server", command)
}

fn on_a_runtime<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

/// Echoes until it is told to stop. Each client stays connected until all have stopped.
async fn echo_all(address: SocketAddr, connected: oneshot::Sender<()>, stopped: watch::Receiver<bool>) -> Echoes {
    let clients = futures_util::future::join_all((0..CLIENTS).map(|_| Client::connect(address, &[]))).await;
    connected.send(()).expect("the test waits");
    let echoing = clients
        .into_iter()
        .map(|client| tokio::spawn(echo(client, stopped.clone())));
    let mut echoes = Echoes::default();
    let mut done = Vec::new();
    for client in echoing.collect::<Vec<_>>() {
        let (client, latencies) = client.await.expect("every echo comes");
        done.push(client);
        echoes.num_answers.push(latencies.len());
        echoes.latencies.extend(latencies);
    }
    echoes.latencies.sort();
    echoes
}

/// Echoes numbers; that the answer to each is the next packet that comes is checked.
async fn echo(mut client: Client, stopped: watch::Receiver<bool>) -> (Client, Vec<Duration>) {
    let mut latencies = Vec::new();
    while !*stopped.borrow() {
        let (number, asked) = (latencies.len().to_string(), Instant::now());
        let answer = tokio::time::timeout(STALL, client.call("echo", &number)).await;
        assert_eq!(answer.expect("the echo comes"), format!("[\"{number}\"]"));
        latencies.push(asked.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    (client, latencies)
}

fn report(echoes: Echoes, attacks: &BTreeMap<&'static str, Duration>, peak_kib: u64, ended: Duration) {
    let (count, fewest) = (echoes.latencies.len(), echoes.num_answers.iter().min());
    let at = |percent: usize| echoes.latencies[(count * percent / 100).min(count - 1)];
    println!(
        "{count} echoes, at least {fewest:?} of each client; p50 {:?} p99 {:?} max {:?}; peak {} MiB; ended after {ended:?}",
        at(50),
        at(99),
        at(100),
        peak_kib >> 10
    );
    attacks.iter().for_each(|(name, took)| println!("  {name}: {took:?}"));
    assert!(fewest.is_some_and(|fewest| *fewest > 0), "each client echoed");
}

fn status_kib(process: &Process, field: &str) -> u64 {
    let pid = process.pid().expect("it runs");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("there is /proc");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .expect("a process has memory")
}
