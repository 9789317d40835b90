//! Clients that are told how old events are.

use manager_api::Emitter;
use manager_api::memory::MemoryBus;
use socket_io::{Data, Socket, SocketIo};

use crate::client::{Client, TestServer, within};

/// A server on `bus` whose clients enter `hall`, and ask by `ages`.
async fn start_on(bus: &MemoryBus) -> TestServer {
    let server = TestServer::with(SocketIo::builder().manager(bus.manager("c"))).await;
    let root = server.io.namespace("/");
    root.on_connect(async |socket: Socket| socket.join("hall").is_ok());
    root.on("ages", async |socket: Socket| socket.tell_ages());
    root.on("say", async |socket: Socket, Data(text): Data<String>| {
        socket.io().to("hall").emit("said", &text).await
    });
    server.io.ready().await;
    server
}

#[tokio::test]
async fn who_asks_is_told_the_age_of_each_event_of_another_process_and_no_other_client_is() {
    let bus = MemoryBus::new();
    let server = start_on(&bus).await;
    let (mut asking, mut other) = (server.connect().await, server.connect().await);
    asking.send(r#"421["ages"]"#).await;
    assert_eq!(asking.text().await, "431[true]");
    let emitter = Emitter::new(bus.manager("c"));
    for text in ["one", "two"] {
        emitter.to("hall").emit("said", text).await.unwrap();
        let expected = format!("42[\"said\",\"{text}\"]");
        assert_eq!(asking.text().await, expected);
        let packet = asking.text().await;
        let (event, age, name): (String, f64, String) = serde_json::from_str(&packet[2..]).unwrap();
        assert_eq!((&*event, &*name), ("sio:age", "said"));
        assert!((0.0..10_000.0).contains(&age), "{packet}");
        assert_eq!(other.text().await, expected);
    }
    // An own event of the server has no age: its acknowledgement is next.
    asking.send(r#"422["say","three"]"#).await;
    assert_eq!(asking.text().await, r#"42["said","three"]"#);
    assert!(asking.text().await.starts_with("432"));
    // The others go on when it has left.
    drop(asking);
    emitter.to("hall").emit("said", "four").await.unwrap();
    assert_eq!(other.text().await, r#"42["said","three"]"#);
    assert_eq!(other.text().await, r#"42["said","four"]"#);
}

#[tokio::test]
async fn as_many_are_told_as_the_limit_says_and_one_that_leaves_makes_place() {
    let server = start_on(&MemoryBus::new()).await;
    let ask = async |client: &mut Client| {
        client.send(r#"421["ages"]"#).await;
        client.text().await
    };
    let mut told = Vec::new();
    for _ in 0..64 {
        let mut client = server.connect().await;
        assert_eq!(ask(&mut client).await, "431[true]");
        assert_eq!(ask(&mut client).await, "431[true]", "twice is once");
        told.push(client);
    }
    let mut other = server.connect().await;
    assert_eq!(ask(&mut other).await, "431[false]");
    told.pop();
    within(async { while ask(&mut other).await == "431[false]" {} }).await;
}
