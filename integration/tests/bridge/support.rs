//! A fleet of python-socketio and one of Node, with a client on each, and the command `sio bridge` between them.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::managers::on_channel;
use integration::node::{NodeAdapter, NodeOptions, NodeServer};
use integration::process::Process;
use integration::python::{PyManager, PyServer};
use integration::{DEADLINE, tools};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::process::Command;
use tokio::time::{Duration, Instant, sleep};

use crate::support::http;

/// Times that a test can wait for. A standby takes over after 3 s.
const TIMES: &str = r#"
[times]
beat = "100ms"
lease = "500ms"
publish = "2s"
takeover = "2600ms"
settle = "500ms"
request = "2s"
"#;

/// What is joined, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// python-socketio over Redis, and the classic adapter.
    RedisClassic,
    /// python-socketio over RabbitMQ, and the adapter for streams.
    RabbitStreams,
    /// As the last one, with the manager of python-socketio that finds a broker again which was started again.
    KombuStreams,
    /// python-socketio over Kafka, and the sharded adapter in its static mode.
    KafkaSharded,
    /// As the last one, with the mode that the adapter has by default.
    KafkaShardedDynamic,
}

impl Ends {
    fn python(self) -> PyManager {
        match self {
            Self::RedisClassic => PyManager::Redis,
            Self::RabbitStreams => PyManager::AioPika,
            Self::KombuStreams => PyManager::Kombu,
            Self::KafkaSharded | Self::KafkaShardedDynamic => PyManager::Kafka,
        }
    }

    fn node(self) -> (NodeAdapter, &'static str) {
        match self {
            Self::RedisClassic => (NodeAdapter::Classic, "node-classic"),
            Self::RabbitStreams | Self::KombuStreams => (NodeAdapter::Streams, "node-streams"),
            Self::KafkaSharded | Self::KafkaShardedDynamic => (NodeAdapter::Sharded, "node-sharded"),
        }
    }

    fn node_options(self, prefix: &str) -> NodeOptions {
        let mut options = NodeOptions::on(prefix);
        if self == Self::KafkaSharded {
            options.more = json!({ "subscriptionMode": "static" });
        }
        options
    }
}

/// Where a bridge is to find the fleets.
#[derive(Clone, Debug)]
pub(super) struct Places {
    pub(super) ends: Ends,
    pub(super) python_url: String,
    pub(super) node_url: String,
    /// The channel of one fleet, and the prefix of the other.
    pub(super) name: String,
}

impl Places {
    async fn find(ends: Ends) -> Self {
        let redis = RedisBroker::shared().await.url().to_owned();
        Self {
            ends,
            python_url: ends.python().shared_url().await.to_owned(),
            node_url: redis,
            name: unique_channel(),
        }
    }

    /// Returns the settings of a bridge.
    pub(super) fn settings(&self, more_of_python: &str) -> String {
        let Self {
            python_url,
            node_url,
            name,
            ..
        } = self;
        let (wire, stream) = match self.ends.node().1 {
            "node-streams" => ("node-streams", format!("wire_stream = \"{name}\"\n")),
            wire => (wire, String::new()),
        };
        format!(
            "name = \"{name}\"\nadmin_listen = \"127.0.0.1:0\"\n{TIMES}\n\
             [[side]]\nname = \"python\"\nurl = \"{python_url}\"\nchannel = \"{name}\"\n{more_of_python}\n\n\
             [[side]]\nname = \"node\"\nurl = \"{node_url}\"\nwire = \"{wire}\"\nwire_prefix = \"{name}\"\n\
             namespaces = [\"/\", \"/chat\"]\n{stream}"
        )
    }
}

/// A bridge in a process of its own. Dropping it kills it.
pub(super) struct BridgeProcess {
    process: Process,
    admin: SocketAddr,
    _settings: NamedTempFile,
}

impl BridgeProcess {
    pub(super) async fn start(places: &Places) -> Self {
        Self::start_with(places, "").await
    }

    /// Starts one with further settings of the side on the wire of python-socketio.
    pub(super) async fn start_with(places: &Places, more_of_python: &str) -> Self {
        let mut settings = NamedTempFile::new().unwrap();
        settings.write_all(places.settings(more_of_python).as_bytes()).unwrap();
        let mut command = Command::new(tools::sio());
        command.args(["-v", "bridge", "--config"]).arg(settings.path());
        let mut process = Process::spawn("sio bridge", command);
        let line = process
            .expect_line(DEADLINE, |line| line.starts_with("for operators"))
            .await;
        let admin = line.split("http://").nth(1).unwrap().split('/').next().unwrap();
        Self {
            admin: admin.parse().unwrap(),
            process,
            _settings: settings,
        }
    }

    async fn page(&self, path: &str) -> (u16, String) {
        let response = http::request(Ipv4Addr::LOCALHOST, self.admin, "GET", path, "", "").await;
        let response = response.unwrap();
        (response.status, response.body)
    }

    /// Waits until it is ready to forward, or to take over.
    pub(super) async fn until(&self, duty: &str) {
        let wanted = format!("ready: {duty}\n");
        self.until_ready(duty, |body| body.starts_with(&wanted)).await;
    }

    /// Waits until it is ready in any role.
    pub(super) async fn until_ready_again(&self) {
        self.until_ready("ready", |body| body.starts_with("ready: ")).await;
    }

    /// Waits until what its health says is as wanted, and returns it.
    pub(super) async fn until_ready(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let (_, body) = self.page("/health/ready").await;
            if is_wanted(&body) {
                return body;
            }
            assert!(Instant::now() < end, "not {what}: {body}{}", self.process.stderr());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns its diagnostics so far.
    pub(super) fn stderr(&self) -> String {
        self.process.stderr()
    }

    pub(super) async fn is_active(&self) -> bool {
        self.page("/health/ready").await.1.starts_with("ready: active\n")
    }

    /// Adds up the values of a metric.
    pub(super) async fn metric(&self, name: &str) -> f64 {
        let (_, page) = self.page("/metrics").await;
        let of_metric = page.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values = of_metric.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    }

    /// Ends it as a crash does.
    pub(super) async fn kill(mut self) {
        self.process.signal("KILL");
        self.process.wait(DEADLINE).await;
    }

    /// Ends it as a service manager does.
    pub(super) async fn stop(mut self) {
        self.process.signal("TERM");
        let status = self.process.wait(DEADLINE).await;
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}

/// The two fleets, each with a client in `/`.
pub(super) struct Fleets {
    pub(super) places: Places,
    pub(super) python: PyServer,
    pub(super) node: NodeServer,
    pub(super) python_client: RealClient,
    pub(super) python_id: String,
    pub(super) node_client: RealClient,
    pub(super) node_id: String,
}

impl Fleets {
    pub(super) async fn start(ends: Ends) -> Self {
        Self::start_at(Places::find(ends).await).await
    }

    /// Starts them on brokers of a test.
    pub(super) async fn start_at(places: Places) -> Self {
        let ends = places.ends;
        if ends.python() == PyManager::Kafka {
            // Makes the topic.
            let maker = on_channel(&places.python_url, &places.name);
            drop(maker.subscribe().await.unwrap());
            maker.close().await.unwrap();
        }
        let python = PyServer::start(ends.python(), &places.python_url, &places.name).await;
        let mut options = ends.node_options(&places.name);
        options.outlives_rejections = true;
        let mut node = NodeServer::start(ends.node().0, &places.node_url, &options).await;
        node.until_server_count("/", 1).await;
        let (python_client, python_id) = connected(Kind::Python, python.url()).await;
        let (node_client, node_id) = connected(Kind::Node, node.url()).await;
        Self {
            places,
            python,
            node,
            python_client,
            python_id,
            node_client,
            node_id,
        }
    }

    /// Starts the fleets with a bridge between them.
    pub(super) async fn joined(ends: Ends) -> (Self, BridgeProcess) {
        let mut fleets = Self::start(ends).await;
        let bridge = BridgeProcess::start(&fleets.places).await;
        bridge.until("active").await;
        fleets.node.until_server_count("/", 2).await;
        (fleets, bridge)
    }

    /// Puts both clients into a room.
    pub(super) async fn both_join(&mut self, room: &str) {
        for client in [&mut self.python_client, &mut self.node_client] {
            let joined = client.emit_with_ack("join", json!([room]), DEADLINE).await;
            assert_eq!(joined, Some(vec![json!(true)]));
        }
    }
}

pub(super) async fn connected(kind: Kind, url: &str) -> (RealClient, String) {
    let mut client = RealClient::spawn(kind).await;
    let id = client.connect(&ConnectOptions::to(url).only("websocket")).await;
    (client, id.unwrap())
}
