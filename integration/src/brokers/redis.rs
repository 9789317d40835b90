//! Redis: one for all tests of a process, and servers of their own for tests that break them.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::container::{Container, Spec};
use super::guard::Guard;
use super::{Origin, RUNTIME, docker_required};
use crate::process::send_signal;

/// The image that is run unless `SIO_TEST_REDIS_IMAGE` names another.
const IMAGE: &str = "redis:7.2.4";
/// How long a server may take to answer its first PING.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at what gives no sign of its own.
const LOOK: Duration = Duration::from_millis(5);
/// How many ports are tried before it is given up.
const TRIES: usize = 20;

const INSTALL: &str = "no Redis for the tests: set SIO_TEST_REDIS_URL, or start Docker, or install redis-server \
     (Debian: apt-get install redis-server); ./test does that where it may";

/// The Redis that all tests of a process share. Tests keep apart by
/// [`unique_channel`](super::unique_channel), and leave it running.
#[derive(Debug)]
pub struct SharedRedis {
    url: String,
    origin: Origin,
    _running: Running,
}

/// What keeps a shared Redis alive.
#[derive(Debug)]
enum Running {
    Elsewhere,
    Contained { _container: Box<Container> },
    Here { _server: RedisBroker },
}

impl SharedRedis {
    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns where it comes from.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin
    }

    async fn find() -> Result<Self, String> {
        let found = Self::first_to_be_had().await?;
        eprintln!("tests use Redis at {} ({:?})", found.url, found.origin);
        Ok(found)
    }

    async fn first_to_be_had() -> Result<Self, String> {
        if let Some(url) = given_url() {
            let answer = ping(&url)
                .await
                .map_err(|error| format!("SIO_TEST_REDIS_URL is set, but: {error}"));
            return answer.map(|()| Self {
                url,
                origin: Origin::Url,
                _running: Running::Elsewhere,
            });
        }
        match Self::contained().await {
            Ok(found) => return Ok(found),
            Err(why) if docker_required() => return Err(format!("SIO_REQUIRE_DOCKER is set, but: {why}")),
            Err(why) => eprintln!("tests use no container: {why}"),
        }
        let server = RedisBroker::try_start(&[]).await?;
        Ok(Self {
            url: server.url(),
            origin: Origin::Local,
            _running: Running::Here { _server: server },
        })
    }

    async fn contained() -> Result<Self, String> {
        let image = std::env::var("SIO_TEST_REDIS_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        let spec = Spec {
            image: &image,
            port: 6379,
            ready: "Ready to accept connections",
            command: &[
                "redis-server",
                "--bind",
                "0.0.0.0",
                "--protected-mode",
                "no",
                "--save",
                "",
            ],
        };
        let container = Container::start(&spec).await?;
        let url = format!("redis://{}/0", container.address);
        until_answers(&url).await?;
        Ok(Self {
            url,
            origin: Origin::Container,
            _running: Running::Contained {
                _container: Box::new(container),
            },
        })
    }
}

/// A Redis server that belongs to one test, which may do to it what it likes. Dropping it kills it.
#[derive(Debug)]
pub struct RedisBroker {
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    /// `None` while it is killed. The guard is first, so that it never kills a process that is not ours any more.
    running: Option<(Guard, Child)>,
}

impl RedisBroker {
    /// Returns the Redis that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// When there is none. The message says what to install.
    pub async fn shared() -> &'static SharedRedis {
        static SHARED: OnceCell<Result<SharedRedis, String>> = OnceCell::const_new();
        let find = || async {
            let search = RUNTIME.spawn(SharedRedis::find());
            search
                .await
                .unwrap_or_else(|error| Err(format!("the search for a Redis failed: {error}")))
        };
        match SHARED.get_or_init(find).await {
            Ok(shared) => shared,
            Err(why) => panic!("{why}"),
        }
    }

    /// Starts a server on a free port of 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When `redis-server` is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further arguments, as `--client-output-buffer-limit`, `pubsub 1mb 1mb 1`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(arguments: &[&str]) -> Self {
        Self::try_start(arguments).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Returns the address, as `host:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Returns the process id.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the server runs").1.id()
    }

    /// Kills the server, as a crash does, and waits for its end.
    pub fn kill(&mut self) {
        let Some((guard, mut child)) = self.running.take() else {
            return;
        };
        drop(guard);
        // It may have ended by itself; either way it is gone after the wait.
        let _ = child.kill();
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
            panic!("Redis does not start again: {why}");
        }
    }

    /// Stops the server without closing anything: connections stay, nothing answers. Returns once it stands still.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    pub async fn freeze(&self) {
        send_signal(self.pid(), "STOP");
        let stat = format!("/proc/{}/stat", self.pid());
        let stands = |stat: String| stat.rsplit(") ").next().is_some_and(|state| state.starts_with('T'));
        // Where there is no /proc the signal has to be trusted.
        while std::fs::read_to_string(&stat).is_ok_and(|stat| !stands(stat)) {
            sleep(LOOK).await;
        }
    }

    /// Lets a frozen server go on.
    ///
    /// # Panics
    ///
    /// When the server is killed.
    pub fn thaw(&self) {
        send_signal(self.pid(), "CONT");
    }

    /// Returns what the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn try_start(arguments: &[&str]) -> Result<Self, String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
            let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
            let mut broker = Self {
                port: free_port()?,
                arguments,
                folder,
                running: None,
            };
            match broker.launch().await {
                Ok(()) => return Ok(broker),
                // Somebody else took the port in between: another one will do.
                Err(error) if error.contains("Address already in use") => why = error,
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    async fn launch(&mut self) -> Result<(), String> {
        let child = self.spawn()?;
        self.running = Some((Guard::kill(child.id()), child));
        let end = Instant::now() + PATIENCE;
        loop {
            let error = match ping(&self.url()).await {
                Ok(()) if self.has_ended() => "another server answers".to_owned(),
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.has_ended() || Instant::now() > end {
                self.kill();
                return Err(format!("{error}; redis-server's log:\n{}", self.log()));
            }
            sleep(LOOK).await;
        }
    }

    fn spawn(&self) -> Result<Child, String> {
        let log = self
            .open_log()
            .map_err(|error| format!("no log for redis-server: {error}"))?;
        let errors = log
            .try_clone()
            .map_err(|error| format!("no log for redis-server: {error}"))?;
        Command::new("redis-server")
            .args([
                "--port",
                &self.port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => INSTALL.to_owned(),
                _ => format!("redis-server cannot be started: {error}"),
            })
    }

    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
    }

    fn has_ended(&mut self) -> bool {
        let child = self.running.as_mut().map(|(_, child)| child);
        child.is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }
}

impl Drop for RedisBroker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks a Redis for a sign of life.
///
/// # Errors
///
/// Why there is none.
pub async fn ping(url: &str) -> Result<(), String> {
    let ask = async {
        let mut connection = redis::Client::open(url)?.get_multiplexed_async_connection().await?;
        redis::cmd("PING").query_async::<String>(&mut connection).await
    };
    match timeout(Duration::from_secs(2), ask).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{url} does not answer: {error}")),
        Err(_) => Err(format!("{url} does not answer in time")),
    }
}

async fn until_answers(url: &str) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    loop {
        match ping(url).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > end => return Err(error),
            Err(_) => sleep(LOOK).await,
        }
    }
}

fn given_url() -> Option<String> {
    std::env::var("SIO_TEST_REDIS_URL").ok().filter(|url| !url.is_empty())
}

/// Returns a free port outside the range that the system hands out: while the server is down, no outgoing connection may
/// take its port, nor a client that keeps trying connect to itself.
fn free_port() -> Result<u16, String> {
    let seeds = uuid::Uuid::new_v4().into_bytes();
    let numbers = seeds.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let mut ports = numbers.map(|number| 15_000 + number % 15_000);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    ports.find(free).ok_or_else(|| "no free port on 127.0.0.1".to_owned())
}
