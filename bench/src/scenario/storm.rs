//! A reconnect storm.

use anyhow::Result;
use clap::Args;

use super::{AT_ONCE, Setup, Span};
use crate::load::connect_many;
use crate::process::resident_kib;
use crate::report::{Memory, Report};

/// Connects clients, cuts all of them at once, and connects as many again at once.
#[derive(Clone, Debug, Args)]
pub struct Storm {
    /// Number of clients
    #[arg(long, default_value_t = 5_000)]
    clients: usize,
    /// Handshakes at a time after the cut; all of them by default
    #[arg(long)]
    at_once: Option<usize>,
}

impl Storm {
    pub(super) async fn run(&self, setup: &Setup) -> Result<Report> {
        let resident = || setup.processes.first().map_or(Ok(0), |server| resident_kib(server.id));
        let before = resident()?;
        let (clients, _) = connect_many(&setup.target, self.clients, AT_ONCE).await?;
        let span = Span::begin(setup, 0)?;
        drop(clients);
        let at_once = self.at_once.unwrap_or(self.clients);
        let (clients, latency) = connect_many(&setup.target, self.clients, at_once).await?;
        let mut report = span.end(self.clients as u64)?;
        report.latency = latency.quantiles();
        let idle = resident()?;
        drop(clients);
        report.memory = Some(Memory {
            before,
            idle,
            after: resident()?,
            num_clients: self.clients as u64,
        });
        Ok(report)
    }
}
