//! Rooms of clients: how many, what they cost others, and what is left of them at the end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use manager_api::memory::MemoryBus;
use manager_api::{Emitter, ErrorKind};
use serde_json::json;
use socket_io::manager_api::Room;
use socket_io::socket::DisconnectReason;
use socket_io::{Data, Socket, SocketIo};
use tokio::sync::mpsc;

use crate::client::{TestServer, within};

/// A server on `bus` whose clients enter `hall` when they connect.
async fn start_on(bus: &MemoryBus) -> TestServer {
    let builder = SocketIo::builder()
        .manager(bus.manager("c"))
        .configure(|config| config.hub.max_rooms_per_client = 3);
    let server = TestServer::with(builder).await;
    server
        .io
        .namespace("/")
        .on_connect(async |socket: Socket| socket.join("hall").is_ok());
    server.io.ready().await;
    server
}

#[tokio::test]
async fn rooms_are_listed_in_a_disconnect_handler_however_the_client_left() {
    let bus = MemoryBus::new();
    let (server, other) = (start_on(&bus).await, start_on(&bus).await);
    let (ends, mut ended) = mpsc::unbounded_channel();
    let root = server.io.namespace("/");
    root.on("leave me", async |socket: Socket| socket.disconnect())
        .on("close me", async |socket: Socket| socket.disconnect_all())
        .on_disconnect(move |socket: Socket, reason: DisconnectReason| {
            let ends = ends.clone();
            async move {
                // Nothing reaches it any more, though its rooms are listed.
                assert!(socket.io().to("hall").fetch_sockets().await?.found.is_empty());
                assert_eq!(socket.join("x").unwrap_err().kind(), ErrorKind::NotFound);
                let rooms: BTreeSet<Room> = socket.rooms().into_iter().collect();
                let expected = BTreeSet::from([Room::from(socket.id()), "hall".into()]);
                // The test ends before the last handler does.
                let _ = ends.send((reason.as_str(), rooms == expected, socket));
                Ok::<(), socket_io::Error>(())
            }
        });
    let ways = [
        ("client namespace disconnect", 0),
        ("server namespace disconnect", 1),
        ("server namespace disconnect", 2),
        ("server namespace disconnect", 3),
        ("server namespace disconnect", 4),
        ("transport close", 5),
        ("forced close", 6),
        ("server shutting down", 7),
    ];
    for (reason, way) in ways {
        let mut client = server.connect().await;
        let sid = client.sid.clone();
        match way {
            0 => client.send("41").await,
            1 => client.send(r#"42["leave me"]"#).await,
            2 => client.send(r#"42["close me"]"#).await,
            3 => root.disconnect(sid).await.unwrap(),
            4 => other.io.to("hall").disconnect_sockets().await.unwrap(),
            5 => drop(client),
            6 => client.send("nonsense").await,
            _ => server.io.close().await.unwrap(),
        }
        let (told, had_rooms, socket) = within(ended.recv()).await.unwrap();
        assert!(had_rooms, "{reason}: {:?}", socket.rooms());
        if way != 6 {
            assert_eq!(told, reason);
        }
        within(async {
            while !socket.rooms().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(server.io.metrics().num_rooms, 0);
    }
}

#[tokio::test]
async fn a_handler_learns_that_its_client_may_enter_no_more_rooms() {
    let server = start_on(&MemoryBus::new()).await;
    server
        .io
        .namespace("/")
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            match socket.join(room) {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            }
        });
    let mut client = server.connect().await;
    for (number, (room, answer)) in [("a", "ok"), ("b", "ok"), ("c", "TooLarge"), ("hall", "ok"), ("a", "ok")]
        .into_iter()
        .enumerate()
    {
        client.send(&format!(r#"42{number}["join","{room}"]"#)).await;
        client.expect(&format!(r#"43{number}["{answer}"]"#)).await;
    }
    client.send(&format!(r#"429["join","{}"]"#, "n".repeat(1_025))).await;
    client.expect(r#"439["TooLarge"]"#).await;
}

#[tokio::test]
async fn a_connect_handler_may_enter_no_more_rooms_than_any_other() {
    let server = start_on(&MemoryBus::new()).await;
    server.io.namespace("/").on_connect(async |socket: Socket| {
        let fits = (0..5)
            .map(|_| "same")
            .chain(["b", "c"])
            .all(|room| socket.join(room).is_ok());
        let error = socket.join("d").expect_err("there are three");
        // By the way of others, too.
        let by_id = socket.io().of("/").enter_room(socket.id(), "d").await;
        let is_refused = by_id.is_err_and(|error| error.kind() == ErrorKind::TooLarge);
        fits && is_refused && error.kind() == ErrorKind::TooLarge
    });
    let client = server.connect().await;
    assert_eq!(server.io.namespace("/").rooms(&client.sid.as_str().into()).len(), 4);
}

#[tokio::test]
async fn events_of_others_are_answered_while_a_client_joins_a_hundred_thousand_rooms() {
    const MANY: usize = 100_000;
    let builder = SocketIo::builder().configure(|config| config.hub.max_rooms_per_client = MANY);
    let server = TestServer::with(builder).await;
    let joined = Arc::new(AtomicUsize::new(0));
    let (for_joins, for_pings) = (joined.clone(), joined.clone());
    server
        .io
        .namespace("/")
        .on("join", move |socket: Socket, Data(room): Data<u32>| {
            let error = socket.join(i64::from(room)).err();
            for_joins.fetch_add(1, Ordering::Relaxed);
            async move { assert!(error.is_none(), "{error:?}") }
        })
        .on("ping", move || std::future::ready(for_pings.load(Ordering::Relaxed)));
    let (mut greedy, mut other) = (server.connect().await, server.connect().await);
    let joining = tokio::spawn(async move {
        for room in 0..MANY {
            greedy.send(&format!(r#"42["join",{room}]"#)).await;
        }
        greedy
    });
    // What matters is the order: between any two answers at most so many joins are handled, however slow the machine is.
    let (mut before, mut num_answers) = (0, 0);
    while before < MANY {
        other.send(r#"421["ping"]"#).await;
        let answer = other.text().await;
        let now: usize = answer
            .trim_start_matches("431[")
            .trim_end_matches(']')
            .parse()
            .expect(&answer);
        assert!(
            now - before <= 10_000,
            "{} joins before an event of another client",
            now - before
        );
        (before, num_answers) = (now, num_answers + 1);
    }
    assert!(num_answers >= 10, "{num_answers} answers");
    let greedy = joining.await.unwrap();
    assert_eq!(server.io.metrics().num_rooms, MANY);
    // Its end does not stop the other one either.
    drop(greedy);
    let mut partial = BTreeSet::new();
    while server.io.metrics().num_rooms > 0 {
        other.send(r#"421["ping"]"#).await;
        other.text().await;
        partial.insert(server.io.metrics().num_rooms);
    }
    assert!(
        partial.len() >= 3,
        "answered {} times while the rooms were left",
        partial.len()
    );
}

#[tokio::test]
async fn data_of_a_client_is_read_by_every_server_and_emitter() {
    let bus = MemoryBus::new();
    let (one, two) = (start_on(&bus).await, start_on(&bus).await);
    for server in [&one, &two] {
        let root = server.io.namespace("/");
        root.on(
            "set",
            async |socket: Socket, Data(data): Data<serde_json::Value>| match socket.set_data(&data) {
                Ok(()) => "ok".to_owned(),
                Err(error) => format!("{:?}", error.kind()),
            },
        );
        root.on("get", async |socket: Socket| socket.data::<serde_json::Value>());
    }
    let (mut a, mut b, c) = (one.connect().await, two.connect().await, two.connect().await);
    a.send(r#"421["get"]"#).await;
    a.expect("431[null]").await;
    for (client, name) in [(&mut a, "Ada"), (&mut b, "Bo\u{e9}")] {
        client.send(&format!(r#"422["set",{{"name":"{name}"}}]"#)).await;
        client.expect(r#"432["ok"]"#).await;
        client.send(r#"423["get"]"#).await;
        client.expect(&format!(r#"433[{{"name":"{name}"}}]"#)).await;
    }
    // Too large: what was there stays.
    a.send(&format!(r#"424["set","{}"]"#, "x".repeat(4_096))).await;
    a.expect(r#"434["TooLarge"]"#).await;
    let emitter = Emitter::new(bus.manager("c"));
    for io in [one.io.broadcast(), two.io.broadcast(), emitter.broadcast()] {
        let found = within(io.to("hall").fetch_sockets()).await.unwrap().found;
        let data = |sid: &str| {
            let socket = found
                .iter()
                .find(|socket| socket.id.as_str() == sid)
                .expect("it is in the hall");
            socket.data::<serde_json::Value>().unwrap()
        };
        let all = [data(&a.sid), data(&b.sid), data(&c.sid)];
        assert_eq!(
            all,
            [Some(json!({"name": "Ada"})), Some(json!({"name": "Bo\u{e9}"})), None]
        );
        assert!(found.iter().any(|socket| socket.data::<Vec<u8>>().is_err()));
    }
}

#[tokio::test]
async fn the_presence_list_of_the_guide_names_who_is_there_and_who_left() {
    let bus = MemoryBus::new();
    let (one, two) = (start_on(&bus).await, start_on(&bus).await);
    for server in [&one, &two] {
        // As in docs/guide.md, "A presence list".
        server
            .io
            .namespace("/")
            .on(
                "enter",
                async |socket: Socket, Data((room, name)): Data<(String, String)>| {
                    socket.set_data(&name)?;
                    socket.join(&room)?;
                    socket.to(&room).emit("entered", &(&room, &name)).await?;
                    let there = socket.io().to(&room).fetch_sockets().await?;
                    let names: Vec<String> = there.found.iter().filter_map(|other| other.data().ok()?).collect();
                    Ok::<_, socket_io::Error>(names)
                },
            )
            .on_disconnect(async |socket: Socket| {
                let name: Option<String> = socket.data()?;
                for room in socket.rooms() {
                    socket.to(&room).emit("left", &(room.as_str(), &name)).await?;
                }
                Ok::<_, socket_io::Error>(())
            });
    }
    let (mut ada, mut bob) = (one.connect().await, two.connect().await);
    ada.send(r#"421["enter","chat","Ada"]"#).await;
    ada.expect(r#"431[["Ada"]]"#).await;
    bob.send(r#"421["enter","chat","Bob"]"#).await;
    let names = bob.text().await;
    assert!(
        names == r#"431[["Ada","Bob"]]"# || names == r#"431[["Bob","Ada"]]"#,
        "{names}"
    );
    ada.expect(r#"42["entered","chat","Bob"]"#).await;
    drop(bob);
    let told = [ada.text().await, ada.text().await].map(|packet| packet.to_string());
    for packet in [r#"42["left","chat","Bob"]"#, r#"42["left","hall","Bob"]"#] {
        assert!(told.contains(&packet.to_owned()), "{told:?}");
    }
}
