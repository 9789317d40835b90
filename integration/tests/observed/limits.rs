//! Servers with limits that are reached soon, and the metrics that tell of it.

use std::time::Duration;

use gateway::health::Health;
use integration::brokers::{RedisBroker, unique_channel};
use manager_api::Emitter;
use socket_io::SocketIo;

use super::get;
use super::metrics::{emit_local, json_event, manager, register};
use super::watch::{Polling, Watch};
use crate::support::{Client, Server};

/// A server with limits that are reached soon.
pub(super) async fn reached(watch: &mut Watch) {
    let (url, channel) = (RedisBroker::shared().await.url(), unique_channel());
    let builder = SocketIo::builder().manager(manager(url, &channel)).configure(|config| {
        config.engine.outbox_total_limit = 300_000;
        config.engine.inbound_total_limit = 100_000;
        config.max_queued_bytes_total = 50_000;
        config.hub.max_expected_acks = 0;
        config.hub.max_idempotency_keys = 1;
    });
    let small = Server::start(builder).await;
    register(&small.io);
    let health = Health::new(small.io.clone());
    let mut own = Watch::of(&health);
    let slow = Polling::open(small.address).await;
    slow.join().await;
    let emits = async {
        for _ in 0..4 {
            emit_local(&small.io, &"x".repeat(200_000)).await;
        }
    };
    own.during(&["sio_outbox_shed_total"], emits).await;
    let (one, two) = (Polling::open(small.address).await, Polling::open(small.address).await);
    let partly = async { (one.post_partly(90_000).await, two.post_partly(90_000).await) };
    let streams = own.during(&["sio_incomplete_messages_shed_total"], partly).await;
    drop(streams);
    let _client = Client::connect(small.address, &["room"]).await;
    let emitter = Emitter::new(manager(url, &channel));
    let asked = emitter.to("room").emit_with_ack("question", &());
    drop(own.during(&["sio_emits_without_acks_total"], asked).await.unwrap());
    keyed(&mut own, &emitter).await;
    let mut hanging = Vec::new();
    let events = async {
        for _ in 0..4 {
            let mut client = Client::connect(small.address, &[]).await;
            for len in [1, 30_000] {
                client.send(&json_event("hangs", len)).await;
            }
            hanging.push(client);
        }
    };
    own.during(&["sio_queued_events_shed_total"], events).await;
    watch.moved.append(&mut own.moved);

    paced(watch).await;
    let dead = SocketIo::builder().manager(manager("redis://127.0.0.1:1", "c")).build();
    let mut own = Watch::of(&Health::new(dead));
    own.during(&["sio_subscribe_failures_total"], std::future::ready(()))
        .await;
    watch.moved.append(&mut own.moved);
    let secured = RedisBroker::shared()
        .await
        .url()
        .replace("redis://", "redis://stranger:wrong@");
    let refused = SocketIo::builder().manager(manager(&secured, "c")).build();
    let mut own = Watch::of(&Health::new(refused));
    own.during(&["sio_broker_refusals_total"], std::future::ready(())).await;
    watch.moved.append(&mut own.moved);
}

/// Events with keys, of which the server remembers one.
async fn keyed(own: &mut Watch, emitter: &Emitter) {
    let emit = |key: &'static str| {
        let keyed = emitter.to("room").idempotency_key(key);
        async move { keyed.emit("m", &0).await.unwrap() }
    };
    own.during(&["sio_idempotency_keys"], emit("k")).await;
    own.during(&["sio_repeats_dropped_total"], emit("k")).await;
    own.during(&["sio_idempotency_keys_evicted_total"], emit("another"))
        .await;
}

/// A server that few may connect to in a second, and that drains in the end.
async fn paced(watch: &mut Watch) {
    let builder = SocketIo::builder().configure(|config| {
        config.engine.max_handshakes_per_second = 3;
        config.max_events_per_second = 3;
    });
    let server = Server::start(builder).await;
    let mut own = Watch::of(&Health::new(server.io.clone()));
    let path = "/socket.io/?EIO=4&transport=polling";
    let mut client = Client::connect(server.address, &[]).await;
    let events = async {
        for _ in 0..20 {
            client.send("42[\"none\"]").await;
        }
    };
    own.during(&["sio_event_pauses_total"], events).await;
    let many = async {
        for _ in 0..20 {
            get(server.address, path).await;
        }
    };
    own.during(&["sio_handshakes_limited_total"], many).await;
    server.io.drain(Duration::ZERO).await;
    own.during(&["sio_handshakes_unavailable_total"], get(server.address, path))
        .await;
    watch.moved.append(&mut own.moved);
}
