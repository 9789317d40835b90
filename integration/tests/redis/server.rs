//! A `redis-server` process that a test starts, kills, freezes and starts again.

use std::net::TcpListener;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

/// How long an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    arguments: Vec<String>,
    password: Option<String>,
    child: Mutex<Option<Child>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with more arguments; `{dir}` and `{port}` in them are replaced.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let server = Self::new(free_port(), arguments);
        server.restart().await;
        server
    }

    /// Prepares a server that does not run yet.
    pub(crate) fn new(port: u16, arguments: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let fill = |argument: &&str| argument.replace("{dir}", &path).replace("{port}", &port.to_string());
        let arguments: Vec<_> = arguments.iter().map(fill).collect();
        let password = arguments.iter().position(|argument| argument == "--requirepass");
        Self {
            port,
            password: password.map(|at| arguments[at + 1].clone()),
            dir,
            arguments,
            child: Mutex::default(),
        }
    }

    pub(crate) fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@"));
        format!("redis://{}127.0.0.1:{}", password.unwrap_or_default(), self.port)
    }

    /// Starts the process, which must not be running, and returns once it answers.
    pub(crate) async fn restart(&self) {
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--dir"])
            .arg(self.dir.path());
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.arg("--port").arg(self.port.to_string());
        }
        self.spawn(command).await;
    }

    /// Starts a sentinel: its configuration file comes first, and it knows no persistence.
    pub(crate) async fn restart_sentinel(&self) {
        self.spawn(Command::new("redis-server")).await;
    }

    async fn spawn(&self, mut command: Command) {
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        let child = command.spawn().expect("redis-server must be installed");
        *self.child.lock().await = Some(child);
        self.until_ready().await;
    }

    /// Ends the process as `kill -9` does.
    pub(crate) async fn kill(&self) {
        let child = self.child.lock().await.take();
        child.expect("the server runs").kill().await.unwrap();
    }

    pub(crate) async fn freeze(&self) {
        self.signal("-STOP").await;
    }

    pub(crate) async fn thaw(&self) {
        self.signal("-CONT").await;
    }

    /// Sends one command and returns the reply.
    pub(crate) async fn command<T: redis::FromRedisValue>(&self, command: &redis::Cmd) -> redis::RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        // The client's own limits are too short for a busy machine.
        let patient = redis::AsyncConnectionConfig::new()
            .set_response_timeout(Some(PATIENCE))
            .set_connection_timeout(Some(PATIENCE));
        let mut connection = client.get_multiplexed_async_connection_with_config(&patient).await?;
        command.query_async(&mut connection).await
    }

    /// Counts the HELLOs that were answered, by which a server is asked for a sign of life.
    pub(crate) async fn num_hellos(&self) -> usize {
        let info: String = self.command(redis::cmd("INFO").arg("commandstats")).await.unwrap();
        let line = info.lines().find(|line| line.starts_with("cmdstat_hello:"));
        let calls = line.and_then(|line| line.split(['=', ',']).nth(1)?.parse().ok());
        calls.unwrap_or(0)
    }

    async fn signal(&self, signal: &str) {
        let pid = self
            .child
            .lock()
            .await
            .as_ref()
            .and_then(Child::id)
            .expect("the server runs");
        let done = Command::new("kill")
            .arg(signal)
            .arg(pid.to_string())
            .status()
            .await
            .unwrap();
        assert!(done.success());
    }

    async fn until_ready(&self) {
        if self.arguments.iter().any(|argument| argument == "--tls-port") {
            return until_accepting(self.port).await;
        }
        let ready = async {
            while self.command::<String>(&redis::cmd("PING")).await.is_err() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), ready)
            .await
            .expect("redis-server answers");
    }
}

async fn until_accepting(port: u16) {
    let accepting = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), accepting)
        .await
        .expect("redis-server accepts");
}

/// Finds a port below those that outgoing connections take: a reconnect to a dead server must never meet itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 2000) as u16 * 6;
    loop {
        let port = 10_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
