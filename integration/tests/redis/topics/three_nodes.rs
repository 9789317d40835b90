//! A Redis Cluster of three nodes, of which each owns a third of the slots.

use super::super::flavours::{server_ok, until_reply};
use super::super::server::Server;

pub(crate) struct ThreeNodes {
    pub(crate) nodes: [Server; 3],
}

impl ThreeNodes {
    pub(crate) async fn start() -> Self {
        let node = || Server::start_with(&["--cluster-enabled", "yes"]);
        let (one, two, three) = tokio::join!(node(), node(), node());
        let cluster = Self {
            nodes: [one, two, three],
        };
        for (index, slots) in [(0, 5460), (5461, 10_922), (10_923, 16_383)].into_iter().enumerate() {
            let node = &cluster.nodes[index];
            server_ok(node, redis::cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(index + 1)).await;
            server_ok(
                node,
                redis::cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(slots.0).arg(slots.1),
            )
            .await;
        }
        for node in &cluster.nodes[1..] {
            let first = cluster.nodes[0].port;
            server_ok(node, redis::cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(first)).await;
        }
        for node in &cluster.nodes {
            for known in ["cluster_state:ok", "cluster_known_nodes:3", "cluster_slots_ok:16384"] {
                until_reply(node, redis::cmd("CLUSTER").arg("INFO"), known).await;
            }
        }
        cluster
    }

    /// The URL of one node only.
    pub(crate) fn url_of(&self, index: usize) -> String {
        format!("redis+cluster://127.0.0.1:{}", self.nodes[index].port)
    }

    pub(crate) async fn id_of(&self, index: usize) -> String {
        let id = self.nodes[index].command(redis::cmd("CLUSTER").arg("MYID")).await;
        id.unwrap()
    }

    pub(crate) async fn slot_of(&self, key: &str) -> u16 {
        let slot = self.nodes[0]
            .command(redis::cmd("CLUSTER").arg("KEYSLOT").arg(key))
            .await;
        slot.unwrap()
    }

    /// The node of a slot.
    pub(crate) fn owner_of(&self, slot: u16) -> usize {
        usize::from(slot > 5460) + usize::from(slot > 10_922)
    }

    /// Moves a slot with its keys, as `redis-cli --cluster reshard` does; calls `between` while it is moving.
    pub(crate) async fn move_slot(&self, slot: u16, from: usize, to: usize, between: impl Future<Output = ()>) {
        let set = |state: &'static str, id: String| {
            redis::cmd("CLUSTER")
                .arg("SETSLOT")
                .arg(slot)
                .arg(state)
                .arg(id)
                .to_owned()
        };
        let ids = [self.id_of(from).await, self.id_of(to).await];
        server_ok(&self.nodes[to], &set("IMPORTING", ids[0].clone())).await;
        server_ok(&self.nodes[from], &set("MIGRATING", ids[1].clone())).await;
        let keys: Vec<String> = self.nodes[from]
            .command(redis::cmd("CLUSTER").arg("GETKEYSINSLOT").arg(slot).arg(1000))
            .await
            .unwrap();
        if !keys.is_empty() {
            let mut migrate = redis::cmd("MIGRATE");
            migrate
                .arg("127.0.0.1")
                .arg(self.nodes[to].port)
                .arg("")
                .arg(0)
                .arg(10_000)
                .arg("KEYS")
                .arg(&keys);
            server_ok(&self.nodes[from], &migrate).await;
        }
        between.await;
        for node in [to, from, 3 - to - from] {
            server_ok(&self.nodes[node], &set("NODE", ids[1].clone())).await;
        }
    }
}
