//! `sio serve` as a server of a fleet on Node.

use embedded_broker::EmbeddedBroker;
use integration::brokers::unique_channel;
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target};
use integration::process::Process;
use integration::{DEADLINE, tools};
use serde_json::json;
use tokio::process::Command;

use super::rooms::until_subscribed_in;

/// A server of `sio serve`, and what it proposes to try.
struct Gateway {
    _process: Process,
    url: String,
    proposal: String,
}

impl Gateway {
    async fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(tools::sio());
        command.args(["serve", "--listen=0"]).args(arguments);
        for variable in ["SIO_URL", "SIO_URL_FILE", "SIO_CHANNEL", "SIO_WIRE", "RUST_LOG"] {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        let mut process = Process::spawn("sio serve", command);
        let (mut url, mut proposal) = (None, None);
        while url.is_none() || proposal.is_none() {
            let Some(line) = process.next_line(DEADLINE).await else {
                panic!("sio serve has ended: {}", process.stderr());
            };
            url = url.or(line.strip_prefix("page and server  ").map(str::to_owned));
            proposal = proposal.or(line.strip_prefix("try              sio ").map(str::to_owned));
        }
        let (url, proposal) = (url.unwrap(), proposal.unwrap());
        Self {
            _process: process,
            url: url.trim_end_matches('/').to_owned(),
            proposal,
        }
    }

    /// Does what it proposes.
    async fn try_it(&self, variables: &[(&str, &str)]) {
        let script = format!("\"$0\" {}", self.proposal);
        let mut command = Command::new("sh");
        command
            .args(["-c", &script])
            .arg(tools::sio())
            .env_remove("SIO_CHANNEL")
            .envs(variables.iter().copied());
        let done = command.output().await.unwrap();
        let stderr = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{}: {stderr}", self.proposal);
    }
}

/// A client in the room `lobby`.
async fn in_lobby(url: &str) -> RealClient {
    let mut client = RealClient::connected(Kind::Node, &ConnectOptions::to(url).only("websocket")).await;
    let joined = client.emit_with_ack("join", json!(["lobby"]), DEADLINE).await;
    assert!(joined.is_some());
    client
}

async fn it_is_a_server_of_the_fleet(adapter: NodeAdapter, wire: &str) {
    let (url, prefix) = (adapter.shared_url().await, unique_channel());
    let mut options = vec!["--url", url, "--wire-prefix", &prefix];
    if adapter == NodeAdapter::Streams {
        options.extend(["--wire-stream", &prefix]);
    }
    let gateway = Gateway::start(&options, &[("SIO_WIRE", wire)]).await;
    let mut node = NodeServer::start(adapter, url, &NodeOptions::on(&prefix)).await;
    node.until_server_count("/", 2).await;
    let mut clients = [in_lobby(&gateway.url).await, in_lobby(node.url()).await];
    if adapter == NodeAdapter::Sharded {
        until_subscribed_in("/", url, &prefix, "lobby", 2).await;
    }
    let lobby = Target::room("/", "lobby");
    node.emit(&lobby, "of node", json!([1])).await;
    // The URL of PostgreSQL has a login, and is not shown.
    gateway.try_it(&[("SIO_URL", url)]).await;
    for client in &mut clients {
        let mut names = [
            client.next_message(DEADLINE).await.name,
            client.next_message(DEADLINE).await.name,
        ];
        names.sort();
        assert_eq!(names, ["news", "of node"]);
    }
    assert_eq!(node.fetch_sockets(&lobby).await.len(), 2);
}

#[tokio::test]
async fn sio_serve_is_a_server_of_a_fleet_with_the_classic_adapter() {
    it_is_a_server_of_the_fleet(NodeAdapter::Classic, "node-classic").await;
}

#[tokio::test]
async fn sio_serve_is_a_server_of_a_fleet_with_the_sharded_adapter() {
    it_is_a_server_of_the_fleet(NodeAdapter::Sharded, "node-sharded").await;
}

#[tokio::test]
async fn sio_serve_is_a_server_of_a_fleet_with_streams() {
    it_is_a_server_of_the_fleet(NodeAdapter::Streams, "node-streams").await;
}

#[tokio::test]
async fn sio_serve_is_a_server_of_a_fleet_with_the_adapter_for_postgresql() {
    it_is_a_server_of_the_fleet(NodeAdapter::Postgres, "node-postgres").await;
}

#[tokio::test]
async fn the_embedded_broker_carries_the_classic_wire() {
    let broker = EmbeddedBroker::start("127.0.0.1:0").await.unwrap();
    let options = ["--wire=node-classic", "--url", broker.url()];
    let [one, two] = [Gateway::start(&options, &[]).await, Gateway::start(&options, &[]).await];
    let mut clients = [in_lobby(&one.url).await, in_lobby(&two.url).await];
    one.try_it(&[]).await;
    for client in &mut clients {
        assert_eq!(client.next_message(DEADLINE).await.name, "news");
    }
}
