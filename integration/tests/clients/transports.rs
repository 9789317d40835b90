//! Transports: servers that offer only some, and clients that join no namespace.

use std::time::Duration;

use integration::DEADLINE;
use integration::client::{Kind, RealClient};
use serde_json::{Value, json};
use socket_io::SocketIo;
use socket_io::config::{EngineConfig, Transports};

use super::Way;
use crate::served::{Served, any_port};
use crate::support::eventually;

by_upgrade! {
    websocket_only as a_server_of_websockets_alone_takes_no_polling,
    polling_only as a_server_of_polling_alone_takes_no_websocket_and_no_upgrade,
    no_upgrades as a_server_without_upgrades_takes_both_transports_but_changes_none,
    joins_nothing as a_client_that_joins_nothing_is_cut_and_no_other,
}

fn serve(change: impl FnOnce(&mut EngineConfig)) -> Served {
    Served::start_on(
        any_port(),
        SocketIo::builder().configure(|config| change(&mut config.engine)),
    )
}

async fn place(client: &mut RealClient) -> Value {
    let answer = client.emit_with_ack("where", json!([]), DEADLINE).await;
    answer.expect("the server answers").remove(1)
}

async fn websocket_only(way: Way) {
    let server = serve(|engine| engine.transports = Transports::WebSocketOnly);
    let mut client = RealClient::spawn(way.kind).await;
    client.connect(&way.to(&server)).await.unwrap_err();
    assert_eq!(server.io.metrics().engine.opened, 0);
    client.connect(&way.to(&server).only("websocket")).await.unwrap();
    assert_eq!(place(&mut client).await, "websocket");
}

async fn polling_only(way: Way) {
    let server = serve(|engine| engine.transports = Transports::PollingOnly);
    let mut client = RealClient::connected(way.kind, &way.to(&server)).await;
    assert_eq!(place(&mut client).await, "polling");
    assert_eq!(place(&mut client).await, "polling");
    let mut client = RealClient::spawn(way.kind).await;
    client.connect(&way.to(&server).only("websocket")).await.unwrap_err();
    assert_eq!(server.io.metrics().engine.opened, 1);
}

async fn no_upgrades(way: Way) {
    let server = serve(|engine| engine.allow_upgrades = false);
    let mut client = RealClient::connected(way.kind, &way.to(&server)).await;
    assert_eq!(place(&mut client).await, "polling");
    assert_eq!(place(&mut client).await, "polling");
    assert_eq!(server.io.metrics().engine.polling_sessions, 1);
    client.connect(&way.to(&server).only("websocket")).await.unwrap();
    assert_eq!(place(&mut client).await, "websocket");
}

/// No option of these clients does this; the layer below opens the connection.
async fn joins_nothing(way: Way) {
    let builder = SocketIo::builder().configure(|config| config.connect_timeout = Duration::from_secs(1));
    let server = Served::start_on(any_port(), builder);
    let options = way.to(&server);
    let mut member = RealClient::connected(Kind::Node, &options).await;
    let mut client = RealClient::spawn(way.kind).await;
    let mut open = json!(options);
    open["cmd"] = json!("open");
    client.command(open).await;
    client.disconnected(DEADLINE).await;
    eventually("only the member is left", || {
        let engine = server.io.metrics().engine;
        (engine.opened, engine.open_sessions) == (2, 1)
    })
    .await;
    let echo = member.emit_with_ack("echo", json!([1]), DEADLINE).await;
    assert_eq!(echo, Some(vec![json!(1)]));
}
