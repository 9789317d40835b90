//! Acknowledgements, requests of servers, namespaces and limits.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use manager_api::cluster::{ClusterResponse, RequestKind, ResponsePart};
use manager_api::memory::MemoryBus;
use manager_api::message::{Callback, Emit, Envelope, Message};
use manager_api::wire::{Arrival, DecodeLimits, Messenger, Process, Role, Wire};
use manager_api::{Emitter, HostId, NamespaceName, Payload};
use node_wire::NodeWire;
use tokio::time::Instant;

use super::support::{Member, Running, Tap, bridge, event, node_wires};
use crate::{Bridge, BridgeDuty, BridgeOptions, Side};

/// A server of ours that is played: it announces itself, and responds to everything for `clients` clients, which
/// acknowledge with their names.
pub(super) fn play_server(mut member: Member, clients: &'static [&'static str]) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        member.send(Message::Present).await;
        loop {
            let Envelope { host_id, message, .. } = member.next().await;
            let Some(to) = host_id else { continue };
            match message {
                Message::Emit(emit) => acknowledge(&member, to, emit, clients).await,
                Message::Request(request) => {
                    let part = output(request.kind, clients);
                    let responses = request.id.map(|id| response(to, id, part));
                    join_all(responses.into_iter().map(|response| member.send(response))).await;
                }
                _ => {}
            }
        }
    })
}

fn output(kind: RequestKind, clients: &[&str]) -> ResponsePart {
    match kind {
        RequestKind::Count { .. } => ResponsePart::Count(clients.len() as u64),
        RequestKind::Event { payload, .. } => ResponsePart::Event(Some(payload)),
        other => panic!("{other:?}"),
    }
}

fn response(to: HostId, id: u64, part: ResponsePart) -> Message {
    Message::Response(ClusterResponse {
        to,
        id,
        part,
        number: 0,
        is_last: true,
        is_truncated: false,
    })
}

async fn acknowledge(member: &Member, to: HostId, emit: Emit, clients: &[&str]) {
    if let Some(id) = emit.report {
        let names = clients.iter().map(|client| (*client).into()).collect();
        member
            .send(response(to.clone(), id, ResponsePart::Recipients(names)))
            .await;
    }
    if let Some(id) = emit.receipt {
        let count = ResponsePart::Count(clients.len() as u64);
        member.send(response(to.clone(), id, count)).await;
    }
    let Some(address) = emit.callback else { return };
    for client in clients {
        let callback = Callback {
            address: address.clone(),
            payload: Payload::new(client).unwrap(),
            client: Some((*client).into()),
        };
        let envelope = Envelope::new(Some(to.clone()), Message::Callback(callback));
        let bytes = manager_api::wire::python::encode(&envelope);
        manager_api::ClientManager::publish(&member.manager, bytes)
            .await
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_receipts_and_counts_come_back_from_every_other_fleet() {
    let bus = MemoryBus::new();
    let running = bridge(&bus, "b", &["a", "b", "c"]).await;
    let _b = play_server(Member::of(&bus, "b").await, &["b1", "b2"]);
    let _c = play_server(Member::of(&bus, "c").await, &["c1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let emitter = Emitter::new(bus.manager("a"));
    let report = emitter.to("r").emit_and_collect("ready?", &1).await.unwrap();
    let mut acks: Vec<String> = report.acks.iter().map(|ack| ack.payload.parse().unwrap()).collect();
    acks.sort();
    assert_eq!(acks, ["b1", "b2", "c1"]);
    assert!(report.is_complete(), "{report:?}");
    let receipt = emitter.to("r").emit_with_receipt("news", &1).await.unwrap();
    assert_eq!(
        (receipt.num_clients(), receipt.missing_servers.len()),
        (3, 0),
        "{receipt:?}"
    );
    let counted = emitter.to("r").count_sockets().await.unwrap();
    assert_eq!((counted.found, counted.missing_servers.len()), (3, 0));
    let called = emitter
        .server_side_call("sum", &5, Duration::from_secs(5))
        .await
        .unwrap();
    let outputs: Vec<_> = called
        .found
        .iter()
        .filter_map(|response| response.payload.clone())
        .collect();
    assert_eq!(outputs, [Payload::new(&5).unwrap()]);
    let servers = emitter.servers(Duration::from_secs(5)).await.unwrap();
    assert!(
        servers.found[0].status.software.starts_with("sio-bridge/"),
        "{servers:?}"
    );
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_standby_and_a_bridge_of_another_name_hold_no_request_up() {
    let bus = MemoryBus::new();
    let (_active, _standby) = super::support::Twin::pair(&bus).await;
    let _other = bridge(&bus, "other", &["b", "c"]).await;
    let _b = play_server(Member::of(&bus, "b").await, &["b1"]);
    let _c = play_server(Member::of(&bus, "c").await, &["c1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let emitter = Emitter::new(bus.manager("a"));
    emitter.to("r").count_sockets().await.unwrap();
    let began = Instant::now();
    let counted = emitter.to("r").count_sockets().await.unwrap();
    // A request is marked as other messages are, so that none goes round.
    assert_eq!((counted.found, counted.missing_servers.len()), (1, 0));
    let report = emitter.to("r").emit_and_collect("ready?", &1).await.unwrap();
    assert!(report.is_complete() && report.acks.len() == 1, "{report:?}");
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_that_does_not_respond_is_left_out_before_the_time_is_over() {
    let bus = MemoryBus::new();
    let _running = bridge(&bus, "b", &["a", "b"]).await;
    let silent = Member::of(&bus, "b").await;
    silent.send(Message::Present).await;
    let _other = play_server(Member::of(&bus, "b").await, &["b1"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let emitter = Emitter::new(bus.manager("a"));
    let counted = emitter.to("r").count_sockets().await.unwrap();
    assert_eq!((counted.found, counted.missing_servers.len()), (1, 0), "{counted:?}");
}

/// A server on Node, played by a messenger of the wire.
pub(super) async fn node_server(bus: &MemoryBus, wire: &NodeWire) -> (Arc<dyn Messenger>, manager_api::wire::Arrivals) {
    let process = Process {
        host_id: HostId::random(),
        role: Role::Server,
        limits: DecodeLimits::default(),
    };
    let messenger = wire.open(Arc::new(bus.manager("unused")), process).unwrap();
    messenger.attend(&NamespaceName::root());
    let arrivals = messenger.receive().await.unwrap();
    (messenger, arrivals)
}

pub(super) async fn with_node(bus: &MemoryBus, wire: &NodeWire, has_silent_servers: bool) -> Running {
    let bridge = Bridge::builder()
        .side(Side::new("python", bus.manager("python")).silent_servers(has_silent_servers))
        .side(Side::new("node", bus.manager("unused")).wire(wire.clone()))
        .build()
        .unwrap();
    let running = Running::start(bridge);
    running.until(BridgeDuty::Active).await;
    running
}

#[tokio::test(start_paused = true)]
async fn events_pass_between_the_wires_and_only_those_of_namespaces_that_pass() {
    for wire in node_wires() {
        let bus = MemoryBus::new();
        let running = with_node(&bus, &wire, true).await;
        let (node, mut arrivals) = node_server(&bus, &wire).await;
        let mut python = Member::of(&bus, "python").await;
        let mut other = event(1);
        other.namespace = NamespaceName::new("/other").unwrap();
        python.send(Message::Emit(other)).await;
        python.emit(2).await;
        let at_node = loop {
            match arrivals.next().await.unwrap() {
                Arrival::Message(envelope) => break envelope,
                Arrival::Own { .. } => {}
                unexpected => panic!("{unexpected:?}"),
            }
        };
        let Message::Emit(emit) = at_node.message else {
            panic!("{:?}", at_node.message)
        };
        assert_eq!((emit.payload, at_node.mark.is_some()), (event(2).payload, true));
        node.publish(Message::Emit(event(3))).await.unwrap();
        assert_eq!(python.numbers_up_to(3).await, [3]);
        let status = running.bridge.status();
        assert_eq!(status.pairs[0].skipped_namespace, 1);
        // What the wire has no message for is counted.
        let request = manager_api::cluster::ClusterRequest {
            id: None,
            kind: RequestKind::Servers,
            timeout: Duration::from_secs(1),
        };
        python.send(Message::Request(request)).await;
        python.emit(4).await;
        while running.bridge.status().pairs[0].forwarded < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(running.bridge.status().pairs[0].skipped_wire, 1, "{wire:?}");
    }
}

/// Emits as a server on Node that waits for the acknowledgements of all clients: the number of servers that have told how
/// many to expect, that number, how many have come, and when the number was known.
async fn asked_by_node(bus: &MemoryBus, wire: &NodeWire) -> (u64, usize, Duration) {
    let emitter = Emitter::with_wire(bus.manager("unused"), wire).unwrap();
    let began = Instant::now();
    let emitted = emitter.to("r").timeout(Duration::from_secs(10));
    let report = emitted.emit_and_collect("ready?", &1).await.unwrap();
    (report.num_missing_unnamed, report.acks.len(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_server_on_node_gets_the_number_of_recipients_and_their_acknowledgements() {
    for wire in [NodeWire::classic(), NodeWire::streams()] {
        let bus = MemoryBus::new();
        let _running = with_node(&bus, &wire, false).await;
        let _server = play_server(Member::of(&bus, "python").await, &["p1", "p2"]);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (missing, acks, took) = asked_by_node(&bus, &wire).await;
        assert_eq!((missing, acks), (0, 2));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_servers_that_count_no_recipients_are_counted_before_the_time_is_over() {
    let (bus, wire) = (MemoryBus::new(), NodeWire::classic());
    let _running = with_node(&bus, &wire, true).await;
    let mut silent = Member::of(&bus, "python").await;
    tokio::spawn(async move {
        // As python-socketio: no announcement, no report, and callbacks without a name.
        loop {
            let Envelope { host_id, message, .. } = silent.next().await;
            let (Some(to), Message::Emit(emit)) = (host_id, message) else {
                continue;
            };
            let Some(address) = emit.callback else { continue };
            let callback = Callback {
                address,
                payload: Payload::new("yes").unwrap(),
                client: None,
            };
            let envelope = Envelope::new(Some(to), Message::Callback(callback));
            let bytes = manager_api::wire::python::encode(&envelope);
            manager_api::ClientManager::publish(&silent.manager, bytes)
                .await
                .unwrap();
        }
    });
    let (missing, acks, took) = asked_by_node(&bus, &wire).await;
    assert_eq!((missing, acks), (0, 1));
    assert!(
        took > Duration::from_secs(7) && took < Duration::from_secs(9),
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded_and_the_source_is_read_no_further() {
    let bus = MemoryBus::new();
    let (a, b) = (Tap::new(&bus, "a"), Tap::new(&bus, "b"));
    let options = BridgeOptions {
        max_waiting_bytes: 10_000,
        max_in_flight: 4,
        ..BridgeOptions::default()
    };
    let bridge = Bridge::builder()
        .side(Side::new("a", a.clone()))
        .side(Side::new("b", b.clone()))
        .options(options)
        .build()
        .unwrap();
    let running = Running::start(bridge);
    running.until(BridgeDuty::Active).await;
    let (source, mut sink) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    b.block(true);
    for number in 1..=200 {
        source.emit(number).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let status = running.bridge.status();
    let pair = &status.pairs[0];
    assert!(
        pair.is_full && pair.waiting_bytes <= 10_000 && pair.waiting > 10,
        "{pair:?}"
    );
    assert!(pair.oldest >= Duration::from_secs(1));
    b.block(false);
    assert_eq!(sink.numbers_up_to(200).await, (1..=200).collect::<Vec<_>>());
    assert!(!running.bridge.status().pairs[0].is_full);
}

#[tokio::test(start_paused = true)]
async fn messages_wait_in_order_for_a_side_that_cannot_be_reached() {
    let bus = MemoryBus::new();
    let (a, b) = (Tap::new(&bus, "a"), Tap::new(&bus, "b"));
    let bridge = Bridge::builder()
        .side(Side::new("a", a))
        .side(Side::new("b", b.clone()));
    let running = Running::start(bridge.build().unwrap());
    running.until(BridgeDuty::Active).await;
    let (source, mut sink) = (Member::of(&bus, "a").await, Member::of(&bus, "b").await);
    b.refuse(true);
    for number in 1..=100 {
        source.emit(number).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(running.bridge.status().pairs[0].is_stalled);
    b.refuse(false);
    assert_eq!(sink.numbers_up_to(100).await, (1..=100).collect::<Vec<_>>());
    assert_eq!(running.counted(), (100, 0));
    assert!(!running.bridge.status().pairs[0].is_stalled);
}

#[tokio::test(start_paused = true)]
async fn two_sides_that_are_the_same_fleet_are_refused() {
    let bus = MemoryBus::new();
    let bridge = Bridge::builder()
        .side(Side::new("one", bus.manager("same")))
        .side(Side::new("two", bus.manager("same")));
    let error = Running::start(bridge.build().unwrap()).ended().await.unwrap_err();
    assert!(error.to_string().contains("same fleet"), "{error}");
}

#[test]
fn what_cannot_be_a_bridge_is_refused() {
    let bus = MemoryBus::new();
    let side = |name: &str| Side::new(name, bus.manager(name));
    let refused = |builder: crate::BridgeBuilder| builder.build().unwrap_err().to_string();
    assert!(refused(Bridge::builder().side(side("a"))).contains("two sides"));
    assert!(refused(Bridge::builder().side(side("a")).side(side("a"))).contains("the name \"a\""));
    let options = BridgeOptions {
        takeover: Duration::from_secs(1),
        ..BridgeOptions::default()
    };
    let builder = Bridge::builder().side(side("a")).side(side("b")).options(options);
    assert!(refused(builder).contains("lease"));
    assert!(side("a").namespaces([]).unwrap_err().to_string().contains("empty list"));
    assert!(side("a").namespaces(["chat"]).is_err());
}
