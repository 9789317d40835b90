//! Limits of administrators: who is one, how much each is told, and what a broker that is down delays.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use manager_api::ManagerOptions;
use manager_api::memory::MemoryBus;
use serde_json::{Value, json};
use socket_io::SocketIo;
use socket_io::admin::Admin;

use super::{admin, log_in, serve, start, start_on, told_of, told_of_clients};
use crate::client::{Client, DEADLINE, within};

#[tokio::test]
async fn the_namespace_of_the_administrators_takes_no_handlers() {
    let server = start(admin()).await;
    let namespace = server.io.namespace("/admin");
    let accepts_all = || _ = namespace.on_connect(async || true);
    assert!(std::panic::catch_unwind(AssertUnwindSafe(accepts_all)).is_err());
    let overhears = || _ = namespace.on("join", async || ());
    assert!(std::panic::catch_unwind(AssertUnwindSafe(overhears)).is_err());
    let mut stranger = server.open().await;
    stranger.send("40/admin").await;
    stranger.expect(r#"44/admin,{"message":"invalid credentials"}"#).await;
    log_in(&server).await;
}

#[test]
#[should_panic(expected = "the administrators' password is empty")]
fn a_forgotten_password_does_not_admit_all() {
    let _ = Admin::password("admin", "");
}

#[tokio::test]
async fn the_first_administrator_after_a_quiet_day_is_announced_as_any_other() {
    let bus = MemoryBus::new();
    let other = SocketIo::builder().manager(bus.manager("admins")).build();
    let announced = Arc::new(AtomicUsize::new(0));
    let count = announced.clone();
    other.on_server_event("sio_admin_watch", move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        async {}
    });
    within(other.ready()).await;
    let server = start_on(&bus, "one").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(86_400)).await;
    tokio::time::resume();
    log_in(&server).await;
    // What was published before this is handled before it.
    within(server.io.server_side_call::<_>("nothing", &(), DEADLINE))
        .await
        .unwrap();
    let announced = announced.load(Ordering::Relaxed);
    assert!(
        (1..=2).contains(&announced),
        "with the greeting, and by the clock: {announced}"
    );
}

#[tokio::test]
async fn more_bytes_than_administrators_want_to_read_are_left_out_and_counted() {
    let server = start(admin().max_bytes_per_second(20_000)).await;
    let mut admin = log_in(&server).await;
    let mut client = server.connect().await;
    told_of(&mut admin, "socket_connected").await;
    client.send(&format!(r#"42["large","{}"]"#, "x".repeat(20_000))).await;
    client.send(r#"42["small"]"#).await;
    assert_eq!(told_of(&mut admin, "event_received").await[3], json!(["small"]));
    assert_eq!(server.io.metrics().admin_dropped, 1);
}

#[tokio::test]
async fn a_long_request_is_told_in_short() {
    let server = start(admin()).await;
    let mut admin = log_in(&server).await;
    let long = "x".repeat(1_400);
    let headers = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|name| (name, long.as_str()));
    let mut client = Client::open_with(server.address, &format!("&long={long}"), &headers).await;
    client.join("/").await;
    let connected = told_of(&mut admin, "socket_connected").await;
    let handshake = &connected[1]["handshake"];
    assert!(handshake["url"].as_str().unwrap().ends_with("xxx…"));
    assert_eq!(handshake["headers"]["a"].as_str().unwrap().chars().count(), 1_025);
    assert!(handshake.to_string().len() < 10_000, "8 KiB, and what is around them");
}

#[tokio::test]
async fn an_administrator_is_told_of_this_server_while_the_broker_is_down() {
    let bus = MemoryBus::new();
    let options = ManagerOptions {
        deadline: DEADLINE * 2,
        ..ManagerOptions::default()
    };
    let builder = SocketIo::builder()
        .manager(bus.manager_with(options))
        .instrument(admin());
    let server = serve(builder).await;
    within(server.io.ready()).await;
    bus.stop();
    log_in(&server).await;
}

#[tokio::test]
async fn a_server_that_never_reached_its_broker_is_gone_when_it_is_dropped() {
    let bus = MemoryBus::new();
    bus.stop();
    let kept = Arc::new(());
    let builder = SocketIo::builder().manager(bus.manager("admins")).state(kept.clone());
    let io = builder.instrument(admin()).build();
    tokio::task::yield_now().await; // it seeks the others now
    drop(io);
    within(async {
        while Arc::strong_count(&kept) > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn namespaces_that_clients_ask_for_are_counted_as_one() {
    let builder = SocketIo::builder().instrument(Admin::password("admin", "secret"));
    let server = serve(builder).await;
    server.io.any_namespace().on("x", async || ());
    let mut client = server.connect().await;
    for namespace in ["/a", "/b"] {
        client.join(namespace).await;
    }
    let mut admin = log_in(&server).await;
    let stats = told_of(&mut admin, "server_stats").await;
    let mut namespaces = stats[1]["namespaces"].as_array().unwrap().clone();
    assert_eq!(namespaces.pop().unwrap(), json!({"name": "*", "socketsCount": 2}));
    let names = namespaces.iter().map(|entry| entry["name"].as_str().unwrap());
    assert_eq!(names.collect::<std::collections::BTreeSet<_>>(), ["/", "/admin"].into());
}

#[tokio::test]
async fn administrators_move_the_clients_of_other_servers() {
    let bus = MemoryBus::new();
    let (one, two) = (start_on(&bus, "one").await, start_on(&bus, "two").await);
    let mut admin = log_in(&one).await;
    let mut client = two.connect().await;
    let sid = client.sid.clone();
    told_of(&mut admin, "socket_connected").await;
    let command = |arguments: Value| format!("42/admin,{arguments}");
    admin.send(&command(json!(["join", "/", "vip", sid]))).await;
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_joined"), json!("/"), json!("vip"), json!(sid)]
    );
    admin.send(&command(json!(["emit", "/", "vip", "hello", 1]))).await;
    client.expect(r#"42["hello",1]"#).await;
    admin.send(&command(json!(["leave", "/", "vip"]))).await;
    told_of(&mut admin, "room_left").await;
    assert_eq!(two.io.namespace("/").rooms(&sid.as_str().into()).len(), 1);
    admin.send(&command(json!(["_disconnect", "/", true, sid]))).await;
    client.expect("41").await;
    client.expect_closed().await;
}

#[tokio::test]
async fn an_event_that_was_dropped_is_not_told_as_sent() {
    let server = start(admin().max_bytes_per_second(u32::MAX)).await;
    let mut admin = log_in(&server).await;
    let mut client = server.connect().await;
    told_of(&mut admin, "socket_connected").await;
    // More than the system keeps for a client that does not read.
    const COUNT: u64 = 160;
    let to_client = server.io.to(client.sid.as_str());
    for _ in 0..COUNT {
        let volatile = to_client.clone().volatile();
        volatile.emit("large", &"x".repeat(64 << 10)).await.unwrap();
    }
    let dropped = server.io.metrics().engine.volatile_dropped;
    assert!(dropped > 0);
    client.send(r#"42["last"]"#).await;
    let mut num_sent = 0;
    loop {
        match told_of_clients(&mut admin).await {
            event if event[0] == "event_sent" => num_sent += 1,
            _ => break,
        }
    }
    assert_eq!(num_sent, COUNT - dropped);
}

#[tokio::test]
async fn who_hangs_up_early_cannot_go_on_guessing_passwords() {
    let server = start(admin()).await;
    let login = |password: &str| format!("40/admin,{}", json!({"username": "admin", "password": password}));
    for number in 0..30 {
        let mut stranger = server.open().await;
        stranger.send(&login(&format!("guess {number}"))).await;
        // What follows is answered once the guess was begun; the guess itself is not waited for.
        stranger.join("/").await;
    }
    let mut stranger = server.open().await;
    stranger.send(&login("secret")).await;
    stranger
        .expect(r#"44/admin,{"message":"too many attempts: try again in a minute"}"#)
        .await;
}

#[tokio::test]
async fn a_right_password_is_answered_as_late_as_a_wrong_one() {
    let server = start(admin()).await;
    for password in ["secret", "guess"] {
        let mut client = server.open().await;
        let started = std::time::Instant::now();
        let login = json!({"username": "admin", "password": password});
        client.send(&format!("40/admin,{login}")).await;
        client.text().await;
        assert!(started.elapsed() >= std::time::Duration::from_millis(500), "{password}");
    }
}

#[tokio::test]
async fn events_beyond_the_limit_are_left_out_but_clients_are_told_of() {
    let server = start(admin().max_events_per_second(0)).await;
    let mut admin = log_in(&server).await;
    let mut client = server.connect().await;
    told_of(&mut admin, "socket_connected").await;
    client.send(r#"420["join","lobby"]"#).await;
    client.expect(r#"430["ok"]"#).await;
    assert_eq!(
        told_of_clients(&mut admin).await[0],
        "room_joined",
        "and not that it asked for it"
    );
}
