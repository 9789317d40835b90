//! Runs rows for several targets, one after the other within a round, so that a machine that slows down slows all of them.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::{Kind, Line, ROWS, Results, Row};
use crate::report::Report;

/// The longest that a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest that a run may take.
const RUN_TIMEOUT: Duration = Duration::from_secs(300);
/// The longest that a server may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Runs rows, each for every target, and appends what they found to the results.
#[derive(Clone, Debug, Args)]
pub struct Run {
    /// Rows to run, comma separated; all by default
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Targets to run them for, in this order
    #[arg(long, value_delimiter = ',', default_values = ["floor", "socketioxide", "sio"])]
    targets: Vec<Kind>,
    /// Rounds
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// A Redis for the rows with a broker
    #[arg(long, default_value = "redis://127.0.0.1:6379")]
    redis: String,
}

impl Run {
    /// Runs everything asked for.
    ///
    /// # Errors
    ///
    /// If a row has no such name, a server does not start, or a run fails.
    pub async fn run(&self, results: &Results) -> Result<()> {
        let rows = self.chosen()?;
        for round in 0..self.rounds {
            for row in &rows {
                for &kind in self
                    .targets
                    .iter()
                    .filter(|&&kind| kind != Kind::Floor || row.has_floor)
                {
                    let report = self.measure(row, kind).await;
                    let report = report.with_context(|| format!("{} of {}", row.name, kind.name()))?;
                    let figure = row.figure.of(&report).context("the report lacks the figure")?;
                    println!(
                        "{round} {:16} {:14} {figure:.2} {}",
                        row.name,
                        kind.name(),
                        row.figure.unit()
                    );
                    results.append(&Line {
                        row: row.name.to_owned(),
                        target: kind.name().to_owned(),
                        report,
                    })?;
                }
            }
        }
        Ok(())
    }

    fn chosen(&self) -> Result<Vec<&'static Row>> {
        if self.rows.is_empty() {
            return Ok(ROWS.iter().collect());
        }
        let find = |name: &String| {
            let names = || ROWS.iter().map(|row| row.name).collect::<Vec<_>>().join(", ");
            let row = ROWS.iter().find(|row| row.name == name);
            row.with_context(|| format!("there is not a row {name:?}, but {}", names()))
        };
        self.rows.iter().map(find).collect()
    }

    async fn measure(&self, row: &Row, kind: Kind) -> Result<Report> {
        let broker = row.num_messages.is_some().then_some(self.redis.as_str());
        let server = Server::start(kind, broker).await?;
        let mut load = Command::new(std::env::current_exe()?);
        load.arg("load")
            .args(["--url", &format!("http://127.0.0.1:{}", server.port)])
            .args(["--process", &server.id()?.to_string()])
            .args(row.arguments.split(' '));
        if let Some(count) = row.num_messages {
            load.args(["--messages", &count.to_string(), "--"]);
            load.args(kind.emitter()).args([&self.redis, &count.to_string()]);
        }
        load.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
        let output = timeout(RUN_TIMEOUT, load.output())
            .await
            .context("the run does not end")??;
        if !output.status.success() {
            bail!("the load generator failed: {}", output.status);
        }
        server.stop().await?;
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// A server that was started for one run.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    async fn start(kind: Kind, broker: Option<&str>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let command = kind.server();
        let process = Command::new(&command[0])
            .args(&command[1..])
            .arg(port.to_string())
            .args(broker)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command:?}; bench/README.md tells how to build it"))?;
        let mut server = Self { process, port };
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
            if let Some(status) = server.process.try_wait()? {
                bail!("{command:?} ended: {status}; bench/README.md tells how to build it");
            }
            if began.elapsed() > START_TIMEOUT {
                bail!("{command:?} does not listen on port {port}");
            }
            sleep(Duration::from_millis(50)).await;
        }
        // What a runtime does once, at its start, is not measured.
        sleep(Duration::from_secs(1)).await;
        Ok(server)
    }

    fn id(&self) -> Result<i32> {
        let id = self.process.id().context("the server has ended")?;
        Ok(i32::try_from(id)?)
    }

    async fn stop(mut self) -> Result<()> {
        let id = Pid::from_raw(self.id()?).context("the id of a process is not zero")?;
        kill_process(id, Signal::TERM)?;
        if timeout(STOP_TIMEOUT, self.process.wait()).await.is_err() {
            self.process.kill().await?;
        }
        Ok(())
    }
}
