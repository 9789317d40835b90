//! Clients of two servers on one channel.

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::RealClient;
use serde_json::json;
use socket_io::Socket;
use socket_io::manager_api::Broadcast;

use super::Way;
use crate::served::Served;
use crate::support::eventually;

by_upgrade! {
    local as a_local_emit_stays_at_its_server,
    rooms as clients_of_another_server_are_found_moved_and_disconnected,
}

/// Two servers, with a client at each.
struct Two {
    one: Served,
    two: Served,
    here: RealClient,
    there: RealClient,
    /// The sockets of both.
    sockets: [Socket; 2],
}

impl Two {
    async fn start(way: Way) -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let mut one = Served::start_on_channel(&url, &channel).await;
        let mut two = Served::start_on_channel(&url, &channel).await;
        let ((here, socket), (there, other)) = tokio::join!(way.join(&mut one), way.join(&mut two));
        for io in [&one.io, &two.io] {
            eventually("the servers know each other", || io.metrics().hub.servers == 1).await;
        }
        Self {
            one,
            two,
            here,
            there,
            sockets: [socket, other],
        }
    }

    /// Returns the ids of those that an emit from the first server would go to.
    async fn found(&self, choice: impl FnOnce(Broadcast) -> Broadcast) -> Vec<String> {
        let choice = choice(self.one.io.broadcast()).timeout(DEADLINE);
        let gathered = choice.fetch_sockets().await.unwrap();
        assert!(gathered.missing_servers.is_empty());
        let mut ids: Vec<_> = gathered
            .found
            .iter()
            .map(|socket| socket.id.as_str().to_owned())
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Emits to the room `r` and to all, and returns how many members there were among the clients of the two servers.
    async fn num_members(&mut self) -> [usize; 2] {
        let io = &self.one.io;
        io.to("r").emit("members", &()).await.unwrap();
        io.emit("last", &()).await.unwrap();
        let here = self.here.messages_before("last").await.len();
        [here, self.there.messages_before("last").await.len()]
    }
}

async fn local(way: Way) {
    let mut cluster = Two::start(way).await;
    let io = &cluster.one.io;
    io.broadcast().local().emit("here", &1).await.unwrap();
    io.emit("everywhere", &2).await.unwrap();
    let here = cluster.here.messages_before("everywhere").await;
    assert_eq!((here.len(), here[0].name.as_str()), (1, "here"));
    assert_eq!(cluster.there.messages_before("everywhere").await, []);
}

async fn rooms(way: Way) {
    let mut cluster = Two::start(way).await;
    let [here, there] = cluster.sockets.clone().map(|socket| socket.id().as_str().to_owned());
    let mut both = [here.clone(), there.clone()];
    both.sort_unstable();
    assert_eq!(cluster.found(|all| all).await, both);

    let io = cluster.one.io.clone();
    io.to(there.as_str()).sockets_join(["r"]).await.unwrap();
    assert_eq!(cluster.found(|all| all.to("r")).await, [there.as_str()]);
    assert_eq!(cluster.num_members().await, [0, 1]);
    io.broadcast().sockets_join(["r"]).await.unwrap();
    assert_eq!(cluster.found(|all| all.to("r")).await, both);
    assert_eq!(cluster.num_members().await, [1, 1]);
    io.to(there.as_str()).sockets_leave(["r"]).await.unwrap();
    assert_eq!(cluster.num_members().await, [1, 0]);

    io.to(there.as_str()).disconnect_sockets().await.unwrap();
    let reason = cluster.there.disconnected(DEADLINE).await;
    assert!(reason.is_some_and(|reason| reason.ends_with("server disconnect")));
    assert_eq!(cluster.two.left().await.0.id().as_str(), there);
    assert_eq!(cluster.found(|all| all).await, [here]);
    let echo = cluster.here.emit_with_ack("echo", json!([1]), DEADLINE).await;
    assert_eq!(echo, Some(vec![json!(1)]));
}
