//! Private brokers: each belongs to one test, which may stop, freeze or reconfigure it.

mod launch;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::guard::Guard;
use super::{Contained, Flavour};
use crate::process::send_signal;
use crate::proxy::TcpProxy;

/// The interval between two checks of a state that sends no event.
const LOOK: Duration = Duration::from_millis(10);
/// Number of ports that are tried.
const TRIES: usize = 20;

/// One kind of server, and how to run it on this machine.
#[async_trait]
pub trait Kind: Sized + Send + Sync + 'static {
    /// Its name in failures.
    const NAME: &'static str;
    /// The variable whose value is the URL of one to be shared instead.
    const URL_VARIABLE: &'static str;
    /// The longest time until it responds once it is started.
    const PATIENCE: Duration;
    /// Whether it serves connections by child processes, which are frozen with it.
    const HAS_CHILDREN: bool = false;
    /// How to install it.
    const INSTALL: &'static str;

    /// Chooses ports, and writes the server's configuration into `folder`; `settings` have the server's own syntax.
    ///
    /// # Errors
    ///
    /// The missing program or file.
    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String>;

    /// Returns the address, as `host:port`.
    fn address(&self) -> String;

    /// Returns the URL.
    fn url(&self) -> String;

    /// Returns the command that starts the server in `folder`. Its output goes to the log.
    fn command(&self, folder: &Path) -> Command;

    /// Returns the file that the server writes its process id to, in `folder`, if what starts it is only a script.
    fn pid_file(&self) -> Option<&'static str> {
        None
    }

    /// Checks whether the server at a URL, on this machine or another one, is alive.
    ///
    /// # Errors
    ///
    /// The reason why there is none.
    async fn ping(url: &str) -> Result<(), String>;

    /// Runs once after a start. Default: does nothing.
    ///
    /// # Errors
    ///
    /// The failure of the setup.
    async fn warm_up(&self) -> Result<(), String> {
        Ok(())
    }

    /// As [`Flavour::line`].
    async fn line(&self) -> (TcpProxy, String) {
        TcpProxy::before(&self.url()).await
    }

    /// As [`Flavour::start_contained`].
    async fn start_contained() -> Option<Result<Contained, String>> {
        None
    }
}

/// A server that belongs to one test, which may stop or freeze it. Dropping it kills it.
#[derive(Debug)]
pub struct Private<K: Kind> {
    /// First, so that it is gone before what it needs.
    running: Option<Running>,
    kind: K,
    folder: TempDir,
}

/// A server that runs.
#[derive(Debug)]
struct Running {
    /// The child process: the server, or the script that ends with it.
    child: Child,
    /// The server, once it is known. The guard is first, so that it never kills a process that is not ours any more.
    server: Option<(Guard, u32)>,
}

impl<K: Kind> Private<K> {
    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When it is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further settings in its own words: arguments of `redis-server`, lines of a configuration otherwise.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::try_start_with(settings)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> String {
        self.kind.url()
    }

    /// Returns the address, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        self.kind.address()
    }

    /// Returns the folder that the server runs in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the process id.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        let server = self.running.as_ref().and_then(|running| running.server.as_ref());
        server.expect("the server runs").1
    }

    /// Kills the server, as a crash does, and waits for its end.
    pub fn kill(&mut self) {
        let Some(Running { mut child, server }) = self.running.take() else {
            return;
        };
        match server {
            // It may have ended by itself; either way it is gone when its script is.
            Some((guard, pid)) if pid != child.id() => {
                drop(guard);
                let kill = ["-c", "kill -s KILL \"$1\"", "sh", &pid.to_string()];
                let _ = Command::new("sh").args(kill).stderr(Stdio::null()).status();
            }
            server => {
                drop(server);
                let _ = child.kill();
            }
        }
        let _ = child.wait();
    }

    /// Kills the server if it runs, starts it again on the same port, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        if let Err(why) = self.launch().await {
            panic!("{} does not start again: {why}", K::NAME);
        }
    }

    /// Freezes the server: connections stay open, nothing responds. Returns once it is stopped.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    pub async fn freeze(&self) {
        stop(self.pid()).await;
        for child in self.children() {
            stop(child).await;
        }
    }

    /// Returns the child processes of a server that serves by them.
    fn children(&self) -> Vec<u32> {
        let file = format!("/proc/{0}/task/{0}/children", self.pid());
        match K::HAS_CHILDREN {
            true => std::fs::read_to_string(file)
                .unwrap_or_default()
                .split_ascii_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect(),
            false => Vec::new(),
        }
    }

    /// Resumes a frozen server.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    pub fn thaw(&self) {
        for pid in self.children().into_iter().chain([self.pid()]) {
            send_signal(pid, "CONT");
        }
    }

    /// Returns the log of the server.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    /// As [`start_with`](Self::start_with), for callers that have another way.
    ///
    /// # Errors
    ///
    /// The missing program or file.
    pub async fn try_start_with(settings: &[&str]) -> Result<Self, String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
            let mut server = Self {
                running: None,
                kind: K::prepare(settings, folder.path())?,
                folder,
            };
            match server.launch().await {
                Ok(()) => return Ok(server),
                // Another process took a port in between: any other one will do.
                Err(error) if is_about_a_taken_port(&error) => why = error,
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    /// Returns how this kind of server is run.
    pub(super) fn kind(&self) -> &K {
        &self.kind
    }
}

impl<K: Kind> Drop for Private<K> {
    fn drop(&mut self) {
        self.kill();
    }
}

#[async_trait]
impl<K: Kind> Flavour for Private<K> {
    const NAME: &'static str = K::NAME;
    const URL_VARIABLE: Option<&'static str> = Some(K::URL_VARIABLE);

    async fn try_start() -> Result<Self, String> {
        Self::try_start_with(&[]).await
    }

    fn url(&self) -> String {
        self.url()
    }

    fn kill(&mut self) {
        self.kill();
    }

    async fn restart(&mut self) {
        self.restart().await;
    }

    async fn freeze(&self) -> bool {
        self.freeze().await;
        true
    }

    fn thaw(&self) {
        self.thaw();
    }

    async fn line(&self) -> Option<(TcpProxy, String)> {
        Some(self.kind.line().await)
    }

    async fn check(url: &str) -> Result<(), String> {
        K::ping(url).await
    }

    async fn start_contained() -> Option<Result<Contained, String>> {
        K::start_contained().await
    }
}

/// Stops a process, and returns once it is stopped or gone.
async fn stop(pid: u32) {
    let stat = format!("/proc/{pid}/stat");
    if std::fs::exists(&stat).unwrap_or(true) {
        send_signal(pid, "STOP");
    }
    let stands = |stat: String| {
        stat.rsplit(") ")
            .next()
            .is_some_and(|state| state.starts_with(['T', 'Z']))
    };
    // Without /proc the signal has to be trusted.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stands(stat)) {
        sleep(LOOK).await;
    }
}

fn is_about_a_taken_port(error: &str) -> bool {
    ["Address already in use", "eaddrinuse", "port in use"]
        .iter()
        .any(|words| error.contains(words))
}

/// Waits until a server that another process started is alive.
pub(super) async fn until_answers<F>(patience: Duration, ask: impl Fn() -> F) -> Result<(), String>
where
    F: Future<Output = Result<(), String>>,
{
    let end = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => sleep(LOOK).await,
        }
    }
}

/// Returns free ports outside the range that the system hands out: while the server is down, no outgoing connection may
/// take its port, nor a client that keeps trying connect to itself.
pub(super) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT], String> {
    let seeds = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes);
    let pairs = seeds.as_flattened().chunks_exact(2);
    let numbers = pairs.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports = Vec::new();
    for port in numbers.map(|number| 15_000 + number % 15_000).filter(free) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports
        .first_chunk()
        .copied()
        .ok_or_else(|| "no free ports on 127.0.0.1".to_owned())
}
