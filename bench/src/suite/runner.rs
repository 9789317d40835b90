//! Runs rows for several targets, one after the other within a round, so that a machine that slows down slows all of them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::process::Command;
use tokio::time::timeout;

use super::brokers::{Brokers, Running};
use super::server::Server;
use super::{Kind, Line, Passing, ROWS, Results, Row, Suite, emitters};
use crate::report::Report;

/// The longest that a run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// The memory limit of a server of this project while a million messages pass, none of which stays in memory.
const MAX_PEAK_KIB: u64 = 64 << 10;
/// Messages where it is only to be seen that a row works.
const SMOKE_MESSAGES: u64 = 200;

/// Runs rows, each for every target, and appends their reports to the results.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Suites to run, comma separated
    #[arg(long, value_delimiter = ',', default_values = ["server", "bridge"])]
    suites: Vec<Suite>,
    /// Rows to run, comma separated, of any suite; all of the chosen suites by default
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Targets to run them for, in this order
    #[arg(long, value_delimiter = ',', default_values = ["floor", "socketioxide", "sio", "observed"])]
    targets: Vec<Kind>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Few clients and messages, and no results: shows that the rows work
    #[arg(long)]
    smoke: bool,
}

impl Run {
    /// Runs everything asked for.
    ///
    /// # Errors
    ///
    /// If a row has no such name, a broker or server does not start, or a run fails; after all runs, if a soak of this project lost or
    /// doubled a message, or its server counted a fault.
    pub async fn run(&self, results: &Results) -> Result<()> {
        let rows = self.chosen()?;
        let mut brokers = Brokers::default();
        let mut faults = Vec::new();
        for round in 0..self.rounds {
            for row in &rows {
                let broker = brokers.need(row.broker.map(|passing| passing.broker)).await?;
                faults.extend(self.run_row(results, round, row, broker).await?);
            }
        }
        if !faults.is_empty() {
            bail!("faults under load:\n{}", faults.join("\n"));
        }
        Ok(())
    }

    /// Runs a row for each target; returns the faults of a soak of this project.
    async fn run_row(
        &self,
        results: &Results,
        round: usize,
        row: &Row,
        broker: Option<&Running>,
    ) -> Result<Vec<String>> {
        let mut faults = Vec::new();
        for &kind in self.targets.iter().filter(|kind| row.targets.contains(kind)) {
            let report = self.measure(row, kind, broker).await;
            let report = report.with_context(|| format!("{} of {}", row.name, kind.name()))?;
            if row.suite == Suite::Soak && kind == Kind::Sio {
                faults.extend(faults_of(&report).map(|fault| format!("{}, round {round}: {fault}", row.name)));
            }
            self.note(results, round, row, kind, report)?;
        }
        Ok(faults)
    }

    fn chosen(&self) -> Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            return Ok(ROWS.iter().filter(|row| self.suites.contains(&row.suite)).collect());
        }
        let find = |name: &String| {
            let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
            let row = ROWS.iter().find(|row| row.name == name);
            row.with_context(|| format!("there is not a row {name:?}, but {}", names()))
        };
        self.rows.iter().map(find).collect()
    }

    async fn measure(&self, row: &Row, kind: Kind, broker: Option<&Running>) -> Result<Report> {
        let passing = row.broker.map(|passing| Passing {
            num_messages: if self.smoke {
                SMOKE_MESSAGES
            } else {
                passing.num_messages
            },
            ..passing
        });
        match (row.suite, passing, broker) {
            (Suite::Emit | Suite::Node, Some(passing), Some(broker)) => {
                let emitting = emitters::measure(kind, &passing, broker);
                timeout(RUN_TIMEOUT, emitting)
                    .await
                    .context("the emitter does not end")?
            }
            (_, passing, broker) => self.load(row, kind, passing.zip(broker)).await,
        }
    }

    /// Loads a server of its own.
    async fn load(&self, row: &Row, kind: Kind, broker: Option<(Passing, &Running)>) -> Result<Report> {
        let server = Server::start(kind, broker.map(|(_, broker)| broker.url.as_str())).await?;
        let mut load = Command::new(std::env::current_exe()?);
        load.arg("load")
            .args(["--url", &format!("http://127.0.0.1:{}", server.port)])
            .args(["--process", &server.id()?.to_string()]);
        if let Some((_, broker)) = broker {
            load.args(["--process", &format!("broker={}", broker.id)]);
        }
        load.args(row.arguments.split(' '));
        if self.smoke {
            load.args(smoke_arguments(row));
        }
        if let Some((passing, broker)) = broker {
            let num_messages = passing.num_messages(kind).to_string();
            load.args(["--messages", &num_messages, "--"]);
            load.args(emitters::command(kind, &passing, broker));
        }
        load.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let loaded = timeout(RUN_TIMEOUT, load.output()).await;
        let loaded = loaded.context("the run does not end")??;
        if !loaded.status.success() {
            bail!("the load generator failed: {}", loaded.status);
        }
        let mut report: Report = serde_json::from_slice(&loaded.stdout)?;
        report.counters = server.stop().await?;
        Ok(report)
    }

    fn note(&self, results: &Results, round: usize, row: &Row, kind: Kind, report: Report) -> Result<()> {
        let figure = row.figure.of(&report).context("the report lacks the figure")?;
        let (row, target, unit) = (row.name, kind.name(), row.figure.unit());
        println!("{round} {row:16} {target:14} {figure:.2} {unit}");
        if self.smoke {
            return Ok(());
        }
        results.append(&Line {
            row: row.to_owned(),
            target: target.to_owned(),
            report,
        })
    }
}

/// Returns arguments that make a row of servers short; they override those of the row.
fn smoke_arguments(row: &Row) -> impl Iterator<Item = &'static str> {
    let arguments = match row.arguments.split(' ').next() {
        Some("connect" | "storm") => "--clients 100",
        Some("echo") => "--warm-up 0.1 --duration 0.3",
        Some("broadcast") => "--clients 100 --warm-up 0.1 --duration 0.3",
        Some("churn") => "--clients 100 --duration 0.3",
        _ => "",
    };
    arguments.split_whitespace()
}

/// Lists the faults that a soak must not show.
fn faults_of(report: &Report) -> impl Iterator<Item = String> {
    let counted = |name| report.counters.get(name).copied();
    let peak = report.peak_kib.get("server").copied().unwrap_or_default();
    let faults = [
        ("lost", Some(report.num_lost)),
        ("doubled or out of order", Some(report.num_out_of_order)),
        ("clients failed", Some(report.num_failed)),
        ("gaps", counted("gaps")),
        ("restarts of the listener", counted("restarts")),
        ("panics", counted("panics")),
        ("not decoded", counted("undecodable")),
        (
            "KiB of memory at its peak",
            Some(if peak > MAX_PEAK_KIB { peak } else { 0 }),
        ),
    ];
    faults.into_iter().filter_map(|(what, number)| match number {
        Some(0) => None,
        Some(number) => Some(format!("{number} {what}")),
        None => Some(format!("the server does not say how many {what}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Report {
        let counters = ["gaps", "restarts", "panics", "undecodable"].map(|name| (name.to_owned(), 0));
        Report {
            num_operations: 1_000,
            counters: counters.into(),
            peak_kib: [("server".to_owned(), 20 << 10), ("broker".to_owned(), 1 << 20)].into(),
            ..Report::default()
        }
    }

    #[test]
    fn a_soak_that_lost_doubled_or_kept_messages_is_a_fault_and_so_is_one_that_does_not_say() {
        assert_eq!(faults_of(&clean()).count(), 0);
        let mut report = clean();
        (report.num_lost, report.num_out_of_order) = (3, 1);
        report.counters.insert("gaps".to_owned(), 2);
        report.counters.remove("restarts");
        report.peak_kib.insert("server".to_owned(), 100 << 10);
        let faults: Vec<_> = faults_of(&report).collect();
        assert_eq!(
            faults,
            [
                "3 lost",
                "1 doubled or out of order",
                "2 gaps",
                "the server does not say how many restarts of the listener",
                "102400 KiB of memory at its peak",
            ]
        );
    }
}
