//! The rooms of a server of ours among those on Node with the sharded adapter, in each mode of subscription.

use std::collections::BTreeSet;
use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::RealClient;
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target};
use manager_redis::{RedisManager, RedisOptions};
use node_wire::{NodeLimits, NodeWire, SubscriptionMode};
use serde_json::json;
use socket_io::SocketIo;
use socket_io::manager_api::topics::{Topic, Topics};
use socket_io::manager_api::{Room, Sid};
use tokio::time::{Instant, sleep};

use super::member::{connected, start};
use crate::redis::server::Server;
use crate::redis::topics::three_nodes::ThreeNodes;

const MODES: [(&str, SubscriptionMode); 3] = [
    ("static", SubscriptionMode::Static),
    ("dynamic", SubscriptionMode::Dynamic),
    ("dynamic-private", SubscriptionMode::DynamicPrivate),
];

/// Waits until so many servers have subscribed to the channel of a room of `/chat`.
pub(super) async fn until_subscribed(url: &str, prefix: &str, room: &str, count: u64) {
    until_subscribed_in("/chat", url, prefix, room, count).await;
}

/// Waits until so many servers have subscribed to the channel of a room.
pub(super) async fn until_subscribed_in(namespace: &str, url: &str, prefix: &str, room: &str, count: u64) {
    let manager = RedisManager::new(url, RedisOptions::default()).unwrap();
    let topic = Topic::sharded(format!("{prefix}#{namespace}#{room}#"));
    let subscribed = async { while manager.count_subscribers(&topic).await.unwrap() != count {} };
    let is_so = tokio::time::timeout(DEADLINE, subscribed).await;
    is_so.unwrap_or_else(|_| panic!("not {count} subscribers of the room {room}"));
}

/// The rooms of a client of ours are reached by a server on Node: names of any kind.
async fn rooms_of_any_name_are_reached(url: &str, (name, mode): (&str, SubscriptionMode)) {
    let prefix = unique_channel();
    let mut options = NodeOptions::on(&prefix);
    options.more = json!({ "subscriptionMode": name });
    let mut node = NodeServer::start(NodeAdapter::Sharded, url, &options).await;
    let wire = NodeWire::sharded().prefix(&prefix).subscription_mode(mode);
    let (ours, address) = start(url, wire).await;
    let mut client = connected(&address).await;
    node.until_server_count("/chat", 2).await;
    let chat = ours.namespace("/chat");
    let sid = chat.to("room").fetch_sockets().await.unwrap().found[0].id.to_string();

    let rooms = [
        json!("room"),
        json!("x".repeat(20)),
        json!("ü".repeat(20)),
        json!(5),
        json!("a#b#"),
    ];
    for room in rooms.iter().chain([&json!(sid)]) {
        let as_room = Room::from_json(&room.to_string()).unwrap();
        chat.to(&*sid).local().sockets_join([as_room]).await.unwrap();
        let as_text = room.as_str().map_or_else(|| room.to_string(), str::to_owned);
        let (is_own, is_static) = (*room == sid, mode == SubscriptionMode::Static);
        let has_channel = !is_static && (!is_own || mode == SubscriptionMode::DynamicPrivate);
        until_subscribed(url, &prefix, &as_text, u64::from(has_channel)).await;
        let target = Target::rooms("/chat", vec![room.clone()]);
        node.emit(&target, "of node", json!([room])).await;
        let message = client.next_message(DEADLINE).await;
        assert_eq!(
            (&*message.name, message.args),
            ("of node", vec![room.clone()]),
            "{name}"
        );
        // Events of ours reach servers in each mode.
        chat.to(&*sid).emit("of ours", &()).await.unwrap();
        assert_eq!(client.next_message(DEADLINE).await.name, "of ours");
    }
    // A room that it has left, then one that it is in.
    chat.to(&*sid).local().sockets_leave(["room"]).await.unwrap();
    until_subscribed(url, &prefix, "room", 0).await;
    node.emit(&Target::room("/chat", "room"), "not for it", json!([])).await;
    node.emit(&Target::room("/chat", "a#b#"), "for it", json!([])).await;
    assert_eq!(client.next_message(DEADLINE).await.name, "for it");
}

#[tokio::test]
async fn rooms_of_any_name_are_reached_in_each_mode() {
    let url = RedisBroker::shared().await.url();
    for mode in MODES {
        rooms_of_any_name_are_reached(url, mode).await;
    }
}

#[tokio::test]
async fn rooms_of_any_name_are_reached_on_a_redis_cluster() {
    let cluster = ThreeNodes::start().await;
    rooms_of_any_name_are_reached(&cluster.url_of(1), MODES[1]).await;
}

/// Clients of a server of ours, and the rooms that they are in.
struct Wanderers {
    ours: SocketIo,
    clients: Vec<(RealClient, Sid, BTreeSet<u8>)>,
    prefix: String,
}

impl Wanderers {
    async fn start(url: &str, limits: NodeLimits) -> Self {
        let prefix = unique_channel();
        let wire = NodeWire::sharded().prefix(&prefix).limits(limits);
        let (ours, address) = start(url, wire).await;
        let mut clients = Vec::new();
        for _ in 0..3 {
            let client = connected(&address).await;
            let all = ours.namespace("/chat").to("room").fetch_sockets().await.unwrap().found;
            let known = |sid: &Sid| clients.iter().any(|(_, other, _)| other == sid);
            let sid = all.into_iter().map(|socket| socket.id).find(|sid| !known(sid)).unwrap();
            clients.push((client, sid, BTreeSet::new()));
        }
        Self { ours, clients, prefix }
    }

    /// A random client enters or leaves a random room.
    async fn step(&mut self, num_rooms: u8) {
        let number = fastrand::usize(..self.clients.len());
        let (_, sid, rooms) = &mut self.clients[number];
        let (room, to) = (
            fastrand::u8(..num_rooms),
            self.ours.namespace("/chat").to(sid.as_str()).local(),
        );
        let name = format!("wandering {room}");
        match rooms.remove(&room) {
            true => to.sockets_leave([name]).await.unwrap(),
            false => {
                rooms.insert(room);
                to.sockets_join([name]).await.unwrap();
            }
        }
    }

    /// The names of the channels that the server is to be subscribed to.
    fn channels(&self) -> BTreeSet<String> {
        let rooms: BTreeSet<_> = self.clients.iter().flat_map(|(_, _, rooms)| rooms).collect();
        let rooms = rooms.iter().map(|room| format!("wandering {room}"));
        let rooms = rooms.chain(self.clients.first().map(|_| "room".to_owned()));
        rooms.map(|room| format!("{}#/chat#{room}#", self.prefix)).collect()
    }

    /// Waits until the channels of rooms in Redis are the expected ones; those of the namespaces come in addition.
    async fn until_channels(&self, servers: &[Server], expected: &BTreeSet<String>) {
        let (base, list) = (
            format!("{}#/chat#", self.prefix),
            redis::cmd("PUBSUB")
                .arg("SHARDCHANNELS")
                .arg(format!("{}#*", self.prefix))
                .to_owned(),
        );
        let until = Instant::now() + DEADLINE;
        loop {
            let mut found = BTreeSet::new();
            for server in servers {
                found.extend(server.command::<Vec<String>>(&list).await.unwrap());
            }
            let is_of_room = |name: &&String| name.strip_prefix(&base).is_some_and(|rest| !rest.is_empty());
            // The channel of responses ends in an id of 16 digits.
            let is_id = |name: &&String| name.len() == base.len() + 17 && !name.contains("wander");
            let rooms: BTreeSet<_> = found
                .iter()
                .filter(|name| is_of_room(name) && !is_id(name))
                .cloned()
                .collect();
            if rooms == *expected {
                assert!(found.contains(&base), "{found:?}");
                return;
            }
            assert!(Instant::now() < until, "{rooms:?} instead of {expected:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// How often clients enter or leave a room in one go: more with `SIO_TEST_REPEATS`.
fn num_steps() -> usize {
    let repeats = std::env::var("SIO_TEST_REPEATS")
        .ok()
        .and_then(|text| text.parse::<usize>().ok());
    1_000 * repeats.unwrap_or(1)
}

async fn the_channels_are_those_of_the_rooms_with_members(url: &str, servers: &[Server]) {
    let mut wanderers = Wanderers::start(url, NodeLimits::default()).await;
    for _ in 0..3 {
        for _ in 0..num_steps() {
            wanderers.step(200).await;
        }
        wanderers.until_channels(servers, &wanderers.channels()).await;
    }
    let kill = redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").to_owned();
    for server in servers {
        server.command::<usize>(&kill).await.unwrap();
        for _ in 0..num_steps() {
            wanderers.step(200).await;
        }
    }
    wanderers.until_channels(servers, &wanderers.channels()).await;
    wanderers.clients.clear();
    wanderers.until_channels(servers, &BTreeSet::new()).await;
}

#[tokio::test]
async fn after_random_joins_and_leaves_the_channels_are_those_of_the_rooms_with_members() {
    let server = Server::start().await;
    the_channels_are_those_of_the_rooms_with_members(&server.url(), std::slice::from_ref(&server)).await;
}

#[tokio::test]
async fn after_random_joins_and_leaves_the_channels_are_on_the_nodes_of_a_redis_cluster() {
    let cluster = ThreeNodes::start().await;
    the_channels_are_those_of_the_rooms_with_members(&cluster.url_of(0), &cluster.nodes).await;
}

#[tokio::test]
async fn more_rooms_than_the_limit_are_reported_as_a_gap() {
    let server = Server::start().await;
    let mut limits = NodeLimits::default();
    limits.max_rooms = 1;
    let mut wanderers = Wanderers::start(&server.url(), limits).await;
    assert_eq!(wanderers.ours.metrics().hub.gaps, 0);
    wanderers.step(1).await;
    let until = Instant::now() + DEADLINE;
    while wanderers.ours.metrics().hub.gaps == 0 {
        assert!(Instant::now() < until, "no gap");
        sleep(Duration::from_millis(10)).await;
    }
    let room = format!("{}#/chat#room#", wanderers.prefix);
    wanderers
        .until_channels(std::slice::from_ref(&server), &BTreeSet::from([room]))
        .await;
    // The other one takes its place.
    wanderers
        .ours
        .namespace("/chat")
        .to("room")
        .local()
        .sockets_leave(["room"])
        .await
        .unwrap();
    let room = format!("{}#/chat#wandering 0#", wanderers.prefix);
    wanderers
        .until_channels(std::slice::from_ref(&server), &BTreeSet::from([room]))
        .await;
}
