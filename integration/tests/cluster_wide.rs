//! Cluster-wide requests: several servers on one Redis, one of python-socketio among them.

use std::time::Duration;

use integration::brokers::{RedisBroker, unique_channel};
use integration::client::ConnectOptions;
use integration::client::{Kind, RealClient};
use integration::python::{PyManager, PyServer};
use integration::{DEADLINE, managers};
use manager_api::Emitter;
use manager_api::cluster::Gathered;
use serde_json::json;
use socket_io::SocketIo;
use socket_io::manager_api::Room;
use socket_io::manager_api::cluster::{RemoteSocket, ServerEvent};

use crate::served::Served;
use crate::support::{Client, eventually};

/// The wait for servers and clients that are known not to respond; the others respond within it, also on a busy machine.
const SHORT: Duration = Duration::from_secs(5);

/// Two servers that know each other, and an emitter on their channel.
struct Two {
    url: String,
    channel: String,
    one: Served,
    two: Served,
    emitter: Emitter,
}

impl Two {
    async fn start() -> Self {
        let (url, channel) = (RedisBroker::shared().await.url().to_owned(), unique_channel());
        let one = Served::start_on_channel(&url, &channel).await;
        let two = Served::start_on_channel(&url, &channel).await;
        let emitter = Emitter::new(managers::on_channel(&url, &channel));
        let two = Self {
            url,
            channel,
            one,
            two,
            emitter,
        };
        for io in [&two.one.io, &two.two.io] {
            know(io, 1).await;
        }
        two
    }
}

/// Waits until a server knows `count` others.
async fn know(io: &SocketIo, count: u64) {
    eventually("the servers know each other", || io.metrics().hub.servers == count).await;
}

fn ids(gathered: &Gathered<Vec<RemoteSocket>>) -> Vec<&str> {
    let mut ids: Vec<_> = gathered.found.iter().map(|socket| socket.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// Answers the next event, which must want it, with `["yes"]`.
async fn answer(client: &mut Client) {
    let packet = client.packet().await;
    let id: String = packet[2..].chars().take_while(char::is_ascii_digit).collect();
    assert!(packet.starts_with("42") && !id.is_empty(), "{packet}");
    client.send(&format!("43{id}[\"yes\"]")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_two_servers_is_listed_counted_and_moved() {
    let cluster = Two::start().await;
    let mut a = Client::connect(cluster.one.address, &["r"]).await;
    let b = Client::connect(cluster.two.address, &["r", "s"]).await;
    let _outside = Client::connect(cluster.two.address, &[]).await;
    let mut both = [a.sid.as_str(), b.sid.as_str()];
    both.sort_unstable();
    for io in [cluster.one.io.broadcast(), cluster.emitter.broadcast()] {
        let room = || io.clone().to("r").timeout(DEADLINE);
        let all = room().fetch_sockets().await.unwrap();
        assert_eq!(ids(&all), both);
        assert!(all.missing_servers.is_empty());
        let of_b = all.found.iter().find(|socket| socket.id.as_str() == b.sid).unwrap();
        assert_eq!(of_b.rooms, [Room::from(b.sid.as_str()), "r".into(), "s".into()]);
        assert_eq!(of_b.server, *cluster.two.io.server_id());
        assert_eq!(of_b.transport.as_deref(), Some("websocket"));
        assert!(of_b.connected_for.is_some_and(|time| time < DEADLINE), "{of_b:?}");
        assert_eq!(room().except("s").count_sockets().await.unwrap().found, 1);
    }
    assert_eq!(cluster.emitter.servers(DEADLINE).await.unwrap().found.len(), 2);

    cluster.two.io.to("r").sockets_join(["t"]).await.unwrap();
    // Asked over the same channel after the move: it has been carried out when the answer comes.
    let moved = cluster.two.io.to("t").timeout(DEADLINE).fetch_sockets().await.unwrap();
    assert_eq!(ids(&moved), both);
    cluster
        .two
        .io
        .to("t")
        .skip(b.sid.as_str())
        .disconnect_sockets()
        .await
        .unwrap();
    assert_eq!(a.packet().await, "41");
    let left = cluster.one.io.to("t").timeout(DEADLINE).fetch_sockets().await.unwrap();
    assert_eq!(ids(&left), [b.sid.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_counts_who_was_handed_an_event_and_rooms_and_servers_are_listed() {
    let cluster = Two::start().await;
    let mut clients = [
        Client::connect(cluster.one.address, &["r"]).await,
        Client::connect(cluster.two.address, &["r", "s"]).await,
    ];
    let _outside = Client::connect(cluster.two.address, &[]).await;
    for io in [cluster.one.io.broadcast(), cluster.emitter.broadcast()] {
        let receipt = io.clone().to("r").timeout(DEADLINE).emit_with_receipt("e", &1);
        let receipt = receipt.await.unwrap();
        assert_eq!((receipt.num_clients(), receipt.servers.len()), (2, 2), "{receipt:?}");
        for client in &mut clients {
            assert_eq!(client.packet().await, "42[\"e\",1]");
        }
        let empty = io
            .to("nowhere")
            .timeout(DEADLINE)
            .emit_with_receipt("e", &1)
            .await
            .unwrap();
        assert_eq!((empty.num_clients(), empty.servers.len()), (0, 2), "{empty:?}");
    }
    let rooms = cluster.emitter.rooms("/", "", DEADLINE).await.unwrap().found;
    let rooms: Vec<_> = rooms.iter().map(|room| (room.room.as_str(), room.clients)).collect();
    assert_eq!(rooms, [("r", 2), ("s", 1)]);
    let servers = cluster.two.io.servers(DEADLINE).await.unwrap().found;
    let mut counts: Vec<_> = servers.iter().map(|server| server.status.clients).collect();
    counts.sort_unstable();
    assert_eq!(counts, [1, 2], "{servers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collecting_ends_with_the_last_answer_and_names_clients_and_servers_that_gave_none() {
    let cluster = Two::start().await;
    let mut a = Client::connect(cluster.one.address, &["r"]).await;
    let mut b = Client::connect(cluster.two.address, &["r"]).await;
    let ask = |timeout| tokio::spawn(cluster.one.io.to("r").timeout(timeout).emit_and_collect("ready?", &()));

    let hour = ask(Duration::from_secs(3_600));
    tokio::join!(answer(&mut a), answer(&mut b));
    let report = tokio::time::timeout(DEADLINE, hour).await.unwrap().unwrap().unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(report.acks.len(), 2);

    let silent = ask(SHORT);
    answer(&mut a).await;
    let report = silent.await.unwrap().unwrap();
    assert_eq!((report.acks.len(), report.missing_servers.len()), (1, 0));
    assert_eq!(
        report
            .missing_clients
            .iter()
            .map(|sid| sid.as_str())
            .collect::<Vec<_>>(),
        [b.sid.as_str()]
    );

    // One that leaves is not waited for.
    assert!(b.packet().await.starts_with("42"));
    let left = ask(Duration::from_secs(3_600));
    answer(&mut a).await;
    assert!(b.packet().await.starts_with("42"));
    let gone = b.sid.clone();
    drop(b);
    let report = tokio::time::timeout(DEADLINE, left).await.unwrap().unwrap().unwrap();
    assert_eq!(
        report
            .missing_clients
            .iter()
            .map(|sid| sid.as_str())
            .collect::<Vec<_>>(),
        [gone.as_str()]
    );

    // A server that was killed is named once, and then waited for no more.
    let dead = cluster.two.io.server_id().clone();
    cluster.two.kill().await;
    let named = cluster.one.io.to("r").timeout(SHORT).count_sockets().await.unwrap();
    assert_eq!((named.found, named.missing_servers), (1, vec![dead]));
    let count = cluster
        .one
        .io
        .to("r")
        .timeout(Duration::from_secs(3_600))
        .count_sockets();
    let count = tokio::time::timeout(DEADLINE, count).await.unwrap().unwrap();
    assert_eq!((count.found, count.missing_servers), (1, vec![]));
    // Another takes its place, and is known without being asked for.
    let three = Served::start_on_channel(&cluster.url, &cluster.channel).await;
    know(&cluster.one.io, 1).await;
    three.shut_down().await;
    know(&cluster.one.io, 0).await;
    let metrics = cluster.one.io.metrics().hub;
    assert_eq!((metrics.pending_acks, metrics.open_requests), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_send_each_other_events_and_answer_them() {
    let cluster = Two::start().await;
    for io in [&cluster.one.io, &cluster.two.io] {
        io.on_server_event("add", async |_: SocketIo, event: ServerEvent| {
            event.parse::<(i64, i64)>().map(|(a, b)| a + b)
        });
        io.on_server_event("who", async |io: SocketIo, _: ServerEvent| io.server_id().to_string());
    }
    let sum = cluster.one.io.server_side_call("add", &(2, 3), DEADLINE).await.unwrap();
    assert_eq!(sum.found.len(), 1, "not of itself");
    let answer = &sum.found[0];
    assert_eq!(answer.server, *cluster.two.io.server_id());
    assert_eq!(answer.payload.as_ref().unwrap().parse::<i64>().unwrap(), 5);
    let failed = cluster
        .one
        .io
        .server_side_call("add", "no numbers", DEADLINE)
        .await
        .unwrap();
    assert_eq!((failed.found.len(), &failed.found[0].payload), (1, &None));
    let who = cluster.emitter.server_side_call("who", &(), DEADLINE).await.unwrap();
    for answer in &who.found {
        let said: String = answer.payload.as_ref().unwrap().parse().unwrap();
        assert_eq!(said, answer.server.as_str());
    }
    assert_eq!(who.found.len(), 2);
}

/// python-socketio ignores what our servers say to each other, and everything it knows goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_server_on_the_channel_is_not_disturbed_and_not_waited_for() {
    let cluster = Two::start().await;
    let mut theirs = PyServer::start(PyManager::Redis, &cluster.url, &cluster.channel).await;
    let mut ours = Client::connect(cluster.one.address, &["r"]).await;
    let mut client = RealClient::spawn(Kind::Node).await;
    let options = ConnectOptions::to(theirs.url()).only("websocket");
    client.connect(&options).await.unwrap();
    let joined = client.emit_with_ack("join", json!(["r"]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));

    for _ in 0..3 {
        let all = cluster
            .two
            .io
            .to("r")
            .timeout(Duration::from_secs(3_600))
            .fetch_sockets();
        let all = tokio::time::timeout(DEADLINE, all).await.unwrap().unwrap();
        assert_eq!(ids(&all), [ours.sid.as_str()]);
        assert_eq!(cluster.emitter.servers(DEADLINE).await.unwrap().found.len(), 2);
        cluster.one.io.server_side_emit("hey", &()).await.unwrap();
        cluster.one.io.to("r").sockets_join(["s"]).await.unwrap();
    }
    let report = tokio::spawn(cluster.two.io.to("r").timeout(DEADLINE).emit_and_collect("q", &()));
    let question = client.next_message(DEADLINE).await;
    client
        .ack(question.ack.expect("an answer is wanted"), json!(["theirs"]))
        .await;
    answer(&mut ours).await;
    let report = report.await.unwrap().unwrap();
    assert!(report.is_complete(), "{report:?}");
    assert!(
        report
            .acks
            .iter()
            .any(|answer| answer.client.as_ref().is_some_and(|sid| sid.as_str() == ours.sid))
    );

    theirs.emit("from theirs", json!([1]), Some("r")).await;
    assert_eq!(ours.packet().await, "42[\"from theirs\",1]");
    assert_eq!(client.next_message(DEADLINE).await.name, "from theirs");
    cluster.two.io.to("r").emit("from ours", &2).await.unwrap();
    assert_eq!(ours.packet().await, "42[\"from ours\",2]");
    assert_eq!(client.next_message(DEADLINE).await.name, "from ours");
    let undecodable = [&cluster.one, &cluster.two].map(|served| served.io.metrics().hub.undecodable);
    assert_eq!(undecodable, [0, 0]);
}
