//! Kafka: one for all tests of a process, and servers of their own for tests that break them.
//!
//! A server is Apache Kafka's own, from the jars that `./test` puts into `.test-env/kafka`: one node that is broker and
//! controller. There is no container: Kafka tells its clients where to connect, and a container does not know its port.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use manager_api::ClientManager;
use manager_kafka::{KafkaManager, KafkaOptions};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::guard::Guard;
use super::{Origin, RUNTIME, docker_required};
use crate::process::send_signal;
use crate::proxy::TcpProxy;

/// How long a server may take to answer its first request: a Java process on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks at what gives no sign of its own.
const LOOK: Duration = Duration::from_millis(20);
/// How many ports are tried before it is given up.
const TRIES: usize = 5;
/// The request "which versions do you speak?", version 0, with its length in front: the only one that needs no state.
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];

const INSTALL: &str = "no Kafka for the tests: set SIO_TEST_KAFKA_URL, or run `./test --prepare`, which needs Java 17 and \
     Maven (Debian: apt-get install openjdk-17-jre-headless maven)";

/// The Kafka that all tests of a process share. Tests keep apart by
/// [`unique_channel`](super::unique_channel), and leave it running.
#[derive(Debug)]
pub struct SharedKafka {
    url: String,
    origin: Origin,
    _server: Option<KafkaBroker>,
}

impl SharedKafka {
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
        let given = std::env::var("SIO_TEST_KAFKA_URL").ok().filter(|url| !url.is_empty());
        let found = match given {
            Some(url) => Self {
                url,
                origin: Origin::Url,
                _server: None,
            },
            None if docker_required() => {
                return Err("SIO_REQUIRE_DOCKER is set, but Kafka runs in no container".to_owned());
            }
            None => {
                let server = KafkaBroker::try_start(None).await?;
                Self {
                    url: server.url(),
                    origin: Origin::Local,
                    _server: Some(server),
                }
            }
        };
        eprintln!("tests use Kafka at {} ({:?})", found.url, found.origin);
        Ok(found)
    }
}

/// A Kafka server that belongs to one test, which may do to it what it likes. Dropping it kills it.
#[derive(Debug)]
pub struct KafkaBroker {
    port: u16,
    folder: TempDir,
    /// `None` while it is killed. The guard is first, so that it never kills a process that is not ours any more.
    running: Option<(Guard, Child)>,
}

impl KafkaBroker {
    /// Returns the Kafka that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// When there is none. The message says what to install.
    pub async fn shared() -> &'static SharedKafka {
        static SHARED: OnceCell<Result<SharedKafka, String>> = OnceCell::const_new();
        let find = || async {
            let search = RUNTIME.spawn(SharedKafka::find());
            search
                .await
                .unwrap_or_else(|error| Err(format!("the search for a Kafka failed: {error}")))
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
    /// When Kafka or Java is not installed or does not start.
    pub async fn start() -> Self {
        Self::try_start(None).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts a server behind a proxy. Clients that connect through the proxy are told to stay with it; `url` leads
    /// past it.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_behind_proxy() -> (Self, TcpProxy) {
        let target = free_port().unwrap_or_else(|why| panic!("{why}"));
        let proxy = TcpProxy::start(format!("127.0.0.1:{target}")).await;
        let proxied = Some((target, proxy.addr().port()));
        let broker = Self::try_start(proxied).await.unwrap_or_else(|why| panic!("{why}"));
        (broker, proxy)
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("kafka://{}", self.address())
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
            panic!("Kafka does not start again: {why}");
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

    /// Starts a server, with a second listener on the first of two ports that clients are told to find at the other.
    async fn try_start(proxied: Option<(u16, u16)>) -> Result<Self, String> {
        let mut why = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
            let mut broker = Self {
                port: free_port()?,
                folder,
                running: None,
            };
            broker
                .configure(proxied)
                .map_err(|error| format!("Kafka cannot be configured: {error}"))?;
            match broker.launch().await {
                Ok(()) => return Ok(broker),
                // Somebody else took the port in between: another one will do.
                Err(error) if error.contains("Address already in use") => why = error,
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    fn configure(&self, proxied: Option<(u16, u16)>) -> Result<(), String> {
        let template = home().join("formatted");
        if !template.exists() {
            return Err(INSTALL.to_owned());
        }
        let text = |error: std::io::Error| error.to_string();
        let data = self.folder.path().join("data");
        std::fs::create_dir(&data).map_err(text)?;
        for file in std::fs::read_dir(template).map_err(text)? {
            let file = file.map_err(text)?;
            std::fs::copy(file.path(), data.join(file.file_name())).map_err(text)?;
        }
        let (port, controller) = (self.port, free_port()?);
        let mut listeners = format!("PLAIN://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        let mut advertised = format!("PLAIN://127.0.0.1:{port}");
        if let Some((target, proxy)) = proxied {
            listeners += &format!(",PROXIED://127.0.0.1:{target}");
            advertised += &format!(",PROXIED://127.0.0.1:{proxy}");
        }
        let mut file = File::create(self.folder.path().join("server.properties")).map_err(text)?;
        let properties = include_str!("../../kafka/server.properties");
        writeln!(
            file,
            "{properties}listeners={listeners}\nadvertised.listeners={advertised}\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={}",
            data.display()
        )
        .map_err(text)
    }

    async fn launch(&mut self) -> Result<(), String> {
        let child = self.spawn()?;
        self.running = Some((Guard::kill(child.id()), child));
        let end = Instant::now() + PATIENCE;
        loop {
            let error = match answers(&self.address()).await {
                Ok(()) if self.has_ended() => "another server answers".to_owned(),
                Ok(()) => return warm_up(&self.url()).await,
                Err(error) => error,
            };
            if self.has_ended() || Instant::now() > end {
                self.kill();
                return Err(format!("{error}; Kafka's log:\n{}", self.log()));
            }
            sleep(LOOK).await;
        }
    }

    fn spawn(&self) -> Result<Child, String> {
        let log = self.open_log().map_err(|error| format!("no log for Kafka: {error}"))?;
        let errors = log.try_clone().map_err(|error| format!("no log for Kafka: {error}"))?;
        Command::new("java")
            // A quick start is worth more than quick code here.
            .args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"])
            .arg(home().join("libs/*"))
            .args(["kafka.Kafka", "server.properties"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => INSTALL.to_owned(),
                _ => format!("Java cannot be started: {error}"),
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

impl Drop for KafkaBroker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks a Kafka for a sign of life.
async fn answers(address: &str) -> Result<(), String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(API_VERSIONS).await?;
        stream.read_u32().await
    };
    match timeout(Duration::from_secs(2), ask).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Err(_) => Err(format!("{address} does not answer in time")),
    }
}

/// Has everything done once, which takes a Java process that has just started many times as long as later.
async fn warm_up(url: &str) -> Result<(), String> {
    let mut options = KafkaOptions::default();
    options.common.channel = "warm-up".to_owned();
    options.common.deadline = PATIENCE;
    options.common.backoff_base = LOOK;
    let warmed_up = async {
        let manager = KafkaManager::new(url, options)?;
        let mut subscription = manager.subscribe().await?;
        manager.publish("warm".into()).await?;
        subscription.recv().await;
        manager.close().await
    };
    warmed_up.await.map_err(|error: manager_api::Error| error.to_string())
}

/// Where `./test` puts Kafka.
fn home() -> PathBuf {
    let given = std::env::var_os("SIO_TEST_KAFKA_HOME").filter(|path| !path.is_empty());
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.test-env/kafka");
    given.map_or_else(own, PathBuf::from)
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
