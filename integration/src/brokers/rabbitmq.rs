//! RabbitMQ: one for all tests of a process, and servers of their own for tests that break them.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lapin::{Connection, ConnectionProperties};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

use super::container::{Container, Spec};
use super::guard::Guard;
use super::{Origin, RUNTIME, docker_required};
use crate::process::send_signal;

/// The image that is run unless `SIO_TEST_AMQP_IMAGE` names another.
const IMAGE: &str = "rabbitmq:3.13";
/// How long a server may take to answer: on a busy machine it boots for half a minute.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at what gives no sign of its own.
const LOOK: Duration = Duration::from_millis(20);
/// How many ports are tried before it is given up.
const TRIES: usize = 20;
/// Where packages put the server's scripts. The ones in the path change to a user of their own first.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

const INSTALL: &str = "no RabbitMQ for the tests: set SIO_TEST_AMQP_URL, or start Docker, or install rabbitmq-server \
     (Debian: apt-get install rabbitmq-server); ./test does that where it may";

/// The RabbitMQ that all tests of a process share. Tests keep apart by
/// [`unique_channel`](super::unique_channel), and leave it running.
#[derive(Debug)]
pub struct SharedRabbit {
    url: String,
    origin: Origin,
    _running: Running,
}

/// What keeps a shared RabbitMQ alive.
#[derive(Debug)]
enum Running {
    Elsewhere,
    Contained { _container: Box<Container> },
    Here { _server: Box<RabbitBroker> },
}

impl SharedRabbit {
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
        eprintln!("tests use RabbitMQ at {} ({:?})", found.url, found.origin);
        Ok(found)
    }

    async fn first_to_be_had() -> Result<Self, String> {
        if let Some(url) = given_url() {
            let answer = ping(&url)
                .await
                .map_err(|error| format!("SIO_TEST_AMQP_URL is set, but: {error}"));
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
        let server = RabbitBroker::try_start(&[]).await?;
        Ok(Self {
            url: server.url(),
            origin: Origin::Local,
            _running: Running::Here {
                _server: Box::new(server),
            },
        })
    }

    async fn contained() -> Result<Self, String> {
        let image = std::env::var("SIO_TEST_AMQP_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
        let spec = Spec {
            image: &image,
            port: 5672,
            ready: "Server startup complete",
            // The tests come from outside, where the default user is not let in unless told so.
            command: &[
                "sh",
                "-c",
                "RABBITMQ_LOGS=- RABBITMQ_SERVER_START_ARGS='-rabbit loopback_users []' exec rabbitmq-server",
            ],
        };
        let container = Container::start(&spec).await?;
        let url = format!("amqp://guest:guest@{}//", container.address);
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

/// A RabbitMQ server that belongs to one test, which may do to it what it likes. Dropping it kills it.
#[derive(Debug)]
pub struct RabbitBroker {
    port: u16,
    /// Where the node and `rabbitmqctl` meet: the name service's port and the node's own.
    distribution: (u16, u16),
    folder: TempDir,
    /// The Erlang name service of this server alone.
    names: Option<(Guard, Child)>,
    /// `None` while it is killed. The guard is first, so that it never kills a process that is not ours any more.
    running: Option<(Guard, u32)>,
    /// The script that started the server and ends with it.
    script: Option<Child>,
}

impl RabbitBroker {
    /// Returns the RabbitMQ that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// When there is none. The message says what to install.
    pub async fn shared() -> &'static SharedRabbit {
        static SHARED: OnceCell<Result<SharedRabbit, String>> = OnceCell::const_new();
        let find = || async {
            let search = RUNTIME.spawn(SharedRabbit::find());
            search
                .await
                .unwrap_or_else(|error| Err(format!("the search for a RabbitMQ failed: {error}")))
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
    /// When `rabbitmq-server` is not installed or does not start.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with further lines in its configuration, as `heartbeat = 2`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(lines: &[&str]) -> Self {
        Self::try_start(lines).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// Returns the URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("amqp://guest:guest@{}//", self.address())
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
        self.running.as_ref().expect("the server runs").1
    }

    /// Kills the server, as a crash does, and waits for its end.
    pub fn kill(&mut self) {
        if let Some((guard, pid)) = self.running.take() {
            drop(guard);
            // It may have ended by itself; either way it is gone when its script is.
            let _ = Command::new("kill")
                .args(["-KILL", &pid.to_string()])
                .stderr(Stdio::null())
                .status();
        }
        if let Some(mut script) = self.script.take() {
            let _ = script.wait();
        }
    }

    /// Kills the server if it runs, starts it again on the same port, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub async fn restart(&mut self) {
        self.kill();
        if let Err(why) = self.launch().await {
            panic!("RabbitMQ does not start again: {why}");
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

    /// Makes the server believe that it is out of memory: it reads from no connection that publishes. Returns once that is so.
    ///
    /// # Panics
    ///
    /// When `rabbitmqctl` fails.
    pub async fn raise_memory_alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.00000001"]).await;
    }

    /// Ends what [`raise_memory_alarm`](Self::raise_memory_alarm) began.
    ///
    /// # Panics
    ///
    /// When `rabbitmqctl` fails.
    pub async fn clear_memory_alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.8"]).await;
    }

    /// Runs `rabbitmqctl` and returns what it prints.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut command = self.command("rabbitmqctl");
        command.arg("--quiet").args(arguments);
        let output = tokio::process::Command::from(command).output().await;
        let output = output.expect("rabbitmqctl can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {text}{errors}");
        text
    }

    /// Returns what the server has logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    async fn try_start(lines: &[&str]) -> Result<Self, String> {
        if !Path::new(SCRIPTS).join("rabbitmq-server").exists() {
            return Err(INSTALL.to_owned());
        }
        let mut why = String::new();
        for _ in 0..TRIES {
            let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
            let [port, names, own] = free_ports()?;
            let mut broker = Self {
                port,
                distribution: (names, own),
                folder,
                names: None,
                running: None,
                script: None,
            };
            broker
                .configure(lines)
                .map_err(|error| format!("no configuration: {error}"))?;
            match broker.launch().await {
                Ok(()) => return Ok(broker),
                // Somebody else took a port in between: another one will do.
                Err(error) if error.contains("eaddrinuse") || error.contains("in use") => why = error,
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    fn configure(&self, lines: &[&str]) -> std::io::Result<()> {
        let port = self.port;
        let mut text = format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = info\n");
        // Tests need no room on the disk.
        text.push_str("disk_free_limit.absolute = 1MB\n");
        for line in lines {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(self.folder.path().join("rabbit.conf"), text)?;
        std::fs::write(self.folder.path().join("plugins"), "[].")
    }

    async fn launch(&mut self) -> Result<(), String> {
        if self.names.is_none() {
            let child = self.spawn("epmd").map_err(cannot_start)?;
            self.names = Some((Guard::kill(child.id()), child));
        }
        let pid_file = self.folder.path().join("pid");
        let _ = std::fs::remove_file(&pid_file);
        self.script = Some(self.spawn("rabbitmq-server").map_err(cannot_start)?);
        let end = Instant::now() + PATIENCE;
        loop {
            self.note_pid(&pid_file);
            let error = match ping(&self.url()).await {
                Ok(()) if self.running.is_some() => return Ok(()),
                Ok(()) => "another server answers".to_owned(),
                Err(error) => error,
            };
            if self.has_ended() || Instant::now() > end {
                self.kill();
                return Err(format!("{error}; rabbitmq-server's log:\n{}", self.log()));
            }
            sleep(LOOK).await;
        }
    }

    /// The server is a child of the script: it says itself which process it is.
    fn note_pid(&mut self, file: &Path) {
        let pid = std::fs::read_to_string(file).ok();
        let pid = pid.and_then(|text| text.trim().parse::<u32>().ok());
        if let (None, Some(pid)) = (&self.running, pid) {
            self.running = Some((Guard::kill(pid), pid));
        }
    }

    fn has_ended(&mut self) -> bool {
        let script = self.script.as_mut();
        script.is_none_or(|script| script.try_wait().is_ok_and(|status| status.is_some()))
    }

    fn spawn(&self, program: &str) -> std::io::Result<Child> {
        let log = self.open_log()?;
        let errors = log.try_clone()?;
        self.command(program)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
    }

    /// A program of the server's, in surroundings of its own: it meets no other node, and finds nothing of the system's server.
    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let (names, own) = self.distribution;
        let mut command = match program {
            "epmd" => Command::new(program),
            _ => Command::new(Path::new(SCRIPTS).join(program)),
        };
        command
            .current_dir(folder)
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", names.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", format!("sio-test-{}@localhost", self.port))
            .env("RABBITMQ_DIST_PORT", own.to_string())
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_LOGS", "-")
            // One scheduler is enough, and leaves the machine to the tests.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none");
        for (name, file) in [
            ("RABBITMQ_MNESIA_BASE", "db"),
            ("RABBITMQ_LOG_BASE", "logs"),
            ("RABBITMQ_CONFIG_FILE", "rabbit.conf"),
            ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
            ("RABBITMQ_PID_FILE", "pid"),
        ] {
            command.env(name, folder.join(file));
        }
        command
    }

    fn open_log(&self) -> std::io::Result<File> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
    }
}

impl Drop for RabbitBroker {
    fn drop(&mut self) {
        self.kill();
        if let Some((guard, mut names)) = self.names.take() {
            drop(guard);
            let _ = names.kill();
            let _ = names.wait();
        }
    }
}

fn cannot_start(error: std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => INSTALL.to_owned(),
        _ => format!("rabbitmq-server cannot be started: {error}"),
    }
}

/// Asks a RabbitMQ for a sign of life: a login.
///
/// # Errors
///
/// Why there is none.
pub async fn ping(url: &str) -> Result<(), String> {
    let address = url.rsplit('@').next().unwrap_or(url).trim_end_matches('/');
    // A port that nobody listens on is known at once; the client library takes its time and a thread for it.
    let reached = tokio::net::TcpStream::connect(address);
    let ask = async {
        reached.await.map_err(|error| error.to_string())?;
        let connected = Connection::connect(url, ConnectionProperties::default()).await;
        let connection = connected.map_err(|error| error.to_string())?;
        // It answers; how it takes the farewell is its own affair.
        let _ = connection.close(200, "bye".into()).await;
        Ok(())
    };
    match timeout(Duration::from_secs(10), ask).await {
        Ok(answer) => answer.map_err(|error: String| format!("RabbitMQ at {address} does not answer: {error}")),
        Err(_) => Err(format!("RabbitMQ at {address} does not answer in time")),
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
    std::env::var("SIO_TEST_AMQP_URL").ok().filter(|url| !url.is_empty())
}

/// Returns free ports outside the range that the system hands out: while the server is down, no outgoing connection may
/// take its port, nor a client that keeps trying connect to itself.
fn free_ports() -> Result<[u16; 3], String> {
    let seeds = uuid::Uuid::new_v4().into_bytes();
    let numbers = seeds.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let ports = numbers.map(|number| 15_000 + number % 15_000);
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let mut ports: Vec<u16> = ports.filter(free).collect();
    ports.sort_unstable();
    ports.dedup();
    match ports[..] {
        [first, second, third, ..] => Ok([first, second, third]),
        _ => Err("no free ports on 127.0.0.1".to_owned()),
    }
}
