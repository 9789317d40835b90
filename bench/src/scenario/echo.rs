//! Events with acknowledgement in a closed loop.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::{Instant, sleep};

use super::{AT_ONCE, Setup, Span, seconds};
use crate::latency::Latency;
use crate::load::client::acknowledged;
use crate::load::polling::PollingClient;
use crate::load::{Client, Crowd, connect_many};
use crate::report::Report;

/// Clients that send an event as soon as an earlier one is acknowledged.
#[derive(Clone, Debug, Args)]
pub struct Echo {
    /// Number of clients
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Events that each client has outstanding
    #[arg(long, default_value_t = 1)]
    depth: usize,
    /// Bytes of the event's text
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// Long-polling instead of WebSocket; one event outstanding
    #[arg(long, conflicts_with = "depth")]
    polling: bool,
    /// Seconds before anything is measured
    #[arg(long, value_parser = seconds, default_value = "1")]
    warm_up: Duration,
    /// Seconds measured
    #[arg(long, value_parser = seconds, default_value = "5")]
    duration: Duration,
}

/// The counters that all clients share.
#[derive(Debug, Default)]
struct Progress {
    num_acknowledged: Cell<u64>,
    latency: RefCell<Latency>,
}

impl Progress {
    fn acknowledged(&self, latency: Duration) {
        self.num_acknowledged.set(self.num_acknowledged.get() + 1);
        self.latency.borrow_mut().record(latency);
    }
}

impl Echo {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let progress = Rc::new(Progress::default());
        let mut crowd = Crowd::default();
        if self.polling {
            for _ in 0..self.clients {
                let client = PollingClient::connect(&setup.target).await?;
                crowd.add(poll(client, self.payload, progress.clone()));
            }
        } else {
            for client in connect_many(&setup.target, self.clients, AT_ONCE).await?.0 {
                crowd.add(echo(client, self.depth.max(1), self.payload, progress.clone()));
            }
        }
        sleep(self.warm_up).await;
        progress.latency.borrow_mut().clear();
        let span = Span::begin(setup, progress.num_acknowledged.get())?;
        sleep(self.duration).await;
        let mut report = span.end(progress.num_acknowledged.get())?;
        report.latency = progress.latency.borrow().quantiles();
        report.num_failed = crowd.num_failed();
        Ok(report)
    }
}

async fn echo(mut client: Client, depth: usize, payload: usize, progress: Rc<Progress>) -> Result<Infallible> {
    let text = "x".repeat(payload);
    let events: Vec<String> = (0..depth).map(|id| format!("42{id}[\"echo\",\"{text}\"]")).collect();
    let mut sent_at = vec![Instant::now(); depth];
    let mut ids: Vec<usize> = (0..depth).collect();
    loop {
        let now = Instant::now();
        for id in ids.drain(..) {
            sent_at[id] = now;
            client.queue(events[id].as_bytes());
        }
        client.flush().await?;
        client
            .receive(|packet| ids.extend(acknowledged(packet).filter(|&id| id < depth)))
            .await?;
        for &id in &ids {
            progress.acknowledged(sent_at[id].elapsed());
        }
    }
}

async fn poll(mut client: PollingClient, payload: usize, progress: Rc<Progress>) -> Result<Infallible> {
    let event = format!("420[\"echo\",\"{}\"]", "x".repeat(payload));
    loop {
        let began = Instant::now();
        client.send(&event).await?;
        client.poll_until(|packet| packet.starts_with("430[")).await?;
        progress.acknowledged(began.elapsed());
    }
}
