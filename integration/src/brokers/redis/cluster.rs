//! Redis Cluster.

use std::time::Duration;

use async_trait::async_trait;

use super::{RedisBroker, ask};
use crate::brokers::Flavour;
use crate::brokers::private::{free_ports, until_answers};
use crate::proxy::TcpProxy;

/// The longest time until the nodes are linked.
const PATIENCE: Duration = Duration::from_secs(60);
/// Milliseconds after whose half a node without an answer is connected to anew. What is published meanwhile is lost, so that it is longer than a
/// busy machine keeps a node waiting.
const NODE_TIMEOUT: &str = "60000";

/// Two nodes. Clients are let in while the nodes are linked: what one node takes while it has no link to the other, Redis itself
/// loses without a word.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: [RedisBroker; 2],
    doors: [TcpProxy; 2],
}

#[async_trait]
impl Flavour for RedisCluster {
    const NAME: &'static str = "Redis Cluster";
    const NO_FREEZE: Option<&'static str> = Some("nodes that stood still take each other for failed for a while");
    const NO_LINE: Option<&'static str> = Some("managers have connections to several nodes");

    async fn try_start() -> Result<Self, String> {
        // Without a choice a node would take the port 10,000 above its own for the others: one that the system gives to outgoing connections,
        // too, while the node is down.
        let bus_ports: [u16; 2] = free_ports()?;
        let nodes = [start_node(bus_ports[0]).await?, start_node(bus_ports[1]).await?];
        let doors = [
            TcpProxy::start(nodes[0].address()).await,
            TcpProxy::start(nodes[1].address()).await,
        ];
        let cluster = Self { nodes, doors };
        cluster.join(bus_ports[0]).await?;
        cluster.until_linked().await?;
        Ok(cluster)
    }

    fn url(&self) -> String {
        let [one, two] = &self.doors;
        format!("redis+cluster://{},{}", one.addr(), two.addr())
    }

    fn direct_urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisBroker::url).collect()
    }

    fn kill(&mut self) {
        self.nodes.iter_mut().for_each(RedisBroker::kill);
    }

    async fn restart(&mut self) {
        let [one, two] = &self.doors;
        tokio::join!(one.cut(), two.cut());
        let [first, second] = &mut self.nodes;
        tokio::join!(first.restart(), second.restart());
        if let Err(why) = self.until_linked().await {
            panic!("the nodes do not find each other again: {why}");
        }
        let [one, two] = &self.doors;
        one.restore();
        two.restore();
    }
}

impl RedisCluster {
    /// Makes a cluster of the nodes; the first has all the keys.
    async fn join(&self, first_bus_port: u16) -> Result<(), String> {
        let [first, second] = &self.nodes;
        let mut slots = ::redis::cmd("CLUSTER");
        slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        ask::<()>(&first.url(), &slots).await?;
        let address = first.address();
        let (host, port) = address.split_once(':').unwrap_or_default();
        let mut meet = ::redis::cmd("CLUSTER");
        meet.arg("MEET").arg(host).arg(port).arg(first_bus_port);
        ask::<()>(&second.url(), &meet).await
    }

    /// Waits until each node has a link to the other and from it.
    async fn until_linked(&self) -> Result<(), String> {
        for url in self.direct_urls() {
            until_answers(PATIENCE, || is_linked(&url)).await?;
        }
        Ok(())
    }
}

async fn start_node(bus_port: u16) -> Result<RedisBroker, String> {
    let bus_port = bus_port.to_string();
    let enable = ["--cluster-enabled", "yes"];
    let settings = ["--cluster-node-timeout", NODE_TIMEOUT, "--cluster-port", &bus_port];
    RedisBroker::try_start_with(&[&enable[..], &settings].concat()).await
}

async fn is_linked(node: &str) -> Result<(), String> {
    let state: String = ask(node, ::redis::cmd("CLUSTER").arg("INFO")).await?;
    let links: Vec<::redis::Value> = ask(node, ::redis::cmd("CLUSTER").arg("LINKS")).await?;
    match state.contains("cluster_state:ok") && links.len() >= 2 {
        true => Ok(()),
        false => Err(format!("{node} has {} links: {state}", links.len())),
    }
}
