//! Events published to a broker by a command of its own, delivered by the server.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use tokio::process::Command;

use super::members::fill;
use super::{Setup, Span, seconds};
use crate::process::peak_kib;
use crate::report::{Emitted, Report};

/// Runs an emitter and counts the deliveries to the members of room `r`
#[derive(Clone, Debug, Args)]
pub struct Bridge {
    /// Number of members
    #[arg(long, default_value_t = 100)]
    clients: usize,
    /// Messages that the emitter publishes
    #[arg(long)]
    messages: u64,
    /// The silence, once the emitter has ended, after which missing deliveries count as lost
    #[arg(long, value_parser = seconds, default_value = "3")]
    patience: Duration,
    /// The emitter and its arguments: it publishes stamped events `m` to room `r`
    #[arg(last = true, required = true)]
    emitter: Vec<String>,
}

impl Bridge {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let (crowd, received) = fill(setup, self.clients, 1).await?;
        let expected = self.messages * self.clients as u64;
        let span = Span::begin(setup, 0)?;
        let [program, arguments @ ..] = &self.emitter[..] else {
            bail!("an emitter is missing");
        };
        let emitter = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output()
            .await?;
        if !emitter.status.success() {
            bail!("the emitter failed: {}", emitter.status);
        }
        received.reaches(expected, self.patience).await;
        let mut report = span.end(received.count.get())?;
        let took = received
            .first_sent
            .get()
            .map(|first| received.last_came.get().saturating_sub(first));
        let num_messages = received.count.get() as f64 / self.clients.max(1) as f64;
        report.per_second = took.map_or(0.0, |took| num_messages / took.as_secs_f64());
        report.latency = received.latency.borrow().quantiles();
        report.num_lost = expected.saturating_sub(received.count.get());
        report.num_out_of_order = received.num_out_of_order.get();
        report.num_failed = crowd.num_failed();
        report.emitter = Emitted::parse(&emitter.stdout);
        for process in &setup.processes {
            report.peak_kib.insert(process.name.clone(), peak_kib(process.id)?);
        }
        Ok(report)
    }
}
