//! Two servers in processes of their own, and emitters in this one, on one Redis.

use futures_util::future::join_all;
use integration::app::Load;
use integration::brokers::{RedisBroker, unique_channel};
use integration::process::Process;
use integration::{DEADLINE, tools};
use manager_api::{Emitter, ManagerOptions};
use manager_redis::{RedisManager, RedisOptions};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::task::JoinHandle;

use crate::support::{Client, Node, Numbered};

const ROOM: &str = "room";

/// Two servers on a channel of their own.
struct Cluster {
    url: String,
    channel: String,
    one: Node,
    two: Node,
}

impl Cluster {
    async fn start() -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let (one, two) = tokio::join!(Node::start(&url, &channel), Node::start(&url, &channel));
        Self { url, channel, one, two }
    }

    fn emitter(&self) -> Emitter {
        let options = RedisOptions {
            common: ManagerOptions {
                channel: self.channel.clone(),
                ..ManagerOptions::default()
            },
            ..RedisOptions::default()
        };
        Emitter::new(RedisManager::new(&self.url, options).unwrap())
    }

    /// Connects `count` clients to each server, all of them in `rooms`.
    async fn clients(&self, count: usize, rooms: &[&str]) -> Vec<Client> {
        let addresses = [self.one.address, self.two.address];
        let connects = (0..2 * count).map(|number| Client::connect(addresses[number % 2], rooms));
        join_all(connects).await
    }

    /// Tells all clients in the room that nothing more comes.
    ///
    /// Emitted once everything before was accepted, so that it is the last, regardless of its emitter.
    async fn end(&self) {
        self.emitter().to(ROOM).emit("end", &()).await.unwrap();
    }

    async fn expect_empty(&mut self) {
        self.one.expect_empty().await;
        self.two.expect_empty().await;
    }
}

fn load(origin: &str, count: u64) -> Load {
    Load {
        origin: origin.to_owned(),
        count,
        in_flight: 256,
        padding: 0,
    }
}

/// Reads in the background, as clients do, until the event `end`.
fn reading(clients: Vec<Client>) -> Vec<JoinHandle<Vec<Numbered>>> {
    let read = |mut client: Client| tokio::spawn(async move { client.numbers().await });
    clients.into_iter().map(read).collect()
}

/// Emits, and checks that everything was accepted.
async fn emit(load: Load, emitter: &Emitter) {
    for result in load.emit(&emitter.to(ROOM)).await {
        result.unwrap();
    }
}

/// Every origin's numbers are there once and in order, regardless of what came in between.
fn assert_complete(numbers: &[Numbered], origins: &[&str], count: u64) {
    for &origin in origins {
        let of_origin = numbers.iter().filter(|number| number.origin == origin);
        let numbers: Vec<_> = of_origin.map(|number| number.number).collect();
        if let Some(at) = (0..count as usize).find(|&at| numbers.get(at) != Some(&(at as u64))) {
            let around = &numbers[at.saturating_sub(3)..numbers.len().min(at + 3)];
            panic!("{origin}: number {at} is not where it belongs: {around:?}");
        }
    }
    assert_eq!(
        numbers.len() as u64,
        origins.len() as u64 * count,
        "nothing else, nothing twice"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_reach_every_member_once_and_in_order() {
    let mut cluster = Cluster::start().await;
    let outsider = cluster.clients(1, &[]).await;
    let members = reading(cluster.clients(3, &[ROOM]).await);
    emit(load("emitter", 10_000), &cluster.emitter()).await;
    cluster.end().await;
    for member in members {
        assert_complete(&member.await.unwrap(), &["emitter"], 10_000);
    }
    cluster.emitter().emit("end", &()).await.unwrap();
    for mut client in outsider {
        assert_eq!(client.numbers().await, []);
    }
    cluster.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_emitters_at_once_keep_each_its_own_order() {
    const ORIGINS: [&str; 4] = ["a", "b", "c", "d"];
    let mut cluster = Cluster::start().await;
    let members = reading(cluster.clients(2, &[ROOM]).await);
    let emitters = ORIGINS.map(|origin| (load(origin, 2_000), cluster.emitter()));
    let emits = emitters.map(|(load, emitter)| tokio::spawn(async move { emit(load, &emitter).await }));
    for emit in emits {
        emit.await.unwrap();
    }
    cluster.end().await;
    for member in members {
        assert_complete(&member.await.unwrap(), &ORIGINS, 2_000);
    }
    cluster.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_emit_at_once_reach_their_own_clients_and_each_others() {
    let mut cluster = Cluster::start().await;
    let members = reading(cluster.clients(2, &[ROOM]).await);
    let (one, two) = (load("one", 2_000), load("two", 2_000));
    let done = tokio::join!(cluster.one.emit(ROOM, &one), cluster.two.emit(ROOM, &two));
    for done in [done.0, done.1] {
        assert_eq!(done["accepted"], 2_000, "{done}");
    }
    cluster.end().await;
    for member in members {
        assert_complete(&member.await.unwrap(), &["one", "two"], 2_000);
    }
    for node in [&mut cluster.one, &mut cluster.two] {
        let report = node.report().await;
        assert_eq!(
            (&report["own"], &report["gaps"]),
            (&json!(2_000), &json!(0)),
            "{report}"
        );
    }
    cluster.expect_empty().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_of_several_rooms_gets_one_copy() {
    let mut cluster = Cluster::start().await;
    let emitter = cluster.emitter();
    let mut clients = cluster.clients(2, &["r", "s", "t"]).await;
    let own: Vec<_> = clients.iter().map(|client| client.sid.clone()).collect();
    for number in 0..100 {
        let several = emitter.broadcast().to_all(["r", "s", "t", "u"]).to_all(own.clone());
        several.emit("once", &number).await.unwrap();
    }
    for (client, sid) in clients.iter_mut().zip(&own) {
        emitter.to(sid.as_str()).to("t").emit("end", &()).await.unwrap();
        for number in 0..100 {
            assert_eq!(client.event::<(u32,)>("once").await, (number,));
        }
    }
    for client in &mut clients {
        // One `end` for each client in `t`, none of them twice for its own id.
        for _ in 0..own.len() {
            assert_eq!(client.packet().await, "42[\"end\"]");
        }
        assert_eq!(client.call("echo", "last").await, "[\"last\"]");
    }
    drop(clients);
    cluster.expect_empty().await;
}

/// Those who stay miss nothing because others come and go, and those who went leave nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_and_go_while_others_are_emitted_to() {
    let mut cluster = Cluster::start().await;
    let members = reading(cluster.clients(1, &[ROOM]).await);
    let emitter = cluster.emitter();
    let emitting = tokio::spawn(async move { emit(load("emitter", 3_000), &emitter).await });
    for _ in 0..10 {
        for mut client in cluster.clients(2, &[]).await {
            // The answer may be anywhere among the numbers; the client goes without a word, with packets on their way to it.
            client.send("420[\"join\",\"room\"]").await;
            client.packet().await;
        }
    }
    emitting.await.unwrap();
    cluster.end().await;
    for member in members {
        assert_complete(&member.await.unwrap(), &["emitter"], 3_000);
    }
    cluster.expect_empty().await;
}

/// From the shell: one event with arguments, then a pipe of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_binary_reaches_members_on_both_servers() {
    let mut cluster = Cluster::start().await;
    let mut members = cluster.clients(1, &[ROOM]).await;
    let mut outsider = Client::connect(cluster.one.address, &[]).await;

    let mut emit = sio(&cluster, &["emit", "-r", ROOM, "news", "{\"a\":[1,null]}", "\"ü\""]);
    let status = emit.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", emit.stderr());
    for member in &mut members {
        let news: (Value, String) = member.event("news").await;
        assert_eq!(news, (json!({ "a": [1, null] }), "ü".to_owned()));
    }

    let mut lines = sio(&cluster, &["emit", "--lines", "-r", ROOM, "line"]);
    for number in 0..100 {
        lines.send_line(&number.to_string()).await;
    }
    lines.close_stdin();
    let status = lines.wait(DEADLINE).await;
    assert!(status.success(), "{status}: {}", lines.stderr());
    for member in &mut members {
        for number in 0..100 {
            assert_eq!(member.event::<(u32,)>("line").await, (number,));
        }
    }
    cluster.emitter().emit("end", &()).await.unwrap();
    assert_eq!(outsider.packet().await, "42[\"end\"]");
    drop((members, outsider));
    cluster.expect_empty().await;
}

fn sio(cluster: &Cluster, arguments: &[&str]) -> Process {
    let mut command = Command::new(tools::sio());
    command
        .args(arguments)
        .args(["--url", &cluster.url, "--channel", &cluster.channel])
        .env_remove("SIO_URL")
        .env_remove("SIO_URL_FILE");
    Process::spawn("sio", command)
}
