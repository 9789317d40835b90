//! Joins and leaves of others while a large room is broadcast to.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tokio::time::{Instant, interval};

use super::members::fill;
use super::{AT_ONCE, Setup, Span, seconds};
use crate::latency::Latency;
use crate::load::{Client, Crowd, connect_many};
use crate::report::Report;

/// Broadcasts at a rate; the latency reported is that of one join or leave by another client.
#[derive(Clone, Debug, Args)]
pub struct Churn {
    /// Number of members of the room
    #[arg(long, default_value_t = 3_000)]
    clients: usize,
    /// Clients that join and leave rooms of their own all the time
    #[arg(long, default_value_t = 10)]
    others: usize,
    /// Broadcasts per second
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Seconds measured
    #[arg(long, value_parser = seconds, default_value = "5")]
    duration: Duration,
}

impl Churn {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let (members, received) = fill(setup, self.clients, 1).await?;
        let mut sender = Client::connect(&setup.target).await?;
        let (latency, count) = (Rc::new(RefCell::new(Latency::new())), Rc::new(Cell::new(0)));
        let mut others = Crowd::default();
        for (index, client) in connect_many(&setup.target, self.others, AT_ONCE)
            .await?
            .0
            .into_iter()
            .enumerate()
        {
            others.add(join_and_leave(client, index, latency.clone(), count.clone()));
        }
        let span = Span::begin(setup, count.get())?;
        let began = Instant::now();
        let mut ticker = interval(Duration::from_secs_f64(1.0 / self.rate));
        let mut num_sent = 0;
        while began.elapsed() < self.duration {
            ticker.tick().await;
            sender.send(br#"42["publish","r",128,1]"#).await?;
            num_sent += 1;
        }
        let mut report = span.end(count.get())?;
        report.latency = latency.borrow().quantiles();
        let expected = num_sent * self.clients as u64;
        received.reaches(expected, Duration::from_secs(3)).await;
        report.num_lost = expected.saturating_sub(received.count.get());
        report.num_failed = members.num_failed() + others.num_failed();
        Ok(report)
    }
}

async fn join_and_leave(
    mut client: Client,
    index: usize,
    latency: Rc<RefCell<Latency>>,
    count: Rc<Cell<u64>>,
) -> Result<Infallible> {
    loop {
        for event in ["join", "leave"] {
            let began = Instant::now();
            client.call(&format!("[\"{event}\",\"own{index}\"]")).await?;
            latency.borrow_mut().record(began.elapsed());
            count.set(count.get() + 1);
        }
    }
}
