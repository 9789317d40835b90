//! Broadcasts to rooms.

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use tokio::time::{Instant, interval};

use super::members::{Received, fill, room};
use super::{Setup, Span, seconds};
use crate::load::Client;
use crate::report::Report;

/// The silence after which missing deliveries count as lost.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests broadcasts from the server repeatedly, and counts the deliveries to members.
#[derive(Clone, Debug, Args)]
pub struct Broadcast {
    /// Number of members, over all rooms
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Number of rooms; a broadcast goes to one of them, in turn
    #[arg(long, default_value_t = 1)]
    rooms: usize,
    /// Broadcasts per request
    #[arg(long, default_value_t = 1)]
    batch: u64,
    /// Bytes of the text of a broadcast
    #[arg(long, default_value_t = 128)]
    payload: usize,
    /// Requests on their way at a time
    #[arg(long, default_value_t = 2)]
    window: u64,
    /// Requests per second, instead of a window
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds before anything is measured
    #[arg(long, value_parser = seconds, default_value = "1")]
    warm_up: Duration,
    /// Seconds measured
    #[arg(long, value_parser = seconds, default_value = "5")]
    duration: Duration,
}

impl Broadcast {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let rooms = self.rooms.max(1);
        let (crowd, received) = fill(setup, self.clients, rooms).await?;
        let mut sender = Sender {
            client: Client::connect(&setup.target).await?,
            options: self,
            num_requests: 0,
            num_expected: 0,
            num_given_up: 0,
        };
        sender.send_for(self.warm_up, &received).await?;
        received.latency.borrow_mut().clear();
        let span = Span::begin(setup, received.count.get())?;
        sender.send_for(self.duration, &received).await?;
        let mut report = span.end(received.count.get())?;
        report.latency = received.latency.borrow().quantiles();
        received
            .reaches(sender.num_expected - sender.num_given_up, PATIENCE)
            .await;
        report.num_lost = sender.num_expected.saturating_sub(received.count.get());
        report.num_failed = crowd.num_failed();
        Ok(report)
    }
}

struct Sender<'a> {
    client: Client,
    options: &'a Broadcast,
    num_requests: u64,
    /// Deliveries that all requests so far are to bring.
    num_expected: u64,
    /// Deliveries that did not arrive: without them, a loss would stop the loop for ever.
    num_given_up: u64,
}

impl Sender<'_> {
    async fn send_for(&mut self, duration: Duration, received: &Received) -> Result<()> {
        let began = Instant::now();
        let mut ticker = self
            .options
            .rate
            .map(|rate| interval(Duration::from_secs_f64(1.0 / rate)));
        while began.elapsed() < duration {
            let expected = self.request().await?;
            match &mut ticker {
                Some(ticker) => drop(ticker.tick().await),
                None => self.wait_for_window(expected, received).await,
            }
        }
        Ok(())
    }

    /// Requests one batch; returns the number of expected deliveries.
    async fn request(&mut self) -> Result<u64> {
        let Broadcast {
            clients,
            rooms,
            batch,
            payload,
            ..
        } = *self.options;
        let number = self.num_requests as usize % rooms.max(1);
        let request = format!("42[\"publish\",\"{}\",{payload},{batch}]", room(number));
        self.client.send(request.as_bytes()).await?;
        let num_members = clients / rooms.max(1) + usize::from(number < clients % rooms.max(1));
        let expected = num_members as u64 * batch;
        self.num_requests += 1;
        self.num_expected += expected;
        Ok(expected)
    }

    async fn wait_for_window(&mut self, expected: u64, received: &Received) {
        let outstanding = expected * self.options.window.saturating_sub(1);
        let total = self.num_expected.saturating_sub(self.num_given_up + outstanding);
        if !received.reaches(total, PATIENCE).await {
            self.num_given_up = self.num_expected - received.count.get();
        }
    }
}
