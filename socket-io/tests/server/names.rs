//! Names where they are used: as text, or validated; and the one shape of `emit`.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use socket_io::handler::{Methods, NamespaceType};
use socket_io::manager_api::memory::MemoryBus;
use socket_io::manager_api::{Emitter, ErrorKind, EventName, NamespaceName, Payload, Room};
use socket_io::{Error, SocketIo};

use crate::client::{TestServer, within};

/// What every `emit` returns: something that borrows nothing and that a task can wait for.
async fn spawned<F: Future<Output = Result<(), Error>> + Send + 'static>(emit: F) {
    within(tokio::spawn(emit)).await.unwrap().unwrap();
}

struct Methodical;

impl NamespaceType for Methodical {
    fn methods(methods: &mut Methods<Self>) {
        methods
            .on(EventName::new("validated").unwrap(), Self::answer)
            .on("text", Self::answer);
    }
}

impl Methodical {
    async fn answer(self: Arc<Self>) -> u8 {
        7
    }
}

#[tokio::test]
async fn every_emit_has_one_shape_and_takes_text_or_a_validated_name() {
    let bus = MemoryBus::new();
    let server = TestServer::with(SocketIo::builder().manager(bus.manager("names"))).await;
    server.io.ready().await;
    let emitter = Emitter::new(bus.manager("names"));
    let (name, event) = (NamespaceName::new("/n").unwrap(), EventName::new("e").unwrap());
    let namespace = server.io.namespace(&name);
    let mut client = server.open().await;
    client.join("/n").await;
    let socket = namespace.socket(&client.sid.as_str().into()).unwrap();
    socket.join(Room::from("r")).unwrap();

    spawned(server.io.of(&name).emit(&event, &1)).await;
    spawned(server.io.of("/n").to("r").emit("e", &2)).await;
    spawned(namespace.emit(event.clone(), &3)).await;
    spawned(namespace.to(Room::from("r")).emit("e".to_owned(), &4)).await;
    spawned(socket.emit(&event, &5)).await;
    spawned(socket.emit_payload("e", Payload::new(&6).unwrap())).await;
    spawned(socket.broadcast().emit(&event, &"not to itself")).await;
    spawned(emitter.of(name.clone()).emit(&event, &7)).await;
    spawned(
        emitter
            .of(name.to_string())
            .emit_payload(event.clone(), Payload::new(&8).unwrap()),
    )
    .await;
    assert!(socket.emit_volatile(&event, &9).await.unwrap());
    for number in 1..=9 {
        client.expect(&format!("42/n,[\"e\",{number}]")).await;
    }
    spawned(server.io.emit(&event, &())).await;
    spawned(emitter.emit(&event, &())).await;
    spawned(socket.send(&())).await;
    client.expect("42/n,[\"message\"]").await;
}

#[tokio::test]
async fn an_event_for_one_client_is_queued_by_the_call_itself() {
    let server = TestServer::start().await;
    let mut client = server.connect().await;
    let socket = server.io.namespace("/").socket(&client.sid.as_str().into()).unwrap();
    socket.emit("now", &()).into_inner().unwrap();
    client.expect("42[\"now\"]").await;
    let refused = socket.emit("connect", &()).into_inner().unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Config);
}

#[tokio::test]
async fn handlers_calls_and_events_for_servers_take_validated_names() {
    let server = TestServer::start().await;
    let event = EventName::new("validated").unwrap();
    let namespace = server.io.namespace(NamespaceName::new("/n").unwrap());
    namespace.on(&event, async || 1).on("text".to_owned(), async || 2);
    server.io.namespace("/methods").register(Methodical);
    server.io.on_server_event(&event, async |_, _| {});
    server.io.server_side_emit(&event, &()).await.unwrap();
    let answers = server.io.server_side_call(&event, &(), Duration::from_secs(1)).await;
    assert!(answers.unwrap().found.is_empty());
    let mut client = server.open().await;
    client.join("/n").await;
    let sid = client.sid.clone();
    client.join("/methods").await;
    for (packet, answer) in [
        ("42/n,0[\"validated\"]", "43/n,0[1]"),
        ("42/n,1[\"text\"]", "43/n,1[2]"),
        ("42/methods,2[\"validated\"]", "43/methods,2[7]"),
        ("42/methods,3[\"text\"]", "43/methods,3[7]"),
    ] {
        client.send(packet).await;
        client.expect(answer).await;
    }
    let called = namespace.call::<_, u8>(sid.as_str(), &event, &(), Duration::from_secs(5));
    let answered = async {
        client.expect("42/n,1[\"validated\"]").await;
        client.send("43/n,1[9]").await;
    };
    assert_eq!(tokio::join!(called, answered).0.unwrap(), 9);
}
