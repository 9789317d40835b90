//! A fleet of ours beside one of Node: what both sides have passes in full.

use integration::DEADLINE;
use integration::brokers::RedisBroker;
use integration::client::{Kind, RealClient};
use integration::node::{NodeAdapter, NodeOptions, NodeServer, Target};
use manager_redis::{RedisManager, RedisOptions};
use serde_json::{Value, json};
use socket_io::manager_api::ManagerOptions;
use socket_io::manager_api::cluster::ServerEvent;
use socket_io::{Data, Socket, SocketIo};
use tokio::net::TcpListener;
use tokio::time::Duration;

use super::support::{BridgeProcess, Ends, Places, connected};

async fn our_server(places: &Places) -> (SocketIo, String) {
    let options = RedisOptions {
        common: ManagerOptions {
            channel: places.name.clone(),
            ..ManagerOptions::default()
        },
        ..RedisOptions::default()
    };
    let manager = RedisManager::new(&places.python_url, options).unwrap();
    let io = SocketIo::builder().manager(manager).build();
    io.namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| true)
        });
    io.on_server_event("ask", async |_: SocketIo, event: ServerEvent| {
        event.parse::<u64>().unwrap() + 1
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
    io.ready().await;
    (io, address)
}

#[tokio::test]
async fn clients_are_found_and_asked_across_a_bridge_and_servers_respond() {
    let redis = RedisBroker::shared().await.url().to_owned();
    let places = Places {
        ends: Ends::RedisClassic,
        python_url: redis.clone(),
        node_url: redis.clone(),
        name: integration::brokers::unique_channel(),
    };
    let (io, address) = our_server(&places).await;
    let mut node = NodeServer::start(NodeAdapter::Classic, &redis, &NodeOptions::on(&places.name)).await;
    // Its servers say how many recipients an event has: no acknowledgement is waited for longer than needed.
    let bridge = BridgeProcess::start_with(&places, "silent_servers = false").await;
    bridge.until("active").await;
    node.until_server_count("/", 2).await;
    let (mut ours, our_id) = connected(Kind::Node, &address).await;
    let (mut theirs, their_id) = connected(Kind::Node, node.url()).await;
    let joined = ours.emit_with_ack("join", json!(["room"]), DEADLINE).await;
    assert_eq!(joined, Some(vec![json!(true)]));

    let mut found: Vec<_> = node.fetch_sockets(&Target::all("/")).await;
    found.sort_by_key(|socket| socket.id != our_id);
    assert_eq!((found.len(), &found[0].id), (2, &our_id));
    assert!(found[0].rooms.contains(&"room".to_owned()), "{found:?}");
    let fetched = io.of("/").fetch_sockets().await.unwrap();
    let mut ids: Vec<_> = fetched.found.iter().map(|socket| socket.id.to_string()).collect();
    ids.sort();
    let mut expected = vec![our_id.clone(), their_id.clone()];
    expected.sort();
    assert_eq!((ids, fetched.missing_servers.len()), (expected, 0));

    let answer_both = async |client: &mut RealClient, answer: &str| {
        for _ in 0..2 {
            let asked = client.next_message(DEADLINE).await;
            client.ack(asked.ack.unwrap(), json!([answer])).await;
        }
    };
    let answering = async { tokio::join!(answer_both(&mut ours, "ours"), answer_both(&mut theirs, "node")) };
    let asking = async {
        let mut all = node
            .emit_with_ack(&Target::all("/"), "ready?", json!([]), Duration::from_secs(30))
            .await;
        all.responses.sort_by_key(Value::to_string);
        assert_eq!((all.responses, all.error), (vec![json!("node"), json!("ours")], None));
        let asked = io.of("/").timeout(Duration::from_secs(30));
        let report = asked.emit_and_collect("ready?", &()).await.unwrap();
        assert!(report.is_complete() && report.acks.len() == 2, "{report:?}");
    };
    let ((), ((), ())) = tokio::join!(asking, answering);

    let responses = node.server_side_emit_with_ack("/", "ask", json!([41])).await;
    assert_eq!((responses.responses, responses.error), (vec![json!(42)], None));
    let called = io.server_side_call("ask", &7, DEADLINE).await.unwrap();
    let outputs: Vec<u64> = called
        .found
        .iter()
        .map(|response| response.payload.as_ref().unwrap().parse().unwrap())
        .collect();
    assert_eq!(outputs, [7]);
    bridge.stop().await;
}
