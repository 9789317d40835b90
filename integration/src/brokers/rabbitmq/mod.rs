//! RabbitMQ: plain, and its flavours.

mod tls;

use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_trait::async_trait;
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use super::container::{Container, Spec};
use super::guard::Guard;
use super::private::{Kind, Private, free_ports, until_answers};
use super::{Contained, FOR_LOAD, Shared, shared};

pub use tls::RabbitTls;

/// The image that is run unless `SIO_TEST_AMQP_IMAGE` names another.
const IMAGE: &str = "rabbitmq:3.13";
/// The longest time until a server responds: on a very busy machine it boots for minutes.
const PATIENCE: Duration = Duration::from_secs(120);
/// The folder of the server's scripts in packages. Those in the path switch to another user first.
const SCRIPTS: &str = "/usr/lib/rabbitmq/bin";

/// A RabbitMQ server of a test's own. Its settings are lines of its configuration, as `heartbeat = 2`.
pub type RabbitBroker = Private<Rabbit>;

impl RabbitBroker {
    /// Returns the RabbitMQ that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// If it is not installed. The message says what to install.
    pub async fn shared() -> &'static Shared {
        shared::<Self>().await
    }

    /// Makes the server believe that it is out of memory: it reads from no connection that publishes. Returns once that is so.
    ///
    /// # Panics
    ///
    /// When `rabbitmqctl` fails.
    pub async fn raise_memory_alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.00000001"]).await;
    }

    /// Clears the alarm of [`raise_memory_alarm`](Self::raise_memory_alarm).
    ///
    /// # Panics
    ///
    /// When `rabbitmqctl` fails.
    pub async fn clear_memory_alarm(&self) {
        self.control(&["set_vm_memory_high_watermark", "0.8"]).await;
    }

    /// Runs `rabbitmqctl` and returns its output.
    ///
    /// # Panics
    ///
    /// When it fails.
    pub async fn control(&self, arguments: &[&str]) -> String {
        let mut command = self.kind().program("rabbitmqctl", self.folder());
        command.arg("--quiet").args(arguments);
        let output = tokio::process::Command::from(command).output().await;
        let output = output.expect("rabbitmqctl can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {text}{errors}");
        text
    }
}

/// `rabbitmq-server` as a private broker.
#[derive(Debug)]
pub struct Rabbit {
    port: u16,
    /// The ports by which `rabbitmqctl` finds the node: the name service's and the node's own.
    distribution: (u16, u16),
    is_for_load: bool,
    /// The Erlang name service of this server alone.
    names: Option<(Guard, Child)>,
}

#[async_trait]
impl Kind for Rabbit {
    const NAME: &'static str = "RabbitMQ";
    const URL_VARIABLE: &'static str = "SIO_TEST_AMQP_URL";
    const PATIENCE: Duration = PATIENCE;
    const INSTALL: &'static str = "no RabbitMQ for the tests: set SIO_TEST_AMQP_URL, or start Docker, or install \
         rabbitmq-server (Debian: apt-get install rabbitmq-server); ./test does that where it may";

    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String> {
        if !Path::new(SCRIPTS).join("rabbitmq-server").exists() {
            return Err(Self::INSTALL.to_owned());
        }
        let [port, names, own] = free_ports()?;
        let mut rabbit = Self {
            port,
            distribution: (names, own),
            is_for_load: settings.contains(&FOR_LOAD),
            names: None,
        };
        rabbit
            .configure(settings, folder)
            .map_err(|error| format!("RabbitMQ cannot be configured: {error}"))?;
        rabbit.start_names(folder).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Self::INSTALL.to_owned(),
            _ => format!("epmd cannot be started: {error}"),
        })?;
        Ok(rabbit)
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("amqp://guest:guest@{}//", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        self.program("rabbitmq-server", folder)
    }

    fn pid_file(&self) -> Option<&'static str> {
        Some("pid")
    }

    async fn ping(url: &str) -> Result<(), String> {
        ping(url).await
    }

    async fn start_contained() -> Option<Result<Contained, String>> {
        Some(contained().await)
    }
}

impl Rabbit {
    fn configure(&self, lines: &[&str], folder: &Path) -> std::io::Result<()> {
        let port = self.port;
        let mut text = format!("listeners.tcp.1 = 127.0.0.1:{port}\nlog.console = true\nlog.console.level = info\n");
        // Tests need no room on the disk.
        text.push_str("disk_free_limit.absolute = 1MB\n");
        for line in lines.iter().filter(|&&line| line != FOR_LOAD) {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(folder.join("rabbit.conf"), text)?;
        std::fs::write(folder.join("plugins"), "[].")
    }

    fn start_names(&mut self, folder: &Path) -> std::io::Result<()> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("names.log"))?;
        let errors = log.try_clone()?;
        let mut command = self.program("epmd", folder);
        let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn()?;
        self.names = Some((Guard::kill(child.id()), child));
        Ok(())
    }

    /// Returns a command of the server in an isolated environment: it sees no other node, and no file of the system's server.
    fn program(&self, program: &str, folder: &Path) -> Command {
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
            .env("RABBITMQ_LOGS", "-");
        if !self.is_for_load {
            // One scheduler is enough, and leaves the machine to the tests.
            command.env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+S 1:1 +sbwt none");
        }
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
}

impl Drop for Rabbit {
    fn drop(&mut self) {
        if let Some((guard, mut names)) = self.names.take() {
            drop(guard);
            let _ = names.kill();
            let _ = names.wait();
        }
    }
}

async fn contained() -> Result<Contained, String> {
    let image = std::env::var("SIO_TEST_AMQP_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
    let spec = Spec {
        image: &image,
        port: 5672,
        ready: Some("Server startup complete"),
        // The tests connect from outside the container, where the default user is refused unless configured otherwise.
        command: &[
            "sh",
            "-c",
            "RABBITMQ_LOGS=- RABBITMQ_SERVER_START_ARGS='-rabbit loopback_users []' exec rabbitmq-server",
        ],
    };
    let container = Container::start(&spec).await?;
    let url = format!("amqp://guest:guest@{}//", container.address);
    until_answers(PATIENCE, || ping(&url)).await?;
    Ok(Contained {
        url,
        _container: container,
    })
}

/// Checks whether a RabbitMQ is alive, by a login.
///
/// # Errors
///
/// The reason why there is none.
pub async fn ping(url: &str) -> Result<(), String> {
    let address = url.rsplit('@').next().unwrap_or(url).trim_end_matches('/');
    // A port without a listener is known at once; the client library takes its time and a thread for it.
    let reached = tokio::net::TcpStream::connect(address);
    let ask = async {
        reached.await.map_err(|error| error.to_string())?;
        let connected = Connection::connect(url, ConnectionProperties::default()).await;
        let connection = connected.map_err(|error| error.to_string())?;
        // It is alive; the outcome of closing does not matter.
        let _ = connection.close(200, "bye".into()).await;
        Ok(())
    };
    match timeout(Duration::from_secs(10), ask).await {
        Ok(answer) => answer.map_err(|error: String| format!("RabbitMQ at {address} does not answer: {error}")),
        Err(_) => Err(format!("RabbitMQ at {address} does not answer in time")),
    }
}
