//! The Admin UI's side of the server, packet by packet.

use std::time::Duration;

use manager_api::memory::MemoryBus;
use serde_json::{Value, json};
use socket_io::admin::{Admin, AdminMode};
use socket_io::{Data, Refusal, Socket, SocketIo, SocketIoBuilder};

use crate::client::{Client, TestServer, within};

mod commands;
mod limits;

const LOGIN: &str = r#"40/admin,{"username":"admin","password":"secret"}"#;

/// Counters are told when the server begins, and not again within a test.
fn admin() -> Admin {
    Admin::password("admin", "secret").stats_interval(Duration::from_secs(3_600))
}

async fn start(admin: Admin) -> TestServer {
    serve(SocketIo::builder().instrument(admin)).await
}

/// One of several servers.
async fn start_on(bus: &MemoryBus, name: &str) -> TestServer {
    let builder = SocketIo::builder().manager(bus.manager("admins"));
    let server = serve(builder.instrument(admin().server_id(name))).await;
    within(server.io.ready()).await;
    server
}

async fn serve(builder: SocketIoBuilder) -> TestServer {
    let server = TestServer::with(builder).await;
    server
        .io
        .namespace("/")
        .on_connect(
            async |socket: Socket| match socket.handshake().query().contains("no=1") {
                true => {
                    socket
                        .emit("never", &())
                        .await
                        .map_err(|error| Refusal::new(error.to_string()))?;
                    Err(Refusal::new("no"))
                }
                false => Ok(()),
            },
        )
        .on("join", async |socket: Socket, Data(room): Data<String>| {
            socket.join(room).map(|()| "ok")
        })
        .on("leave", async |socket: Socket, Data(room): Data<String>| {
            socket.leave(room).map(|()| "ok")
        });
    server
}

/// The next event that an administrator is told, without the time at its end.
async fn told(admin: &mut Client) -> Vec<Value> {
    let text = admin.text().await;
    let json = text.strip_prefix("42/admin,").expect(&text);
    let mut event: Vec<Value> = serde_json::from_str(json).unwrap();
    let is_time = |last: &Value| {
        last.as_str()
            .is_some_and(|last| last.len() == 24 && last.ends_with('Z'))
    };
    event.pop_if(|last| is_time(last));
    event
}

/// The next event about clients: the counters of servers come whenever their time has come.
async fn told_of_clients(admin: &mut Client) -> Vec<Value> {
    loop {
        let event = told(admin).await;
        if event[0] != "server_stats" {
            return event;
        }
    }
}

async fn told_of(admin: &mut Client, event: &str) -> Vec<Value> {
    loop {
        let event_told = told(admin).await;
        if event_told[0] == event {
            return event_told;
        }
    }
}

async fn told_of_after_acceptance(admin: &mut Client, event: &str) -> Vec<Value> {
    let accepted = admin.text().await;
    assert!(accepted.starts_with("40/admin,"), "{accepted}");
    told_of(admin, event).await
}

/// An administrator who has been told how things stand.
async fn log_in(server: &TestServer) -> Client {
    let mut admin = server.open().await;
    admin.send(LOGIN).await;
    let accepted = admin.text().await;
    assert!(accepted.starts_with("40/admin,{\"sid\":"), "{accepted}");
    // What it is told of itself comes before or after.
    let (mut all, mut itself) = (false, false);
    while !(all && itself) {
        let event = told_of_clients(&mut admin).await;
        all |= event[0] == "all_sockets";
        itself |= event[0] == "socket_connected";
    }
    admin
}

#[tokio::test]
async fn session_and_config_follow_the_acceptance_and_then_all_who_are_there() {
    let server = start(admin()).await;
    let mut client = server.connect().await;
    client.send(r#"420["join","lobby"]"#).await;
    client.expect(r#"430["ok"]"#).await;
    let mut admin = server.open().await;
    admin.send(LOGIN).await;
    assert!(admin.text().await.starts_with("40/admin,"));
    let session = told_of_clients(&mut admin).await;
    assert_eq!(session[0], "session");
    let features = json!([
        "EMIT",
        "JOIN",
        "LEAVE",
        "DISCONNECT",
        "MJOIN",
        "MLEAVE",
        "MDISCONNECT",
        "AGGREGATED_EVENTS",
        "ALL_EVENTS"
    ]);
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("config"), json!({"supportedFeatures": features})]
    );

    let all = told_of(&mut admin, "all_sockets").await;
    let sockets = all[1].as_array().unwrap();
    assert_eq!(sockets.len(), 2, "the administrator is one of them");
    let found = sockets.iter().find(|socket| socket["id"] == *client.sid).unwrap();
    assert_eq!(found["nsp"], "/");
    assert_eq!(found["rooms"], json!([client.sid, "lobby"]));
    assert_eq!((&found["transport"], &found["data"]), (&json!("websocket"), &json!({})));
    assert_eq!(found["clientId"].as_str().unwrap().len(), 12);
    let handshake = &found["handshake"];
    assert_eq!(handshake["address"], "127.0.0.1");
    assert_eq!(handshake["query"], json!({"EIO": "4", "transport": "websocket"}));
    assert_eq!(handshake["url"], "/socket.io/?EIO=4&transport=websocket");
    assert!(handshake["issued"].as_u64().unwrap() > 1_700_000_000_000);
    assert_eq!(
        (&handshake["secure"], &handshake["xdomain"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(handshake["headers"]["upgrade"], "websocket");

    // The token logs in again, as a page does that was reloaded.
    let mut again = server.open().await;
    again
        .send(&format!("40/admin,{}", json!({"sessionId": session[1]})))
        .await;
    assert!(again.text().await.starts_with("40/admin,{\"sid\""));
    assert_eq!(told(&mut again).await[0], "config", "no new token");
}

#[tokio::test]
async fn wrong_credentials_get_nothing_but_the_refusal() {
    let server = start(admin()).await;
    let _admin = log_in(&server).await;
    for auth in [
        "",
        r#"{"sessionId":null}"#,
        r#"{"username":"admin","password":""}"#,
        r#"{"username":7}"#,
        r#"{"sessionId":"f.AA"}"#,
    ] {
        let mut stranger = server.open().await;
        stranger.send(&format!("40/admin,{auth}")).await;
        // Something happens that administrators are told of.
        let _other = server.connect().await;
        server.io.of("/admin").emit("server_stats", &()).await.unwrap();
        stranger.expect(r#"44/admin,{"message":"invalid credentials"}"#).await;
        stranger.send("40").await;
        assert!(stranger.text().await.starts_with("40{"), "nothing came between");
    }
}

#[tokio::test]
async fn everything_that_a_client_does_is_told_in_order() {
    let server = start(admin()).await;
    let mut admin = log_in(&server).await;
    let mut client = server.connect().await;
    let sid = json!(client.sid);
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_joined"), json!("/"), sid.clone(), sid.clone()]
    );
    let connected = told_of_clients(&mut admin).await;
    assert_eq!((&connected[0], &connected[1]["id"]), (&json!("socket_connected"), &sid));

    client.send(r#"420["join","lobby"]"#).await;
    client.expect(r#"430["ok"]"#).await;
    let event = |kind: &str, arguments: Value| vec![json!(kind), json!("/"), sid.clone(), arguments];
    assert_eq!(
        told_of_clients(&mut admin).await,
        event("event_received", json!(["join", "lobby"]))
    );
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_joined"), json!("/"), json!("lobby"), sid.clone()]
    );

    server.io.to("lobby").emit("news", &(1, "two")).await.unwrap();
    client.expect(r#"42["news",1,"two"]"#).await;
    assert_eq!(
        told_of_clients(&mut admin).await,
        event("event_sent", json!(["news", 1, "two"]))
    );
    let socket = server.io.namespace("/").socket(&client.sid.as_str().into()).unwrap();
    socket.emit("direct", &()).await.unwrap();
    client.expect(r#"42["direct"]"#).await;
    assert_eq!(
        told_of_clients(&mut admin).await,
        event("event_sent", json!(["direct"]))
    );

    server
        .io
        .of("/")
        .leave_room(client.sid.as_str(), "lobby")
        .await
        .unwrap();
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_left"), json!("/"), json!("lobby"), sid.clone()]
    );
    client.send("41").await;
    assert_eq!(
        told_of_clients(&mut admin).await,
        event("socket_disconnected", json!("client namespace disconnect"))
    );
    assert_eq!(
        told_of_clients(&mut admin).await,
        [json!("room_left"), json!("/"), sid.clone(), sid.clone()]
    );
}

#[tokio::test]
async fn binary_arguments_are_told_as_they_are() {
    let server = start(admin()).await;
    let mut admin = log_in(&server).await;
    let mut client = server.connect().await;
    told_of(&mut admin, "socket_connected").await;
    client.send(r#"451-["photo",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&[1, 2, 3]).await;
    let text = admin.text().await;
    assert!(text.starts_with(r#"451-/admin,["event_received","/","#), "{text}");
    assert!(text.contains(r#"["photo",{"_placeholder":true,"num":0}]"#), "{text}");
    assert_eq!(admin.binary().await, [1, 2, 3]);
}

#[tokio::test]
async fn a_client_that_is_refused_is_not_told_of() {
    let server = start(admin()).await;
    let mut admin = log_in(&server).await;
    let mut refused = Client::open_with(server.address, "&no=1", &[]).await;
    refused.send("40").await;
    refused.expect(r#"44{"message":"no"}"#).await;
    let client = server.connect().await;
    assert_eq!(
        told_of_clients(&mut admin).await[2],
        *client.sid,
        "the first that is told"
    );
}

#[tokio::test]
async fn secrets_of_requests_and_of_the_transport_are_not_told() {
    let server = start(admin()).await;
    let mut admin = log_in(&server).await;
    let mut client = Client::open_with(server.address, "", &[("cookie", "session=abc")]).await;
    client.join("/").await;
    let connected = told_of(&mut admin, "socket_connected").await;
    assert_eq!(connected[1]["id"], *client.sid);
    assert_eq!(connected[1]["handshake"]["headers"]["cookie"], "[redacted]");
    let id = connected[1]["clientId"].as_str().unwrap();
    assert!(!client.engine_sid.contains(id), "no part of the Engine.IO id");
}

#[tokio::test]
async fn in_production_only_counters_are_told() {
    let admin = Admin::password("admin", "secret")
        .mode(AdminMode::Production)
        .server_id("one")
        .stats_interval(Duration::from_millis(100));
    let server = start(admin).await;
    let mut admin = server.open().await;
    admin.send(LOGIN).await;
    let config = told_of_after_acceptance(&mut admin, "config").await;
    let features = config[1]["supportedFeatures"].as_array().unwrap();
    assert!(!features.contains(&json!("ALL_EVENTS")));
    let mut client = server.connect().await;
    client.send(r#"420["join","lobby"]"#).await;
    client.expect(r#"430["ok"]"#).await;
    let mut opened = 0;
    within(async {
        // That of the administrator may have been told of before.
        while opened == 0 {
            let stats = told(&mut admin).await;
            assert_eq!(stats[0], "server_stats");
            assert_eq!(
                (&stats[1]["serverId"], &stats[1]["pid"]),
                (&json!("one"), &json!(std::process::id()))
            );
            let events = stats[1]["aggregatedEvents"].as_array().unwrap().iter();
            let connections = events.filter(|event| event["type"] == "rawConnection");
            opened += connections.map(|event| event["count"].as_u64().unwrap()).sum::<u64>();
        }
    })
    .await;
    let stats = told(&mut admin).await;
    assert_eq!(
        (&stats[1]["clientsCount"], &stats[1]["pollingClientsCount"]),
        (&json!(2), &json!(0))
    );
    let namespaces = stats[1]["namespaces"].as_array().unwrap();
    for name in ["/", "/admin"] {
        assert!(
            namespaces.contains(&json!({"name": name, "socketsCount": 1})),
            "{namespaces:?}"
        );
    }
}
