//! Scenarios: the actions of the clients of a run, and the measurements.

mod bridge;
mod broadcast;
mod churn;
mod connect;
mod echo;
mod members;
mod storm;

use std::time::Duration;

use anyhow::Result;
use clap::Subcommand;
use tokio::time::Instant;

use crate::load::Target;
use crate::process::{Meter, Watched};
use crate::report::Report;

/// The server under test, and the processes to account for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Where the server listens.
    pub target: Target,
    /// The server, named `server`, and whichever others a figure needs.
    pub processes: Vec<Watched>,
}

/// One scenario with its parameters.
#[derive(Clone, Debug, Subcommand)]
pub enum Scenario {
    /// Connections: time and processor time to open them, memory while idle and after they closed.
    Connect(connect::Connect),
    /// Events with acknowledgement, over WebSocket or long-polling, in a closed loop.
    Echo(echo::Echo),
    /// Broadcasts to rooms, in a closed loop or at a rate.
    Broadcast(broadcast::Broadcast),
    /// Joins and leaves by other clients while a large room is broadcast to.
    Churn(churn::Churn),
    /// All clients lose their connection at once and reconnect
    Storm(storm::Storm),
    /// Events published to a broker by a command, delivered by the server.
    Bridge(bridge::Bridge),
}

impl Scenario {
    /// Runs the scenario. It belongs on a [`LocalSet`](tokio::task::LocalSet) of a current-thread runtime.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached, refuses, or a process to account for has ended.
    pub async fn run(&self, setup: &Setup) -> Result<Report> {
        match self {
            Self::Connect(scenario) => scenario.run(setup).await,
            Self::Echo(scenario) => scenario.run(setup).await,
            Self::Broadcast(scenario) => scenario.run(setup).await,
            Self::Churn(scenario) => scenario.run(setup).await,
            Self::Storm(scenario) => scenario.run(setup).await,
            Self::Bridge(scenario) => scenario.run(setup).await,
        }
    }
}

/// Concurrent handshakes in scenarios that do not measure them.
const AT_ONCE: usize = 64;

/// A span of a run that is measured: operations are counted from its beginning to its end.
struct Span {
    meter: Meter,
    began: Instant,
    num_before: u64,
}

impl Span {
    fn begin(setup: &Setup, num_before: u64) -> Result<Self> {
        Ok(Self {
            meter: Meter::start(&setup.processes)?,
            began: Instant::now(),
            num_before,
        })
    }

    fn end(&self, num_now: u64) -> Result<Report> {
        let num_operations = num_now - self.num_before;
        Ok(Report {
            num_operations,
            per_second: num_operations as f64 / self.began.elapsed().as_secs_f64(),
            cpu: self.meter.per_operation(num_operations)?,
            ..Report::default()
        })
    }
}

/// Parses a number of seconds for the command line.
fn seconds(text: &str) -> Result<Duration> {
    Ok(Duration::try_from_secs_f64(text.parse()?)?)
}
