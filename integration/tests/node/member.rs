//! A server of ours beside one of Node, with a client on each: they are one cluster.

use std::time::Duration;

use integration::DEADLINE;
use integration::brokers::{RedisBroker, unique_channel};
use integration::client::{ConnectOptions, Kind, RealClient};
use integration::driven::binary;
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target, ours, wire};
use node_wire::{NodeWire, SubscriptionMode};
use serde_json::{Value, json};
use socket_io::SocketIo;
use socket_io::manager_api::{Broadcast, NamespaceName, Payload};
use tokio::net::TcpListener;

use super::rooms::until_subscribed;

/// Makes of each adapter a module with one test for each feature.
macro_rules! members {
    ($($adapter:ident $(($mode:ident))? as $module:ident),* $(,)?) => {
        $(mod $module {
            use super::*;

            async fn fleet() -> Fleet {
                let mode: &[SubscriptionMode] = &[$(SubscriptionMode::$mode)?];
                Fleet::start(NodeAdapter::$adapter, mode.first().copied()).await
            }

            #[tokio::test]
            async fn events_of_either_server_reach_the_clients_of_both() {
                super::events_of_either_server_reach_the_clients_of_both(fleet().await).await;
            }

            #[tokio::test]
            async fn acknowledgements_of_both_clients_reach_the_server_that_emitted() {
                super::acknowledgements_of_both_clients_reach_the_server_that_emitted(fleet().await).await;
            }

            #[tokio::test]
            async fn each_server_finds_and_moves_the_clients_of_both() {
                super::each_server_finds_and_moves_the_clients_of_both(fleet().await).await;
            }

            #[tokio::test]
            async fn events_for_servers_are_responded_to_by_the_other() {
                super::events_for_servers_are_responded_to_by_the_other(fleet().await).await;
            }

            #[tokio::test]
            async fn rooms_that_are_numbers_and_single_clients_are_reached_from_either_server() {
                super::rooms_that_are_numbers_and_single_clients_are_reached_from_either_server(fleet().await).await;
            }
        })*
    };
}

members! {
    Classic as classic,
    ClassicSpecific as classic_specific,
    Sharded as sharded,
    Sharded(Static) as sharded_static,
    Streams as streams,
    Streams02 as streams_before_0_3,
    Postgres as postgres,
}

/// A server of Node and one of ours, with a client on each, in the room `room` of `/chat`.
struct Fleet {
    node: NodeServer,
    ours: SocketIo,
    /// The client of Node's server, then that of ours.
    clients: [RealClient; 2],
    prefix: String,
    /// Whether rooms have channels of their own.
    has_room_channels: bool,
}

impl Fleet {
    /// Starts them; the mode of the sharded adapter is the default if it is `None`.
    async fn start(adapter: NodeAdapter, mode: Option<SubscriptionMode>) -> Self {
        let prefix = unique_channel();
        let url = adapter.shared_url().await;
        let (mut wire, mut options) = (wire(adapter, &prefix), NodeOptions::on(&prefix));
        if let Some(mode) = mode {
            wire = wire.subscription_mode(mode);
            let name = match mode {
                SubscriptionMode::Static => "static",
                _ => "dynamic-private",
            };
            options.more = json!({ "subscriptionMode": name });
        }
        let mut node = NodeServer::start(adapter, url, &options).await;
        let (ours, address) = start(url, wire).await;
        let clients = [connected(node.url()).await, connected(&address).await];
        node.until_server_count("/chat", 2).await;
        let fleet = Self {
            node,
            ours,
            clients,
            has_room_channels: adapter == NodeAdapter::Sharded && mode != Some(SubscriptionMode::Static),
            prefix,
        };
        fleet.until_room("room").await;
        fleet
    }

    /// Waits until both servers have subscribed to the channel of a room, where there is one: as on Node, a client that
    /// enters a room does not wait for that.
    async fn until_room(&self, room: &str) {
        if self.has_room_channels {
            until_subscribed(RedisBroker::shared().await.url(), &self.prefix, room, 2).await;
        }
    }

    /// Clients in a room, or everywhere in `/chat`.
    fn ours(&self, room: &str) -> Broadcast {
        self.ours.namespace("/chat").to(room)
    }

    /// Asserts that both clients receive this next.
    async fn both_receive(&mut self, name: &str, args: &Value) {
        for client in &mut self.clients {
            let message = client.next_message(DEADLINE).await;
            assert_eq!((&*message.name, &Value::from(message.args)), (name, args));
        }
    }

    /// Answers what both clients receive next.
    async fn both_acknowledge(&mut self, name: &str) {
        for (client, answer) in self.clients.iter_mut().zip(["node", "ours"]) {
            let message = client.next_message(DEADLINE).await;
            assert_eq!(message.name, name);
            client.ack(message.ack.unwrap(), json!([answer])).await;
        }
    }
}

/// Starts a server of ours, with the events and namespaces of the scripts' servers.
pub(super) async fn start(url: &str, wire: NodeWire) -> (SocketIo, String) {
    let io = ours(url, wire);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
    (io, address)
}

/// A client in the room `room` of `/chat`.
pub(super) async fn connected(url: &str) -> RealClient {
    let mut options = ConnectOptions::to(url).only("websocket");
    options.namespace = "/chat".to_owned();
    let mut client = RealClient::connected(Kind::Node, &options).await;
    let joined = client.emit_with_ack("join", json!(["room"]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));
    client
}

async fn events_of_either_server_reach_the_clients_of_both(mut fleet: Fleet) {
    let args = json!([1, { "bytes": binary(b"\x00\xff") }, null, "é"]);
    fleet
        .node
        .emit(&Target::room("/chat", "room"), "of node", args.clone())
        .await;
    fleet.both_receive("of node", &args).await;
    let payload = Payload::builder()
        .text("text")
        .binary(vec![0, 255])
        .json("[1]")
        .unwrap()
        .build();
    fleet.ours("room").emit_payload("of ours", payload).await.unwrap();
    let args = json!(["text", binary(b"\x00\xff"), [1]]);
    fleet.both_receive("of ours", &args).await;
    // What is for others, then what is for them.
    fleet
        .node
        .emit(&Target::room("/chat", "room").except("room"), "not for them", json!([]))
        .await;
    fleet
        .node
        .emit(&Target::room("/chat", "other"), "not for them", json!([]))
        .await;
    fleet.node.emit(&Target::all("/"), "not for them", json!([])).await;
    fleet.node.emit(&Target::all("/chat"), "all of node", json!([])).await;
    fleet.both_receive("all of node", &json!([])).await;
    fleet
        .ours("room")
        .except("room")
        .emit("not for them", &())
        .await
        .unwrap();
    fleet.ours.emit("not for them", &()).await.unwrap();
    fleet.ours.namespace("/chat").emit("all of ours", &()).await.unwrap();
    fleet.both_receive("all of ours", &json!([])).await;
}

async fn acknowledgements_of_both_clients_reach_the_server_that_emitted(mut fleet: Fleet) {
    let target = Target::room("/chat", "room");
    let Fleet { node, clients, .. } = &mut fleet;
    let (answers, ()) = tokio::join!(node.emit_with_ack(&target, "question", json!([]), DEADLINE), async {
        for (client, answer) in clients.iter_mut().zip(["node", "ours"]) {
            let message = client.next_message(DEADLINE).await;
            client.ack(message.ack.unwrap(), json!([answer])).await;
        }
    });
    let mut responses = answers.responses;
    responses.sort_by_key(Value::to_string);
    assert_eq!((responses, answers.error), (vec![json!("node"), json!("ours")], None));

    let question = fleet.ours("room").timeout(DEADLINE).emit_and_collect("question", &());
    let (report, ()) = tokio::join!(question, fleet.both_acknowledge("question"));
    let report = report.unwrap();
    assert!(report.is_complete(), "{report:?}");
    let mut answers: Vec<String> = report.acks.iter().map(|ack| ack.payload.parse().unwrap()).collect();
    answers.sort();
    assert_eq!(answers, ["node", "ours"]);

    let receipt = fleet
        .ours("room")
        .timeout(DEADLINE)
        .emit_with_receipt("receipt", &())
        .await
        .unwrap();
    assert_eq!((receipt.num_clients(), receipt.servers.len()), (2, 2), "{receipt:?}");
}

async fn each_server_finds_and_moves_the_clients_of_both(mut fleet: Fleet) {
    let sockets = fleet.node.fetch_sockets(&Target::room("/chat", "room")).await;
    assert_eq!(sockets.len(), 2, "{sockets:?}");
    assert!(
        sockets.iter().all(|socket| socket.rooms == [&*socket.id, "room"]),
        "{sockets:?}"
    );
    assert!(
        sockets
            .iter()
            .all(|socket| socket.handshake["issued"].as_u64().is_some())
    );
    let found = fleet.ours("room").fetch_sockets().await.unwrap();
    let ids = |ids: &mut Vec<String>| ids.sort();
    let mut of_node: Vec<_> = sockets.into_iter().map(|socket| socket.id).collect();
    let mut of_ours: Vec<_> = found.found.iter().map(|socket| socket.id.to_string()).collect();
    ids(&mut of_node);
    ids(&mut of_ours);
    assert_eq!(of_node, of_ours);
    assert_eq!((found.num_servers, found.missing_servers.len()), (2, 0));

    fleet
        .node
        .sockets_join(&Target::room("/chat", "room"), &["a", "b"])
        .await;
    fleet.node.sockets_leave(&Target::room("/chat", "a"), &["b"]).await;
    // The classic adapter applies that to clients of its own server some time later, too.
    until_empty(&mut fleet.node, "b").await;
    fleet.until_room("a").await;
    fleet
        .node
        .emit(&Target::room("/chat", "b"), "not for them", json!([]))
        .await;
    fleet
        .node
        .emit(&Target::room("/chat", "a"), "moved by node", json!([]))
        .await;
    fleet.both_receive("moved by node", &json!([])).await;
    fleet.ours("a").sockets_join(["c", "d"]).await.unwrap();
    fleet.ours("c").sockets_leave(["d"]).await.unwrap();
    fleet.ours("d").emit("not for them", &()).await.unwrap();
    fleet.ours("c").emit("moved by ours", &()).await.unwrap();
    fleet.both_receive("moved by ours", &json!([])).await;
    // One client is disconnected by the other's server.
    let [of_node, of_ours] = ids_of(&fleet).await;
    fleet.ours.namespace("/chat").disconnect(&*of_node).await.unwrap();
    fleet.clients[0].disconnected(DEADLINE).await;
    fleet
        .node
        .disconnect_sockets(&Target::room("/chat", &of_ours), true)
        .await;
    fleet.clients[1].disconnected(DEADLINE).await;
}

/// Waits until no client is in a room of `/chat`.
async fn until_empty(node: &mut NodeServer, room: &str) {
    let emptied = async { while !node.fetch_sockets(&Target::room("/chat", room)).await.is_empty() {} };
    tokio::time::timeout(DEADLINE, emptied)
        .await
        .expect("clients stay in the room");
}

/// Returns the ids of the clients of Node's server and of ours.
async fn ids_of(fleet: &Fleet) -> [String; 2] {
    let namespace = NamespaceName::new("/chat").unwrap();
    let all = fleet.ours("room").fetch_sockets().await.unwrap().found;
    let local = fleet.ours("room").local().fetch_sockets().await.unwrap().found;
    assert!(all.iter().all(|socket| socket.namespace == namespace));
    let ours = local[0].id.to_string();
    let node = all
        .iter()
        .map(|socket| socket.id.to_string())
        .find(|id| *id != ours)
        .unwrap();
    [node, ours]
}

async fn events_for_servers_are_responded_to_by_the_other(mut fleet: Fleet) {
    let asked = fleet.node.server_side_emit_with_ack("/", "ask", json!([1])).await;
    assert_eq!((asked.responses, asked.error), (vec![json!(2)], None));
    let asked = fleet
        .ours
        .server_side_call("ask", &json!(5), Duration::from_secs(5))
        .await
        .unwrap();
    assert_eq!((asked.num_servers, asked.missing_servers.len()), (1, 0));
    let answer: Value = asked.found[0].payload.as_ref().unwrap().parse().unwrap();
    assert_eq!(
        answer,
        json!(5),
        "the server of the scripts answers with its first argument"
    );
    fleet.ours.server_side_emit("hey", &(1, "two")).await.unwrap();
    loop {
        let event = fleet.node.server_event(DEADLINE).await;
        if event.name == "hey" {
            assert_eq!(event.args, [json!(1), json!("two")]);
            break;
        }
    }
}

async fn rooms_that_are_numbers_and_single_clients_are_reached_from_either_server(mut fleet: Fleet) {
    let node = |command: &str, fields: Value| {
        let mut command = json!({ "cmd": command, "namespace": "/chat" });
        command
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        command
    };
    fleet.node.call(node("sockets_join", json!({ "join": [7] }))).await;
    // In the order of the wire the classic adapter changes its own clients last.
    let joined = async {
        let in_seven = node("fetch_sockets", json!({ "rooms": [7] }));
        while fleet.node.call(in_seven.clone()).await.as_array().map(Vec::len) != Some(2) {}
    };
    tokio::time::timeout(DEADLINE, joined).await.expect("both clients join");
    fleet.until_room("7").await;
    let seven = || fleet.ours.namespace("/chat").to(7);
    seven().emit("of ours", &()).await.unwrap();
    fleet.both_receive("of ours", &json!([])).await;
    let emit = json!({ "rooms": [7], "name": "of node", "args": [] });
    fleet.node.call(node("emit", emit)).await;
    fleet.both_receive("of node", &json!([])).await;

    let [of_node, of_ours] = ids_of(&fleet).await;
    let Fleet {
        node, clients, ours, ..
    } = &mut fleet;
    let target = Target::room("/chat", &of_ours);
    let (asked, ()) = tokio::join!(node.emit_with_ack(&target, "you", json!([]), DEADLINE), async {
        let message = clients[1].next_message(DEADLINE).await;
        clients[1].ack(message.ack.unwrap(), json!(["I"])).await;
    });
    assert_eq!((asked.responses, asked.error), (vec![json!("I")], None));
    let one = ours.namespace("/chat").to(&*of_node).timeout(DEADLINE);
    let (report, ()) = tokio::join!(one.emit_and_collect("you", &()), async {
        let message = clients[0].next_message(DEADLINE).await;
        clients[0].ack(message.ack.unwrap(), json!(["I"])).await;
    });
    let report = report.unwrap();
    assert_eq!((report.acks.len(), report.is_complete()), (1, true), "{report:?}");

    ours.namespace("/chat")
        .to("room")
        .local()
        .emit("local", &())
        .await
        .unwrap();
    assert_eq!(clients[1].next_message(DEADLINE).await.name, "local");
    ours.namespace("/chat").to("room").emit("not local", &()).await.unwrap();
    fleet.both_receive("not local", &json!([])).await;
}
