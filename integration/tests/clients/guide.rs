//! Features of the Socket.IO server guide, with a client of the reference implementation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use http::HeaderMap;
use integration::DEADLINE;
use integration::client::{ConnectOptions, RealClient, Refusal};
use integration::driven::binary;
use serde::Deserialize;
use serde_json::{Value, json};
use socket_io::extract::Query;
use socket_io::handler::{Methods, NamespaceType};
use socket_io::manager_api::{EventName, NamespaceName, Payload};
use socket_io::service::PeerAddr;
use socket_io::{Auth, Data, Socket};

use super::Way;
use crate::served::Served;

fn into(way: Way, server: &Served, namespace: &str) -> ConnectOptions {
    let mut options = way.to(server);
    options.namespace = namespace.to_owned();
    options
}

async fn joined(way: Way, server: &Served, namespace: &str) -> RealClient {
    let mut client = RealClient::connected(way.kind, &into(way, server, namespace)).await;
    way.settled(&mut client).await;
    client
}

async fn ask(client: &mut RealClient, event: &str, arguments: Value) -> Vec<Value> {
    let answer = client.emit_with_ack(event, arguments, DEADLINE).await;
    answer.unwrap_or_else(|| panic!("no answer to {event}"))
}

pub(super) async fn wildcards(way: Way) {
    let server = Served::start();
    let any = server.io.any_namespace();
    any.on("known", async |namespace: NamespaceName| {
        ("known", namespace.to_string())
    });
    any.on_any(async |event: EventName, namespace: NamespaceName, arguments: Payload| {
        (event.to_string(), namespace.to_string(), arguments.arguments().len())
    });
    server
        .io
        .namespace("/own")
        .on("known", async || "its own")
        .on_any(async |event: EventName, Data((_, bytes)): Data<(Value, bytes::Bytes)>| (event.to_string(), bytes));
    let mut client = joined(way, &server, "/own").await;
    assert_eq!(ask(&mut client, "known", json!([])).await, [json!("its own")]);
    let arguments = json!([{ "a": 1 }, binary(b"\x00\xff")]);
    assert_eq!(
        ask(&mut client, "what?", arguments).await,
        [json!("what?"), binary(b"\x00\xff")]
    );

    let mut client = joined(way, &server, "/made/by the client").await;
    let name = json!("/made/by the client");
    assert_eq!(
        ask(&mut client, "known", json!([])).await,
        [json!("known"), name.clone()]
    );
    assert_eq!(
        ask(&mut client, "what?", json!([1, 2])).await,
        [json!("what?"), name, json!(2)]
    );
    assert_eq!(server.io.metrics().num_dynamic_namespaces, 1);
    client.disconnect().await;
    tokio::time::timeout(DEADLINE, async {
        while server.io.metrics().num_dynamic_namespaces > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the namespace is freed");
}

pub(super) async fn groups(way: Way) {
    let server = Served::start();
    let games = server.io.namespaces_where(|name| name.starts_with("/game-"));
    games.on("which", async |namespace: NamespaceName| namespace.to_string());
    let mut client = joined(way, &server, "/game-7").await;
    assert_eq!(ask(&mut client, "which", json!([])).await, [json!("/game-7")]);
    let mut other = RealClient::spawn(way.kind).await;
    let refused = Refusal {
        message: "Invalid namespace".to_owned(),
        data: Value::Null,
    };
    assert_eq!(other.connect(&into(way, &server, "/chess")).await, Err(refused));
}

#[derive(Deserialize)]
struct Asked {
    transport: String,
}

pub(super) async fn parts_of_the_request(way: Way) {
    let server = Served::start();
    let facts = server.io.namespace("/facts");
    let address = server.address.to_string();
    facts.on_connect(
        move |Query(asked): Query<Asked>, PeerAddr(peer): PeerAddr, headers: HeaderMap, Auth(auth): Auth<Value>| {
            // A header that every client sends: browsers let no application add its own to a WebSocket.
            let is_here = peer.ip().is_loopback() && headers["host"] == address.as_str();
            let is_known = ["polling", "websocket"].contains(&asked.transport.as_str()) && auth["token"] == 1;
            async move { is_here && is_known }
        },
    );
    let mut options = into(way, &server, "/facts");
    options.auth = Some(json!({ "token": 2 }));
    let mut client = RealClient::spawn(way.kind).await;
    let refusal = client.connect(&options).await.unwrap_err();
    assert_eq!(refusal.message, "Connection rejected by server");
    options.auth = Some(json!({ "token": 1 }));
    client.connect(&options).await.unwrap();
}

/// Counts for all clients together.
#[derive(Default)]
struct Counter {
    count: AtomicU32,
}

impl NamespaceType for Counter {
    fn methods(methods: &mut Methods<Self>) {
        methods.on_connect(Self::connect).on("add", Self::add);
    }
}

impl Counter {
    async fn connect(self: Arc<Self>, socket: Socket) -> bool {
        socket.emit("count", &self.count.load(Ordering::Relaxed)).await.is_ok()
    }

    async fn add(self: Arc<Self>, socket: Socket, Data(n): Data<u32>) -> Result<u32, socket_io::Error> {
        let count = self.count.fetch_add(n, Ordering::Relaxed) + n;
        socket.broadcast().emit("count", &count).await?;
        Ok(count)
    }
}

pub(super) async fn types(way: Way) {
    let server = Served::start();
    server.io.namespace("/count").register(Counter::default());
    let mut one = joined(way, &server, "/count").await;
    assert_eq!(one.next_message(DEADLINE).await.args, [json!(0)]);
    assert_eq!(ask(&mut one, "add", json!([2])).await, [json!(2)]);
    let mut two = joined(way, &server, "/count").await;
    assert_eq!(two.next_message(DEADLINE).await.args, [json!(2)]);
    assert_eq!(ask(&mut two, "add", json!([3])).await, [json!(5)]);
    assert_eq!(one.next_message(DEADLINE).await.args, [json!(5)]);
    // A function wins over the method.
    server.io.namespace("/count").on("add", async || "a function");
    assert_eq!(ask(&mut two, "add", json!([3])).await, [json!("a function")]);
}

#[derive(Clone, Default)]
struct User {
    name: String,
    num_messages: u32,
}

pub(super) async fn sessions(way: Way) {
    let server = Served::start();
    server
        .io
        .namespace("/users")
        .on_connect(async |socket: Socket, Auth(auth): Auth<Value>| {
            let name = auth["name"].as_str().unwrap_or("unnamed").to_owned();
            socket.save_session(User { name, num_messages: 0 }).is_ok()
        })
        .on("message", async |socket: Socket| {
            let mut user = socket.session::<User>().await;
            user.num_messages += 1;
            (user.name.clone(), user.num_messages)
        })
        .on("peek", async |socket: Socket| {
            socket.get_session::<User>().map(|user| user.num_messages)
        });
    let mut options = into(way, &server, "/users");
    options.auth = Some(json!({ "name": "Ada" }));
    let mut ada = RealClient::connected(way.kind, &options).await;
    options.auth = Some(json!({ "name": "Bob" }));
    let mut bob = RealClient::connected(way.kind, &options).await;
    assert_eq!(ask(&mut ada, "message", json!([])).await, [json!("Ada"), json!(1)]);
    assert_eq!(ask(&mut ada, "message", json!([])).await, [json!("Ada"), json!(2)]);
    assert_eq!(ask(&mut bob, "message", json!([])).await, [json!("Bob"), json!(1)]);
    assert_eq!(ask(&mut ada, "peek", json!([])).await, [json!(2)]);
    ada.disconnect().await;
    options.auth = Some(json!({ "name": "Ada" }));
    ada.connect(&options).await.unwrap();
    assert_eq!(
        ask(&mut ada, "peek", json!([])).await,
        [json!(0)],
        "who comes back starts anew"
    );
}

#[derive(serde::Deserialize)]
struct Login {
    name: String,
}

pub(super) async fn middleware(way: Way) {
    let server = Served::start();
    let guarded = server.io.namespace("/guarded");
    // A client without authentication details sends none, or an empty object.
    guarded.use_connect(async |Auth(login): Auth<Option<Login>>| match login {
        Some(login) if login.name == "Ada" => Ok(()),
        Some(_) => Err(socket_io::Refusal::new("never heard of you")),
        None => Err(socket_io::Refusal::new("who are you?").with_data(&json!({ "retry": true }))),
    });
    guarded.use_event(async |event: EventName, arguments: Payload| match event.as_str() {
        "forbidden" => Err("not allowed"),
        "doubled" => {
            let number: u32 = arguments.parse().map_err(|_| "no number")?;
            Payload::new(&(number * 2)).map_err(|_| "no payload")
        }
        _ => Ok(arguments),
    });
    guarded.on_any(async |arguments: Payload| arguments);
    let mut options = into(way, &server, "/guarded");
    let mut client = RealClient::spawn(way.kind).await;
    let refusal = client.connect(&options).await.unwrap_err();
    assert_eq!(
        (refusal.message.as_str(), refusal.data),
        ("who are you?", json!({ "retry": true }))
    );
    options.auth = Some(json!({ "name": "Ada" }));
    client.connect(&options).await.unwrap();
    assert_eq!(ask(&mut client, "doubled", json!([21])).await, [json!(42)]);
    let unanswered = client
        .emit_with_ack("forbidden", json!([]), Duration::from_millis(200))
        .await;
    assert_eq!(unanswered, None);
    assert_eq!(
        ask(&mut client, "same", json!([binary(b"x"), 1])).await,
        [binary(b"x"), json!(1)]
    );
}

pub(super) async fn rooms_by_id(way: Way) {
    let mut server = Served::start();
    let (mut client, socket) = way.join(&mut server).await;
    let root = server.io.namespace("/");
    root.enter_room(socket.id(), "chat").await.unwrap();
    assert!(root.rooms(socket.id()).contains(&"chat".into()));
    root.to("chat").send(&("hello", 1)).await.unwrap();
    let message = client.next_message(DEADLINE).await;
    assert_eq!(
        (message.name.as_str(), message.args),
        ("message", vec![json!("hello"), json!(1)])
    );
    root.close_room("chat").await.unwrap();
    root.to("chat").emit("unheard", &()).await.unwrap();

    let (namespace, sid) = (root.clone(), socket.id().clone());
    let call = tokio::spawn(async move { namespace.call::<_, u32>(sid, "twice", &21, DEADLINE).await });
    let question = client.next_message(DEADLINE).await;
    assert_eq!((question.name.as_str(), &question.args), ("twice", &vec![json!(21)]));
    client.ack(question.ack.expect("it asks"), json!([42])).await;
    assert_eq!(call.await.unwrap().unwrap(), 42);

    root.disconnect(socket.id()).await.unwrap();
    client.disconnected(DEADLINE).await;
    assert_eq!(server.left().await.0.id(), socket.id());
    assert_eq!(server.io.metrics().num_clients, 0);
}
