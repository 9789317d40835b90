//! Two servers in processes of their own, each with a connection to Redis that can be cut.

use std::net::SocketAddr;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::proxy::TcpProxy;
use integration::script::Act;
use serde_json::Value;
use tokio::time::Instant;

use crate::support::Node;

/// The server that lives as long as the script.
pub(super) const SURVIVOR: usize = 0;
/// The server that is killed and started again.
pub(super) const VICTIM: usize = 1;

/// What must be zero once all clients are gone.
const NOTHING: [&str; 10] = [
    "sessions",
    "clients",
    "rooms",
    "dynamic_namespaces",
    "pending_acks",
    "open_requests",
    "timers",
    "unjoined",
    "panics",
    "undecodable",
];

/// Looks in a row of which none shows less than those before: then what is on its way has ended.
const SAME: usize = 20;

/// The heap of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) bytes: u64,
    pub(super) blocks: u64,
}

pub(super) struct Cluster {
    channel: String,
    ways: [(TcpProxy, String); 2],
    nodes: [Option<Node>; 2],
    /// The tasks of a server without clients.
    least: u64,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let mut cluster = Self {
            channel,
            ways: [TcpProxy::before(&url).await, TcpProxy::before(&url).await],
            nodes: [None, None],
            least: u64::MAX,
        };
        cluster.start_node(SURVIVOR).await;
        cluster.start_node(VICTIM).await;
        cluster.until_servers_know_each_other().await;
        cluster.least = cluster.least_of(SURVIVOR, "tasks").await;
        cluster
    }

    async fn start_node(&mut self, at: usize) {
        let node = Node::start_for_scripts(&self.ways[at].1, &self.channel).await;
        self.nodes[at] = Some(node);
    }

    pub(super) async fn kill(&mut self) {
        if let Some(node) = self.nodes[VICTIM].take() {
            node.kill().await;
        }
    }

    pub(super) async fn restart(&mut self) {
        if self.nodes[VICTIM].is_none() {
            self.start_node(VICTIM).await;
        }
    }

    /// Cuts a server off from Redis, for a moment.
    pub(super) async fn cut(&self, at: usize) {
        let (proxy, _) = &self.ways[at];
        proxy.cut().await;
        proxy.restore();
    }

    /// Returns one of the servers that are there.
    pub(super) fn choose(&self, random: &mut fastrand::Rng) -> usize {
        // The number is drawn in any case, so that a script does not depend on what there is.
        let at = random.usize(0..2);
        if self.nodes[at].is_some() { at } else { SURVIVOR }
    }

    pub(super) fn address(&self, at: usize) -> SocketAddr {
        self.nodes[at].as_ref().expect("the server is there").address
    }

    pub(super) async fn act(&mut self, at: usize, act: &Act) {
        self.node(at).act(act).await;
    }

    /// Waits until nothing is left of clients, on any server, and nothing of servers that are gone.
    pub(super) async fn expect_nothing_left(&mut self) {
        for at in [SURVIVOR, VICTIM] {
            let least = self.least;
            let is_over = |report: &Value| {
                let is_empty = NOTHING.iter().all(|&name| report[name] == 0);
                is_empty && report["tasks"].as_u64().is_some_and(|tasks| tasks <= least)
            };
            self.node(at).until("nothing is left", is_over).await;
        }
        // The last, because a question that a busy server answers too late has it forgotten until it is heard again.
        self.until_servers_know_each_other().await;
    }

    /// A server that was killed is known until it has left a question without an answer; then it is forgotten.
    async fn until_servers_know_each_other(&mut self) {
        let end = Instant::now() + DEADLINE;
        loop {
            let mut is_right = true;
            for at in [SURVIVOR, VICTIM] {
                let node = self.node(at);
                is_right &= node.num_servers().await == Some(2) && node.report().await["servers"] == 1;
            }
            if is_right {
                return;
            }
            assert!(Instant::now() < end, "the servers do not know each other, or others");
        }
    }

    /// Returns what is on the heap of the server that lives as long as the script.
    pub(super) async fn held(&mut self) -> Held {
        Held {
            bytes: self.least_of(SURVIVOR, "live_bytes").await,
            blocks: self.least_of(SURVIVOR, "live_blocks").await,
        }
    }

    /// Returns the least of what a server reports under `name`, once that falls no more.
    async fn least_of(&mut self, at: usize, name: &str) -> u64 {
        let (mut least, mut same) = (u64::MAX, 0);
        let falls_no_more = |report: &Value| {
            let now = report[name].as_u64().unwrap();
            same = if now < least { 0 } else { same + 1 };
            least = least.min(now);
            same >= SAME
        };
        self.node(at).until("it falls no more", falls_no_more).await;
        least
    }

    /// Returns how many tasks a server has without clients.
    pub(super) fn least(&self) -> u64 {
        self.least
    }

    pub(super) async fn tasks(&mut self, at: usize) -> u64 {
        self.node(at).report().await["tasks"].as_u64().unwrap()
    }

    /// Stops both servers; no task of theirs may be left.
    pub(super) async fn stop(self) {
        for node in self.nodes.into_iter().flatten() {
            assert_eq!(node.stop().await, 0, "no task is left");
        }
    }

    fn node(&mut self, at: usize) -> &mut Node {
        self.nodes[at].as_mut().expect("the server is there")
    }
}
