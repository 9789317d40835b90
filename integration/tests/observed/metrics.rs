//! Every metric moves when it should.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway::health::{Health, HealthOptions};
use gateway::metrics::{ALL, Exporter};
use integration::app::hasty;
use integration::brokers::{RedisBroker, unique_channel};
use integration::tools;
use manager_api::cluster::ServerEvent;
use manager_api::{ClientManager, Emitter};
use manager_redis::RedisManager;
use serde_json::json;
use socket_io::{Data, Socket, SocketIo};

use super::watch::{Polling, Watch};
use super::{access, get, limits, serve};
use crate::support::{Client, Server, within};

/// Metrics that need a defect or a flood, with the test of their counter; that they are exported is a test of `gateway`.
const ELSEWHERE: [&str; 7] = [
    // hub: `a_listener_that_panics_is_started_again_counted_and_admits_a_gap`
    "sio_hub_restarts_total",
    // hub: `sizes`
    "sio_acks_dropped_total",
    "sio_server_events_dropped_total",
    // socket-io: `admin::limits`
    "sio_admin_events_dropped_total",
    // RabbitMQ alone reports it: `amqp::topology`
    "sio_broker_unrouted_total",
    // PostgreSQL alone has such: `postgres::sizes`
    "sio_broker_foreign_total",
    // In `health`, where a broker stands still.
    "sio_live",
];

/// Events: `panics`, `fails`, `hangs`; events for servers `panics` and `hangs`. A namespace `/panics` cannot be asked for.
pub(super) fn register(io: &SocketIo) {
    io.namespace("/")
        .on("panics", async || -> u8 { panic!("on purpose") })
        .on("fails", async || Err::<(), _>("on purpose"))
        .on("hangs", async |Data(_): Data<String>| {
            std::future::pending::<()>().await
        })
        .on("question", async |socket: Socket| socket.id().to_string());
    io.namespaces_where(|name| {
        assert_ne!(name, "/panics", "on purpose");
        name == "/dynamic"
    });
    io.on_server_event("panics", async |_: SocketIo, _: ServerEvent| -> u8 {
        panic!("on purpose")
    })
    .on_server_event("hangs", async |_: SocketIo, _: ServerEvent| {
        std::future::pending::<()>().await
    });
}

pub(super) fn manager(url: &str, channel: &str) -> RedisManager {
    RedisManager::new(url, hasty(channel)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_metric_moves_when_it_should() {
    let mut broker = RedisBroker::start().await;
    let channel = unique_channel();
    let builder = SocketIo::builder()
        .manager(manager(&broker.url(), &channel))
        .configure(|config| {
            config.max_unjoined = 3;
            config.hub.max_rooms_per_client = 2;
        });
    let server = Server::start(builder).await;
    register(&server.io);
    let health = Health::new(server.io.clone());
    let mut watch = Watch::of(&health);

    let mut client = clients(&mut watch, server.address).await;
    let other = others(
        &mut watch,
        &server,
        (broker.url().as_str(), channel.as_str()),
        &mut client,
    )
    .await;
    waiting_bytes(&mut watch, &server).await;
    limits::reached(&mut watch).await;
    access::counted(&mut watch).await;
    outage(&mut watch, &server, &mut broker, (&other, &mut client)).await;
    let closing = server.io.clone();
    watch
        .during(&["sio_listening"], async move { drop(closing.close().await) })
        .await;

    let missing: Vec<_> = ALL
        .iter()
        .map(|metric| metric.name())
        .filter(|name| !watch.moved.contains(*name) && !ELSEWHERE.contains(name))
        .collect();
    assert!(missing.is_empty(), "did not move: {missing:?}");
}

async fn clients(watch: &mut Watch, address: SocketAddr) -> Client {
    let connected = [
        "sio_sessions",
        "sio_sessions_opened_total",
        "sio_clients",
        "sio_rooms",
        "sio_messages_received_total",
        "sio_messages_sent_total",
        "sio_received_bytes_total",
        "sio_sent_bytes_total",
    ];
    let mut client = watch.during(&connected, Client::connect(address, &["room"])).await;
    let calls = async {
        for _ in 0..256 {
            client.call("echo", "x").await;
        }
    };
    watch.during(&["sio_handler_seconds"], calls).await;
    let polling = ["sio_polling_sessions", "sio_unjoined_connections"];
    watch.during(&polling, Polling::open(address)).await;
    let many = async {
        for _ in 0..4 {
            Polling::open(address).await;
        }
    };
    watch
        .during(&["sio_unjoined_shed_total", "sio_sessions_closed_total"], many)
        .await;
    let outdated = get(address, "/socket.io/?EIO=3&transport=polling");
    watch.during(&["sio_requests_refused_total"], outdated).await;
    watch
        .during(&["sio_handler_panics_total"], client.send("42[\"panics\"]"))
        .await;
    watch
        .during(&["sio_handler_failures_total"], client.send("42[\"fails\"]"))
        .await;
    watch
        .during(&["sio_dynamic_namespaces"], client.send("40/dynamic,"))
        .await;
    assert!(client.packet().await.starts_with("40/dynamic,"));
    let mut unlucky = Client::connect(address, &[]).await;
    watch
        .during(&["sio_session_panics_total"], unlucky.send("40/panics,"))
        .await;
    client
}

/// Another server on the channel; returns it.
async fn others(watch: &mut Watch, server: &Server, (url, channel): (&str, &str), client: &mut Client) -> SocketIo {
    let builder = SocketIo::builder().manager(manager(url, channel));
    let other = watch.during(&["sio_peer_servers"], Server::start(builder)).await.io;
    let own = [
        "sio_channel_messages_total",
        "sio_channel_own_messages_total",
        "sio_broker_published_total",
        "sio_broker_received_total",
        "sio_publish_seconds",
        "sio_fanout_seconds",
        "sio_client_outbox_bytes",
    ];
    let emits = async {
        for number in 0..64 {
            server.io.to("room").emit("m", &number).await.unwrap();
        }
    };
    watch.during(&own, emits).await;
    let remote = async { other.to("room").emit("m", &64).await.unwrap() };
    watch.during(&["sio_message_age_seconds"], remote).await;
    for number in 0..=64 {
        assert_eq!(client.event::<(u64,)>("m").await, (number,));
    }
    let raw = manager(url, channel);
    watch
        .during(&["sio_channel_undecodable_total"], raw.publish("nonsense".into()))
        .await
        .unwrap();
    let malformed = r#"{"method":"emit","event":"m","data":[1],"namespace":"/none","sio":{"v":1,"sent_us":"?"}}"#;
    let published = raw.publish(malformed.into());
    watch
        .during(&["sio_channel_malformed_extensions_total"], published)
        .await
        .unwrap();
    let asked = other.to("room").emit_with_ack("question", &());
    let acks = watch.during(&["sio_pending_acks"], asked).await.unwrap();
    drop(acks);
    assert!(client.packet().await.starts_with("42"));
    let calling = server.io.clone();
    register(&other);
    let call = async {
        let called = async move { calling.server_side_call("hangs", &(), Duration::from_secs(60)).await };
        tokio::spawn(called).abort_handle()
    };
    let call = watch.during(&["sio_open_requests"], call).await;
    call.abort();
    let panic = async { other.server_side_emit("panics", &()).await.unwrap() };
    watch.during(&["sio_delivery_panics_total"], panic).await;
    let refused = async {
        for room in ["second", "third"] {
            other.broadcast().enter_room(client.sid.as_str(), room).await.unwrap();
        }
    };
    watch.during(&["sio_rooms_refused_total"], refused).await;
    other
}

/// What waits for clients that do not read, for handlers, and for the rest of messages.
async fn waiting_bytes(watch: &mut Watch, server: &Server) {
    let slow = Polling::open(server.address).await;
    slow.join().await;
    let large = "x".repeat(300_000);
    watch
        .during(&["sio_outboxes_bytes"], emit_local(&server.io, &large))
        .await;
    let volatile = server.io.broadcast().local().volatile().emit("m", &large);
    watch.during(&["sio_volatile_dropped_total"], volatile).await.unwrap();
    let incomplete = watch
        .during(&["sio_incomplete_messages_bytes"], slow.post_partly(50_000))
        .await;
    drop(incomplete);
    let mut hanging = Client::connect(server.address, &[]).await;
    let events = async {
        for _ in 0..3 {
            hanging.send(&json_event("hangs", 20_000)).await;
        }
    };
    watch.during(&["sio_queued_events_bytes"], events).await;
}

pub(super) fn json_event(name: &str, len: usize) -> String {
    format!("42{}", json!([name, "x".repeat(len)]))
}

/// Emits to the clients of one server.
pub(super) async fn emit_local(io: &SocketIo, data: &str) {
    io.broadcast().local().emit("m", data).await.unwrap();
}

/// The broker dies while an acknowledgement is on its way, and comes back.
async fn outage(
    watch: &mut Watch,
    server: &Server,
    broker: &mut RedisBroker,
    (other, client): (&SocketIo, &mut Client),
) {
    let acks = other
        .to(client.sid.as_str())
        .emit_with_ack("last question", &())
        .await
        .unwrap();
    let question = loop {
        let packet = client.packet().await;
        if packet.contains("last question") {
            break packet;
        }
    };
    let id: String = question[2..].chars().take_while(char::is_ascii_digit).collect();
    let lost = ["sio_broker_connected", "sio_ready"];
    watch.during(&lost, async { broker.kill() }).await;
    watch
        .during(&["sio_callbacks_dropped_total"], client.send(&format!("43{id}[]")))
        .await;
    drop(acks);
    let fails = async { server.io.to("room").emit("m", &1).await.unwrap_err() };
    watch.during(&["sio_broker_publish_failures_total"], fails).await;
    let back = ["sio_channel_gaps_total", "sio_broker_gaps_total"];
    watch.during(&back, broker.restart()).await;
}

/// Without patience a server is not live as soon as it is not ready.
#[tokio::test]
async fn a_server_without_patience_is_not_live_without_its_broker() {
    let io = SocketIo::builder().manager(manager("redis://127.0.0.1:1", "c")).build();
    let mut options = HealthOptions::default();
    options.live_patience = Duration::ZERO;
    let health = Health::with_options(io, options);
    let page = Exporter::new(&health).render();
    assert!(
        page.contains("\nsio_live 0\n") && page.contains("\nsio_ready 0\n"),
        "{page}"
    );
    let address = serve(&health).await;
    assert_eq!(get(address, "/health/live").await.status, 503);
}

#[tokio::test]
async fn promtool_accepts_the_page_of_a_server() {
    let server = Server::start(SocketIo::builder()).await;
    let address = serve(&Health::new(server.io.clone())).await;
    let _client = Client::connect(server.address, &["room"]).await;
    let page = get(address, "/metrics").await;
    assert!(page.head.contains("text/plain; version=0.0.4"), "{}", page.head);
    let checked = tokio::task::spawn_blocking(move || {
        let mut promtool = Command::new(tools::promtool());
        promtool.args(["check", "metrics"]);
        promtool
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = promtool.spawn().expect("promtool, of Debian's package prometheus");
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, page.body.as_bytes()).unwrap();
        drop(stdin);
        child.wait_with_output().unwrap()
    });
    let checked = within("promtool", checked).await.unwrap();
    let said = String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(checked.status.success() && said.trim().is_empty(), "{said}");
}

/// Measured by the whole process, so that an application with an exporter of its own has them, too.
#[tokio::test]
async fn the_distributions_of_an_emitter_are_recorded_without_a_server() {
    let health = Health::new(SocketIo::new());
    let mut watch = Watch::of(&health);
    let manager = Arc::new(manager_api::memory::MemoryBus::new().manager("c"));
    let emitter = Emitter::new(manager);
    let emits = async { emitter.emit("m", &1).await.unwrap() };
    watch.during(&["sio_publish_seconds"], emits).await;
}
