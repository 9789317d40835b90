//! Catch-all events and namespaces, groups of namespaces, and what exists of them.

use std::time::Duration;

use manager_api::ManagerOptions;
use manager_api::memory::MemoryBus;
use socket_io::SocketIo;
use socket_io::manager_api::{EventName, NamespaceName, Payload};
use socket_io::socket::DisconnectReason;
use tokio::sync::mpsc;

use crate::client::{Client, TestServer, within};

/// Emits an event with an acknowledgement, and returns that.
async fn ask(client: &mut Client, namespace: &str, event: &str) -> String {
    let prefix = if namespace == "/" {
        String::new()
    } else {
        format!("{namespace},")
    };
    client.send(&format!("42{prefix}7[\"{event}\",1]")).await;
    let reply = client.text().await;
    reply.strip_prefix(&format!("43{prefix}7")).expect(&reply).to_owned()
}

#[tokio::test]
async fn handlers_are_looked_up_from_the_nearest_to_the_furthest() {
    let server = TestServer::start().await;
    let (named, any) = (server.io.namespace("/named"), server.io.any_namespace());
    let mut client = server.open().await;
    client.join("/named").await;
    client.join("/other").await;

    any.on_any(async |event: EventName, namespace: NamespaceName| (event.to_string(), namespace.to_string()));
    assert_eq!(ask(&mut client, "/named", "x").await, "[\"x\",\"/named\"]");
    assert_eq!(ask(&mut client, "/other", "x").await, "[\"x\",\"/other\"]");
    any.on("x", async |namespace: NamespaceName| format!("x of any: {namespace}"));
    assert_eq!(ask(&mut client, "/named", "x").await, "[\"x of any: /named\"]");
    named.on_any(async |event: EventName, arguments: Payload| (event.to_string(), arguments.json().to_owned()));
    assert_eq!(ask(&mut client, "/named", "x").await, "[\"x\",\"[1]\"]");
    named.on("x", async || "x of its own");
    assert_eq!(ask(&mut client, "/named", "x").await, "[\"x of its own\"]");
    assert_eq!(ask(&mut client, "/named", "y").await, "[\"y\",\"[1]\"]");
    assert_eq!(ask(&mut client, "/other", "x").await, "[\"x of any: /other\"]");
    assert_eq!(ask(&mut client, "/other", "y").await, "[\"y\",\"/other\"]");
}

#[tokio::test]
async fn a_catch_all_event_catches_neither_connect_nor_disconnect() {
    let server = TestServer::start().await;
    let (events, mut caught) = mpsc::unbounded_channel();
    let (ends, mut ended) = mpsc::unbounded_channel();
    for handlers in [&*server.io.namespace("/"), &server.io.any_namespace()] {
        let (events, ends) = (events.clone(), ends.clone());
        handlers.on_any(move |event: EventName| {
            events.send(event.to_string()).unwrap();
            async {}
        });
        handlers.on_disconnect(move |namespace: NamespaceName, reason: DisconnectReason| {
            ends.send((namespace.to_string(), reason)).unwrap();
            async {}
        });
    }
    let mut client = server.connect().await;
    client.join("/else").await;
    client.send("42[\"an event\"]").await;
    for (namespace, leave) in [("/else", "41/else,"), ("/", "41")] {
        client.send(leave).await;
        let expected = (namespace.to_owned(), DisconnectReason::ClientNamespaceDisconnect);
        assert_eq!(within(ended.recv()).await, Some(expected));
    }
    assert_eq!(caught.try_recv(), Ok("an event".to_owned()));
    assert!(caught.try_recv().is_err());
}

#[tokio::test]
async fn an_event_whose_name_is_empty_is_caught_by_nothing_and_harms_nothing() {
    let server = TestServer::start().await;
    server
        .io
        .namespace("/")
        .on_any(async |event: EventName| event.to_string());
    server.io.any_namespace().use_event(async || {});
    let mut client = server.connect().await;
    client.send("421[\"\"]").await;
    client.send("422[\"a\"]").await;
    client.expect("432[\"a\"]").await;
}

#[tokio::test]
async fn the_connect_handler_of_every_namespace_decides_where_there_is_no_other() {
    let server = TestServer::start().await;
    let any = server.io.any_namespace();
    any.on_connect(async |namespace: NamespaceName| namespace != "/secret");
    server
        .io
        .namespace("/own")
        .on_connect(async || Err::<(), _>("not here"));
    let mut client = server.open().await;
    client.send("40/secret,").await;
    client
        .expect("44/secret,{\"message\":\"Connection rejected by server\"}")
        .await;
    client.send("40/own,").await;
    client.expect("44/own,{\"message\":\"not here\"}").await;
    client.join("/open").await;
}

#[tokio::test]
async fn namespaces_that_match_can_be_joined_and_others_cannot() {
    let server = TestServer::start().await;
    let games = server.io.namespaces_where(|name| name.starts_with("/game-"));
    games.on("who", async |namespace: NamespaceName| format!("a game: {namespace}"));
    games.on_connect(async |namespace: NamespaceName| namespace != "/game-0");
    let mut client = server.open().await;
    client.join("/game-1").await;
    assert_eq!(ask(&mut client, "/game-1", "who").await, "[\"a game: /game-1\"]");
    client.send("40/game-0,").await;
    client
        .expect("44/game-0,{\"message\":\"Connection rejected by server\"}")
        .await;
    client.send("40/chess,").await;
    client.expect("44/chess,{\"message\":\"Invalid namespace\"}").await;
    // Handlers of its own win, also over clients that are there already.
    server.io.namespace("/game-1").on("who", async || "its own");
    assert_eq!(ask(&mut client, "/game-1", "who").await, "[\"its own\"]");
}

#[tokio::test]
async fn handlers_of_a_group_run_before_those_of_every_namespace() {
    let server = TestServer::start().await;
    let any = server.io.any_namespace();
    any.on("x", async || "x of any").on_any(async || "any of any");
    let games = server.io.namespaces_where(|name| name.starts_with("/game-"));
    let mut client = server.open().await;
    client.join("/game-1").await;
    client.join("/other").await;
    assert_eq!(ask(&mut client, "/game-1", "x").await, "[\"x of any\"]");
    games.on_any(async || "any of the group");
    assert_eq!(ask(&mut client, "/game-1", "x").await, "[\"any of the group\"]");
    games.on("x", async || "x of the group");
    assert_eq!(ask(&mut client, "/game-1", "x").await, "[\"x of the group\"]");
    assert_eq!(ask(&mut client, "/game-1", "y").await, "[\"any of the group\"]");
    assert_eq!(ask(&mut client, "/other", "x").await, "[\"x of any\"]");
    assert_eq!(ask(&mut client, "/other", "y").await, "[\"any of any\"]");
}

#[tokio::test]
async fn a_dynamic_namespace_is_freed_with_its_last_client() {
    let server = TestServer::start().await;
    server.io.any_namespace();
    let num_dynamic = || server.io.metrics().num_dynamic_namespaces;
    let (mut one, mut two) = (server.open().await, server.open().await);
    for n in 0..20 {
        one.join(&format!("/n{n}")).await;
    }
    two.join("/n0").await;
    assert_eq!(num_dynamic(), 20);
    server.io.of("/n0").emit("hello", &()).await.unwrap();
    one.expect("42/n0,[\"hello\"]").await;
    two.expect("42/n0,[\"hello\"]").await;
    drop(one);
    within(async {
        while num_dynamic() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    two.send("41/n0,").await;
    within(async {
        while num_dynamic() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    two.join("/n0").await;
}

#[tokio::test]
async fn dynamic_namespaces_are_bounded_in_number_and_length() {
    let builder = SocketIo::builder().configure(|config| {
        config.max_dynamic_namespaces = 1;
        config.max_namespace_bytes = 8;
    });
    let server = TestServer::with(builder).await;
    server.io.any_namespace();
    let mut client = server.open().await;
    client.send("40/too-long,").await;
    client.expect("44/too-long,{\"message\":\"Invalid namespace\"}").await;
    client.join("/a").await;
    client.send("40/b,").await;
    client.expect("44/b,{\"message\":\"Too many namespaces\"}").await;
    client.send("41/a,").await;
    within(async {
        while server.io.metrics().num_dynamic_namespaces > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.join("/b").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_join_a_dynamic_namespace_at_once_are_all_in_the_same() {
    let server = TestServer::start().await;
    server.io.any_namespace();
    for round in 0..5 {
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(server.open().await);
        }
        let name = format!("/new{round}");
        let joining = clients.into_iter().map(|mut client| {
            let name = name.clone();
            tokio::spawn(async move {
                client.join(&name).await;
                client
            })
        });
        let mut clients: Vec<_> = futures_util::future::try_join_all(joining).await.unwrap();
        server.io.of(&name).emit("all", &()).await.unwrap();
        // A client of another namespace of this name does not see what the application does to it from now on.
        let handlers = server.io.namespace(&name);
        handlers.on("which", async || "the one");
        assert_eq!(handlers.num_clients(), clients.len());
        for client in &mut clients {
            client.expect(&format!("42{name},[\"all\"]")).await;
            assert_eq!(ask(client, &name, "which").await, "[\"the one\"]");
        }
    }
}

#[tokio::test]
async fn a_namespace_that_is_named_while_its_first_client_joins_is_the_one_it_joins() {
    let server = TestServer::start().await;
    let io = server.io.clone();
    server.io.namespaces_where(move |name| {
        io.namespace(name).on("ping", async || "pong");
        true
    });
    let mut client = server.open().await;
    client.join("/x").await;
    assert_eq!(ask(&mut client, "/x", "ping").await, "[\"pong\"]");
    assert_eq!(server.io.metrics().num_dynamic_namespaces, 0);
}

#[tokio::test]
async fn a_dynamic_namespace_is_joined_at_once_though_the_broker_is_down() {
    let bus = MemoryBus::new();
    bus.stop();
    let options = ManagerOptions {
        // Every call to the broker takes longer than this test.
        deadline: Duration::from_secs(3600),
        ..ManagerOptions::default()
    };
    let server = TestServer::with(SocketIo::builder().manager(bus.manager_with(options))).await;
    let any = server.io.any_namespace();
    any.on("where", async |namespace: NamespaceName| namespace.to_string());
    let mut client = server.open().await;
    client.join("/new").await;
    assert_eq!(ask(&mut client, "/new", "where").await, "[\"/new\"]");
}
