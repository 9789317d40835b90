//! `sio demo`: server, broker, client and emitter in one process, over real connections.
//!
//! An event goes emitter → broker → server → client, each by TCP, and is timed from end to end.

mod client;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gateway::config::Config;
use gateway::listen::{Address, Bound};
use gateway::server::{Admission, Server};
use manager_api::log::Escaped;
use manager_api::{Emitter, ManagerOptions};
use serde_json::json;
use socket_io::SocketIo;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout};

use super::serve::start_broker;
use crate::args::DEFAULT_URL;
use crate::backend::{Backend, BrokerUrl};
use crate::failure::Failure;
use crate::output;
use crate::plan::DemoPlan;
use crate::stop::{self, Signal};
use client::Client;

/// The room that the client joins and the page shows.
const ROOM: &str = "lobby";
const EVENT: &str = "tick";
/// The ports of `sio serve`, for as long as they are free.
const PREFERRED_PORT: u16 = 3_000;
/// How long everything may take to start, and one event to arrive.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two events: for people to watch, or for a count to end soon.
const WATCHED_INTERVAL: Duration = Duration::from_secs(1);
const COUNTED_INTERVAL: Duration = Duration::from_millis(20);

pub(super) async fn run(plan: DemoPlan) -> Result<(), Failure> {
    let broker = match start_broker(DEFAULT_URL.trim_start_matches("redis://")).await {
        Ok(broker) => broker,
        Err(_) => start_broker("127.0.0.1:0").await?,
    };
    let url = BrokerUrl::parse(broker.url())?;
    let (bound, addr) = listen().await?;
    let requested = stop::requested();
    let manager = url.backend(ManagerOptions::default())?.manager;
    let server = Server::new(&Config::default(), manager, &Admission::Open { publish: true });
    let server = server.map_err(Failure::input)?;
    let io = server.io().clone();
    let (stop_server, stopped) = oneshot::channel::<()>();
    let serving = async move { server.serve(bound, None, async { drop(stopped.await) }).await };
    let serving = tokio::spawn(serving);

    let sending = url.backend(ManagerOptions {
        deadline: PATIENCE,
        ..ManagerOptions::default()
    })?;
    let emitter = sending.emitter();
    let shown = tokio::select! {
        shown = show(&io, addr, &sending, &emitter, plan.count) => shown,
        signal = requested => interrupted(plan.count, signal),
    };
    super::emit::close(&emitter).await;
    drop(stop_server);
    if let Ok(Err(error)) = serving.await {
        tracing::info!(error = ?Escaped(error), "the server did not close cleanly");
    }
    broker.stop().await;
    shown
}

async fn listen() -> Result<(Bound, SocketAddr), Failure> {
    let bound = match Bound::bind(&Address::local(PREFERRED_PORT)).await {
        Ok(bound) => bound,
        Err(_) => super::serve::bind(&Address::local(0), "no port is free").await?,
    };
    match &bound {
        Bound::Tcp(listener) => {
            let addr = listener.local_addr().map_err(Failure::system("cannot listen"))?;
            Ok((bound, addr))
        }
        _ => unreachable!("a port of this machine is bound by TCP"),
    }
}

/// Ctrl-C is how a demo without an end ends; one with a count has not come to it.
fn interrupted(count: Option<NonZeroU64>, signal: Signal) -> Result<(), Failure> {
    match count {
        None => Ok(()),
        Some(count) => Err(Failure::signal(signal, format!("{count} deliveries were not reached"))),
    }
}

async fn show(
    io: &SocketIo,
    addr: SocketAddr,
    backend: &Backend,
    emitter: &Emitter,
    count: Option<NonZeroU64>,
) -> Result<(), Failure> {
    if timeout(PATIENCE, io.ready()).await.is_err() {
        return Err(Failure::broker(
            "the server did not subscribe to the embedded broker in time",
        ));
    }
    let mut client = within(Client::connect(addr), "connect").await?;
    let answer = within(client.call("join", ROOM), "join the room").await?;
    if answer != "ok" {
        return Err(Failure::broker(format!(
            "the server answered {answer:?} to joining the room"
        )));
    }
    let intro = format!(
        "page    http://{addr}/?room={ROOM}\nbroker  {} (embedded)\n\
         client  joined room {ROOM:?} over WebSocket; emitting into it\n\n",
        backend.url
    );
    output::printed(intro).await?;
    let latencies = deliver(&mut client, backend, emitter, count).await?;
    output::printed(summary(latencies)).await
}

/// Emits and awaits one event after the other.
async fn deliver(
    client: &mut Client,
    backend: &Backend,
    emitter: &Emitter,
    count: Option<NonZeroU64>,
) -> Result<Vec<Duration>, Failure> {
    let mut ticks = interval(if count.is_some() {
        COUNTED_INTERVAL
    } else {
        WATCHED_INTERVAL
    });
    let mut latencies = Vec::new();
    let mut number = 0_u64;
    while count.is_none_or(|count| number < count.get()) {
        // Between two events the client goes on answering heartbeats.
        tokio::select! {
            _ = ticks.tick() => {}
            lost = client.idle() => return Err(lost),
        }
        number += 1;
        let payload = json!({"number": number, "sent_at": milliseconds_since_epoch()});
        let sent = Instant::now();
        let accepted = emitter.to(ROOM).emit(EVENT, &payload);
        accepted.await.map_err(|error| backend.failure("emit", error))?;
        let arrived = async {
            while client.event(EVENT).await?["number"] != number {}
            Ok(())
        };
        within(arrived, &format!("receive event {number}")).await?;
        let latency = sent.elapsed();
        let milliseconds = latency.as_secs_f64() * 1e3;
        let line = format!("delivered {number:>4}  {milliseconds:>7.2} ms  {EVENT} {payload}\n");
        output::printed(line).await?;
        if count.is_some() {
            latencies.push(latency);
        }
    }
    Ok(latencies)
}

/// What a counted demo comes to; nothing without a count.
fn summary(mut latencies: Vec<Duration>) -> String {
    latencies.sort_unstable();
    let Some(worst) = latencies.last() else {
        return String::new();
    };
    let milliseconds = |latency: &Duration| latency.as_secs_f64() * 1e3;
    let count = latencies.len();
    // Of an even count it lies between the two in the middle.
    let median = (milliseconds(&latencies[(count - 1) / 2]) + milliseconds(&latencies[count / 2])) / 2.0;
    let worst = milliseconds(worst);
    format!("\nall {count} delivered; median {median:.2} ms, worst {worst:.2} ms\n")
}

async fn within<T>(work: impl Future<Output = Result<T, Failure>>, what: &str) -> Result<T, Failure> {
    let done = timeout(PATIENCE, work).await;
    done.unwrap_or_else(|_| {
        Err(Failure::broker(format!(
            "the client did not {what} within {PATIENCE:?}"
        )))
    })
}

/// For the page, which has this machine's clock, but not this process' stop watch.
fn milliseconds_since_epoch() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
        * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_count_lies_between_the_two_in_the_middle() {
        let summed_up = |latencies: &[u64]| summary(latencies.iter().copied().map(Duration::from_millis).collect());
        assert!(summed_up(&[]).is_empty());
        for (latencies, said) in [
            (&[4][..], "median 4.00 ms, worst 4.00 ms"),
            (&[9, 1], "median 5.00 ms, worst 9.00 ms"),
            (&[9, 1, 2], "median 2.00 ms"),
            (&[9, 1, 2, 4], "median 3.00 ms"),
        ] {
            assert!(summed_up(latencies).contains(said), "{}", summed_up(latencies));
        }
    }
}
