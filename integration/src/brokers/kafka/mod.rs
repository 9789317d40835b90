//! Kafka: plain, and its flavours.
//!
//! A server of the tests' own is Apache Kafka's, from the jars that `./test` puts into `.test-env/kafka`: one node that is broker
//! and controller.

mod rights;
mod sasl;
mod tls;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use async_trait::async_trait;
use manager_api::ClientManager;
use manager_kafka::{KafkaManager, KafkaOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::container::{Container, Spec};
use super::guarded::{Entrance, Guarded, Ports};
use super::private::{Kind, Private, free_ports, until_answers};
use super::{Contained, FOR_LOAD, Shared, shared};
use crate::proxy::TcpProxy;

pub use rights::KafkaRights;
pub use sasl::KafkaSasl;
pub use tls::KafkaTls;

/// The image that is run unless `SIO_TEST_KAFKA_IMAGE` names another.
const IMAGE: &str = "apache/kafka:4.1.1";
/// The longest time until a server, a Java process on a busy machine, responds to its first request.
const PATIENCE: Duration = Duration::from_secs(120);
/// The request "which versions do you speak?", version 0, with its length in front: the only one that needs no state.
const API_VERSIONS: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
/// Settings of every server.
const PROPERTIES: &str = include_str!("../../../kafka/server.properties");

/// A Kafka server of a test's own. Its settings are lines of its properties, and
///
/// - `listener NAME PORT ADVERTISED`: a further listener of `server.properties`, on a port that clients are told to find at another;
/// - `joins CONTROLLER`: is no controller, but one of the brokers of the one at that port.
pub type KafkaBroker = Private<Kafka>;

impl KafkaBroker {
    /// Returns the Kafka that all tests of this process share; the first call finds or starts it.
    ///
    /// # Panics
    ///
    /// If it is not installed. The message says what to install.
    pub async fn shared() -> &'static Shared {
        shared::<Self>().await
    }

    /// Starts a server behind a proxy. Clients that connect through the proxy are told to stay with it; `url` leads
    /// past it.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_behind_proxy() -> (Self, TcpProxy) {
        let [target] = free_ports().unwrap_or_else(|why| panic!("{why}"));
        let proxy = TcpProxy::start(format!("127.0.0.1:{target}")).await;
        let listener = format!("listener PROXIED {target} {}", proxy.addr().port());
        (Self::start_with(&[&listener]).await, proxy)
    }

    /// Returns a URL whose port tells clients to find the broker at another one, where nothing listens.
    #[must_use]
    pub fn misadvertised_url(&self) -> String {
        format!("kafka://127.0.0.1:{}", self.kind().proxied.0)
    }

    /// Starts a second broker, number 2, in the cluster of this one.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_second(&self) -> Self {
        Self::start_with(&[&format!("joins {}", self.kind().controller)]).await
    }
}

/// Kafka's server as a private broker.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    /// The address of the controller of its cluster.
    controller: u16,
    /// A listener for a proxy, and where clients of the proxy are told to stay.
    proxied: (u16, u16),
    is_for_load: bool,
}

#[async_trait]
impl Kind for Kafka {
    const NAME: &'static str = "Kafka";
    const URL_VARIABLE: &'static str = "SIO_TEST_KAFKA_URL";
    const PATIENCE: Duration = PATIENCE;
    const INSTALL: &'static str = "no Kafka for the tests: set SIO_TEST_KAFKA_URL, or start Docker, or run \
         `./test --prepare`, which needs Java 17 and Maven (Debian: apt-get install openjdk-17-jre-headless maven)";

    fn prepare(settings: &[&str], folder: &Path) -> Result<Self, String> {
        let template = home().join("formatted");
        if !template.exists() {
            return Err(Self::INSTALL.to_owned());
        }
        let [port, own_controller, target, told] = free_ports()?;
        let line = format!("listener PROXIED {target} {told}");
        let has_line = settings.iter().any(|setting| setting.starts_with("listener PROXIED"));
        let own: &[&str] = if has_line { &[] } else { &[&line] };
        let settings = &[settings, own].concat();
        let joins = settings.iter().find_map(|setting| setting.strip_prefix("joins "));
        let joins = joins.and_then(|port| port.parse().ok());
        let controller = joins.unwrap_or(own_controller);
        let data = folder.join("data");
        copy(&template, &data)
            .and_then(|()| if joins.is_some() { renumber(&data) } else { Ok(()) })
            .and_then(|()| {
                let properties = properties(settings, port, controller, &data);
                std::fs::write(folder.join("server.properties"), properties)
            })
            .map_err(|error| format!("Kafka cannot be configured: {error}"))?;
        Ok(Self {
            port,
            controller,
            proxied: (target, told),
            is_for_load: settings.contains(&FOR_LOAD),
        })
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn url(&self) -> String {
        format!("kafka://{}", self.address())
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = Command::new("java");
        if self.is_for_load {
            command.arg("-Xmx1g");
        } else {
            // A quick start is worth more than quick code here.
            command.args(["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
        }
        command
            .arg("-cp")
            .arg(home().join("libs/*"))
            .args(["kafka.Kafka", "server.properties"])
            .current_dir(folder);
        command
    }

    async fn line(&self) -> (TcpProxy, String) {
        let (target, told) = self.proxied;
        let proxy = TcpProxy::start_on(told, format!("127.0.0.1:{target}")).await;
        (proxy, format!("kafka://127.0.0.1:{told}"))
    }

    async fn ping(url: &str) -> Result<(), String> {
        ping(url).await
    }

    async fn warm_up(&self) -> Result<(), String> {
        warm_up(&self.url()).await
    }

    async fn start_contained() -> Option<Result<Contained, String>> {
        Some(contained().await)
    }
}

fn copy(template: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for file in std::fs::read_dir(template)? {
        let file = file?;
        std::fs::copy(file.path(), to.join(file.file_name()))?;
    }
    Ok(())
}

/// Makes of the folder of node 1 one of node 2, which finds an id for the folder itself.
fn renumber(data: &Path) -> std::io::Result<()> {
    let file = data.join("meta.properties");
    let text = std::fs::read_to_string(&file)?.replace("node.id=1", "node.id=2");
    let kept = text.lines().filter(|line| !line.starts_with("directory.id="));
    std::fs::write(file, kept.collect::<Vec<_>>().join("\n"))
}

fn properties(settings: &[&str], port: u16, controller: u16, data: &Path) -> String {
    let mut listeners = format!("PLAIN://127.0.0.1:{port}");
    let mut advertised = format!("PLAIN://127.0.0.1:{port}");
    let mut lines = PROPERTIES.to_owned();
    if settings.iter().any(|setting| setting.starts_with("joins ")) {
        // Later settings take precedence.
        lines += "process.roles=broker\nnode.id=2\n";
    } else {
        listeners += &format!(",CONTROLLER://127.0.0.1:{controller}");
    }
    for setting in settings {
        match setting.split(' ').collect::<Vec<_>>()[..] {
            ["listener", name, port, told] => {
                listeners += &format!(",{name}://127.0.0.1:{port}");
                advertised += &format!(",{name}://127.0.0.1:{told}");
            }
            ["joins", _] => {}
            _ if *setting == FOR_LOAD => {}
            _ => lines += &format!("{setting}\n"),
        }
    }
    let data = data.display();
    format!(
        "{lines}listeners={listeners}\nadvertised.listeners={advertised}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\nlog.dirs={data}\n"
    )
}

/// Kafka tells its clients where to connect, and so has to wait until it is known what leads into its container.
async fn contained() -> Result<Contained, String> {
    let image = std::env::var("SIO_TEST_KAFKA_IMAGE").unwrap_or_else(|_| IMAGE.to_owned());
    let script = format!(
        "until [ -s /tmp/address ]; do sleep 0.1; done\ncat >/tmp/server.properties <<END\n{PROPERTIES}listeners=PLAIN://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093\n\
         advertised.listeners=PLAIN://$(cat /tmp/address)\ncontroller.quorum.voters=1@127.0.0.1:9093\nlog.dirs=/tmp/data\nEND\n\
         /opt/kafka/bin/kafka-storage.sh format --cluster-id sio-for-its-tests-0001 --config /tmp/server.properties &&\n\
         exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties"
    );
    let spec = Spec {
        image: &image,
        port: 9092,
        ready: None,
        command: &["sh", "-c", &script],
    };
    let container = Container::start(&spec).await?;
    let address = &container.address;
    let url = format!("kafka://{address}");
    // Moved into its place, so that it is never read half written.
    container
        .run(&format!("echo {address} >/tmp/new && mv /tmp/new /tmp/address"))
        .await?;
    until_answers(PATIENCE, || ping(&url)).await?;
    warm_up(&url).await?;
    Ok(Contained {
        url,
        _container: container,
    })
}

/// Starts a server with an entrance: two listeners that speak `protocol`, one for clients and one, behind a proxy, for those who come by it.
async fn open<E: Entrance<Server = Kafka>>(
    entrance: E,
    name: &str,
    protocol: &str,
    settings: &[&str],
) -> Result<Guarded<E>, String> {
    let [own, target, told] = free_ports()?;
    let listener = format!("listener {name} {own} {own}");
    let proxied = format!("listener {name}PROXIED {target} {told}");
    // The listeners of `server.properties`, and these.
    let protocols = format!(
        "listener.security.protocol.map=PLAIN:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,\
         {name}:{protocol},{name}PROXIED:{protocol}"
    );
    let settings = [&[&listener[..], &proxied, &protocols], settings].concat();
    let server = KafkaBroker::try_start_with(&settings).await?;
    let ports = Ports {
        own,
        proxied: Some((target, told)),
    };
    Ok(Guarded::new(server, ports, entrance))
}

/// Checks whether a Kafka, the first in the URL, is alive.
///
/// # Errors
///
/// The reason why there is none.
pub async fn ping(url: &str) -> Result<(), String> {
    let address = url.trim_start_matches("kafka://");
    let address = address.split([',', '?', '/']).next().unwrap_or(address);
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

/// Warms the server up: a Java process that has just started takes many times as long for the first request of each kind.
async fn warm_up(url: &str) -> Result<(), String> {
    let mut options = KafkaOptions::default();
    options.common.channel = "warm-up".to_owned();
    options.common.deadline = PATIENCE;
    options.common.backoff_base = Duration::from_millis(20);
    let warmed_up = async {
        let manager = KafkaManager::new(url, options)?;
        let mut subscription = manager.subscribe().await?;
        manager.publish("warm".into()).await?;
        subscription.recv().await;
        manager.close().await
    };
    warmed_up.await.map_err(|error: manager_api::Error| error.to_string())
}

/// Returns the folder that `./test` puts Kafka into: its jars are in `libs`.
#[must_use]
pub fn home() -> PathBuf {
    let given = std::env::var_os("SIO_TEST_KAFKA_HOME").filter(|path| !path.is_empty());
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.test-env/kafka");
    given.map_or_else(own, PathBuf::from)
}
