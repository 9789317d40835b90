//! A server that is started for one run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::Kind;

/// The longest that a server may take to listen.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The warm-up: work that a runtime does once, at its start, is not measured.
const SETTLE: Duration = Duration::from_secs(1);
/// The same for servers on a broker: python-socketio's say nothing when they listen.
const SETTLE_ON_BROKER: Duration = Duration::from_secs(3);
/// The longest that a server may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A server under test, ended when it is dropped.
pub(super) struct Server {
    process: Child,
    pub(super) port: u16,
}

impl Server {
    /// Starts a server, on the broker of a URL if there is one, and waits until it listens.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub(super) async fn start(kind: Kind, broker: Option<&str>) -> Result<Self> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let command = kind.server();
        let [program, arguments @ ..] = &command[..] else {
            bail!("{} is not a server", kind.name());
        };
        let process = Command::new(program)
            .args(arguments)
            .arg(port.to_string())
            .args(broker.map(|url| kind.url(url)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
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
        sleep(broker.map_or(SETTLE, |_| SETTLE_ON_BROKER)).await;
        Ok(server)
    }

    /// Returns the id of the process.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub(super) fn id(&self) -> Result<u32> {
        self.process.id().context("the server has ended")
    }

    /// Ends the server and returns its counters, if it prints them.
    ///
    /// # Errors
    ///
    /// If it has ended by itself.
    pub(super) async fn stop(self) -> Result<BTreeMap<String, u64>> {
        let id = Pid::from_raw(self.id()?.cast_signed()).context("the id of a process is not zero")?;
        kill_process(id, Signal::TERM)?;
        // One that does not end is killed when the future is dropped.
        let Ok(ended) = timeout(STOP_TIMEOUT, self.process.wait_with_output()).await else {
            return Ok(BTreeMap::new());
        };
        Ok(serde_json::from_slice(&ended?.stdout).unwrap_or_default())
    }
}
