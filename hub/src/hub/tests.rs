//! Two hubs and an emitter on one bus, with a recorder in place of a server.

mod cluster;
mod collect;
mod commands;
mod emitter;
mod inspect;
mod limits;
mod local;
mod order;
mod repeats;
mod restart;
mod rooms;
mod sizes;
mod subscription;
mod time;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::*;
use manager_api::memory::MemoryBus;
use manager_api::message::Target;
use manager_api::wire::python;
use manager_api::{Emitter, ErrorKind, Incoming, Room};

/// A client that records what it is sent.
#[derive(Clone)]
struct Recorded {
    sid: Sid,
    sent: mpsc::UnboundedSender<(Sid, String, Option<u64>)>,
}

/// The client whose outbox takes nothing.
const REFUSES: &str = "refuses";

/// A server whose packets are text.
struct Recorder {
    disconnected: Mutex<Vec<Sid>>,
    closed: Mutex<Vec<Sid>>,
    panics_at: &'static str,
}

impl Deliver for Recorder {
    type Client = Recorded;
    type Packet = (String, Option<u64>);

    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Self::Packet {
        assert_ne!(emit.event.as_str(), self.panics_at, "requested by the test");
        (format!("{} {}", emit.event, emit.payload.json()), ack)
    }

    fn deliver(&self, client: &Recorded, packet: &Self::Packet, _: bool) -> Pressure {
        if client.sid.as_str() == REFUSES {
            return Pressure::Refused;
        }
        client
            .sent
            .send((client.sid.clone(), packet.0.clone(), packet.1))
            .unwrap();
        Pressure::Low
    }

    fn disconnect(&self, client: &Recorded) {
        self.disconnected.lock().unwrap().push(client.sid.clone());
    }

    fn close(&self, client: &Recorded) {
        self.closed.lock().unwrap().push(client.sid.clone());
    }
}

fn recorder() -> Recorder {
    Recorder {
        disconnected: Mutex::default(),
        closed: Mutex::default(),
        panics_at: "panic",
    }
}

struct Host {
    hub: Arc<Hub<Recorder>>,
    sender: mpsc::UnboundedSender<(Sid, String, Option<u64>)>,
    sent: mpsc::UnboundedReceiver<(Sid, String, Option<u64>)>,
}

impl Host {
    async fn start(manager: impl ClientManager) -> Self {
        // Servers on this bus confirm their presence at once.
        let options = HubOptions {
            presence_wait: Duration::from_millis(100),
            ..HubOptions::default()
        };
        Self::start_with(manager, options).await.0
    }

    async fn start_with(manager: impl ClientManager, options: HubOptions) -> (Self, tokio::task::JoinHandle<()>) {
        let hub = Hub::new(recorder(), Some(Arc::new(manager)), options);
        let running = tokio::spawn(hub.clone().run());
        hub.subscribed().await;
        let (sender, sent) = mpsc::unbounded_channel();
        (Self { hub, sender, sent }, running)
    }

    fn add(&self, sid: &str) -> ClientKey {
        let client = Recorded {
            sid: sid.into(),
            sent: self.sender.clone(),
        };
        self.hub
            .registry()
            .add(&NamespaceName::root(), &sid.into(), client)
            .unwrap()
    }

    async fn next(&mut self) -> (Sid, String, Option<u64>) {
        let next = tokio::time::timeout(Duration::from_secs(5), self.sent.recv());
        next.await
            .expect("something is delivered")
            .expect("the host is running")
    }

    async fn expect(&mut self, sid: &str, text: &str) {
        let (got_sid, got_text, _) = self.next().await;
        assert_eq!((got_sid.as_str(), got_text.as_str()), (sid, text));
    }

    fn rooms(&self, sid: &str) -> Vec<Room> {
        self.hub
            .registry()
            .rooms_of(&NamespaceName::root(), &sid.into())
            .unwrap()
    }
}

async fn two_hosts() -> (MemoryBus, Host, Host) {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    let two = Host::start(bus.manager("c")).await;
    (bus, one, two)
}

/// Emits a last event to `host`, so that all earlier messages have been handled when it arrives.
async fn settle(from: &Host, host: &mut Host, sid: &str) {
    from.hub.broadcast().to(sid).emit("settle", &()).await.unwrap();
    host.expect(sid, "settle []").await;
}

#[tokio::test(start_paused = true)]
async fn an_emit_reaches_the_room_on_every_host_once_and_not_the_excluded() {
    let (_bus, mut one, mut two) = two_hosts().await;
    for (host, sid) in [(&one, "a"), (&one, "b"), (&two, "c"), (&two, "d")] {
        host.add(sid);
        host.hub.broadcast().enter_room(sid, "r").await.unwrap();
    }
    two.hub.broadcast().enter_room("d", "muted").await.unwrap();
    let io = one.hub.broadcast().to_all(["r", "a"]).skip("b").except("muted");
    io.emit("e", &1).await.unwrap();
    one.expect("a", "e [1]").await;
    two.expect("c", "e [1]").await;
    settle(&two, &mut one, "b").await;
    settle(&one, &mut two, "d").await;
    assert_eq!(
        one.hub.metrics().own,
        2,
        "its own two messages came back and were dropped"
    );
}

#[tokio::test(start_paused = true)]
async fn a_local_emit_stays_with_its_host() {
    let (_bus, mut one, mut two) = two_hosts().await;
    one.add("a");
    two.add("c");
    one.hub.broadcast().local().emit("e", &1).await.unwrap();
    one.expect("a", "e [1]").await;
    // Everything published before this arrives before it.
    settle(&one, &mut two, "c").await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_broker_does_not_stop_local_delivery_and_the_caller_learns_of_it() {
    let bus = MemoryBus::new();
    let options = manager_api::ManagerOptions {
        deadline: Duration::from_millis(50),
        ..Default::default()
    };
    let mut one = Host::start(bus.manager_with(options)).await;
    one.add("a");
    bus.stop();
    let error = one.hub.broadcast().emit("e", &1).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    one.expect("a", "e [1]").await;
}

#[tokio::test(start_paused = true)]
async fn commands_reach_clients_wherever_they_are() {
    let (bus, one, mut two) = two_hosts().await;
    two.add("c");
    let emitter = Emitter::new(bus.manager("c"));
    emitter.broadcast().enter_room("c", "r").await.unwrap();
    one.hub.broadcast().enter_room("c", "s").await.unwrap();
    settle(&one, &mut two, "c").await;
    assert_eq!(two.rooms("c"), [Room::from("c"), "r".into(), "s".into()]);
    emitter.broadcast().leave_room("c", "r").await.unwrap();
    settle(&one, &mut two, "c").await;
    assert_eq!(two.rooms("c"), [Room::from("c"), "s".into()]);
    one.hub.broadcast().close_room("s").await.unwrap();
    emitter.disconnect("c").await.unwrap();
    settle(&one, &mut two, "c").await;
    assert_eq!(two.rooms("c"), [Room::from("c")]);
    assert_eq!(*two.hub.deliver().disconnected.lock().unwrap(), [Sid::from("c")]);
}

#[tokio::test(start_paused = true)]
async fn undecodable_messages_and_panicking_deliveries_are_counted_and_passed_over() {
    let (bus, one, mut two) = two_hosts().await;
    two.add("c");
    let stranger = bus.manager("c");
    for body in [&b"\x80\x04pickle"[..], b"{", br#"{"method":"dance"}"#] {
        stranger.publish(Bytes::copy_from_slice(body)).await.unwrap();
    }
    Emitter::new(bus.manager("c")).emit("panic", &()).await.unwrap();
    settle(&one, &mut two, "c").await;
    let metrics = two.hub.metrics();
    assert_eq!((metrics.undecodable, metrics.panics), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn an_emitter_collects_acknowledgements_of_clients_on_every_host() {
    let (bus, mut one, mut two) = two_hosts().await;
    let (a, c) = (one.add("a"), two.add("c"));
    let emitter = Emitter::new(bus.manager("c"));
    let acks = emitter.broadcast().emit_with_ack("q", &()).await.unwrap().count(2);
    let (_, _, id_a) = one.next().await;
    let (_, _, id_c) = two.next().await;
    one.hub
        .acknowledge(a, &"a".into(), id_a.unwrap(), Payload::new("from a").unwrap());
    // Neither a second acknowledgement nor one of a client that was not sent the event counts.
    one.hub
        .acknowledge(a, &"a".into(), id_a.unwrap(), Payload::new("again").unwrap());
    two.hub
        .acknowledge(c + 1, &"x".into(), id_c.unwrap(), Payload::new("forged").unwrap());
    two.hub.acknowledge(
        c,
        &"c".into(),
        id_c.unwrap(),
        Payload::new(&Bytes::from_static(b"\x01")).unwrap(),
    );
    let mut got: Vec<_> = acks
        .all()
        .await
        .unwrap()
        .into_iter()
        .map(|a| (a.client.unwrap(), a.payload))
        .collect();
    got.sort_by(|x, y| x.0.cmp(&y.0));
    assert_eq!(got[0], ("a".into(), Payload::new("from a").unwrap()));
    assert_eq!(
        got[1],
        ("c".into(), Payload::new(&Bytes::from_static(b"\x01")).unwrap())
    );
    assert_eq!((one.hub.metrics().pending_acks, two.hub.metrics().pending_acks), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_for_another_process_do_not_stop_when_many_come_at_once() {
    const CLIENTS: usize = 1_000;
    let (bus, _one, mut two) = two_hosts().await;
    let keys: Vec<_> = (0..CLIENTS).map(|number| two.add(&format!("{number}"))).collect();
    let emitter = Emitter::new(bus.manager("c"));
    let io = emitter.broadcast().timeout(Duration::from_secs(20));
    let acks = io.emit_with_ack("q", &()).await.unwrap().count(CLIENTS);
    let mut received = Vec::new();
    for _ in 0..CLIENTS {
        let (sid, _, id) = two.next().await;
        received.push((sid, id.unwrap()));
    }
    for (sid, id) in received {
        let key = keys[sid.as_str().parse::<usize>().unwrap()];
        two.hub.acknowledge(key, &sid, id, Payload::empty());
    }
    assert_eq!(acks.all().await.unwrap().len(), CLIENTS);
}

#[tokio::test(start_paused = true)]
async fn an_event_without_acknowledgements_ends_at_its_deadline_and_leaves_nothing() {
    let (_bus, one, two) = two_hosts().await;
    one.add("a");
    two.add("c");
    let io = one.hub.broadcast().timeout(Duration::from_millis(50));
    let mut acks = io.emit_with_ack("q", &()).await.unwrap();
    assert!(acks.next().await.is_none());
    assert!(acks.timed_out());
    drop(acks);
    assert_eq!(one.hub.metrics().pending_acks, 0);
}

#[tokio::test(start_paused = true)]
async fn an_event_swept_at_its_deadline_still_reports_the_timeout() {
    let table = Arc::<AckTable>::default();
    let second = Duration::from_secs(1);
    let (_, mut acks) = table.expect(Vec::new(), true, second, None).await;
    let address = CallbackAddress {
        room: None,
        namespace: NamespaceName::root(),
        id: 1,
    };
    let registered = table.expect_for(HostId::random(), address, vec![1], second, None);
    registered.await.unwrap();
    tokio::time::advance(second).await;
    table.sweep().await;
    assert_eq!(table.num_pending(), 1, "the event of another process has expired");
    assert!(acks.next().await.is_none());
    assert!(acks.timed_out());
    drop(acks);
    assert_eq!(table.num_pending(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_is_not_waited_for() {
    let hub = Hub::new(
        Recorder {
            disconnected: Mutex::default(),
            closed: Mutex::default(),
            panics_at: "",
        },
        None,
        HubOptions::default(),
    );
    let (sent, _keep) = mpsc::unbounded_channel();
    let client = Recorded { sid: "a".into(), sent };
    let key = hub.registry().add(&NamespaceName::root(), &"a".into(), client).unwrap();
    let mut acks = hub.broadcast().emit_with_ack("q", &()).await.unwrap();
    hub.remove(&NamespaceName::root(), &"a".into(), key);
    let ended = tokio::time::timeout(Duration::from_secs(5), acks.next());
    assert!(
        ended
            .await
            .expect("ends at once, not at the deadline of a minute")
            .is_none()
    );
    assert!(!acks.timed_out());
}

#[tokio::test(start_paused = true)]
async fn a_write_only_emitter_does_not_subscribe_until_it_expects_a_response() {
    let bus = MemoryBus::new();
    let watcher = bus.manager("c");
    let mut watching = watcher.subscribe().await.unwrap();
    let emitter = Emitter::new(bus.manager("c"));
    emitter.of("/chat").to("r").emit("e", &1).await.unwrap();
    let Some(Incoming::Message(message)) = watching.recv().await else {
        panic!("a message");
    };
    let envelope = python::decode(&message).unwrap();
    let Message::Emit(emit) = envelope.message else {
        panic!("an emit");
    };
    assert_eq!(
        (emit.namespace.as_str(), emit.event),
        ("/chat", EventName::new("e").unwrap())
    );
    assert_eq!(bus.num_subscribers("c"), 1, "the watcher alone");
}

#[tokio::test(start_paused = true)]
async fn bad_names_are_refused_before_anything_is_sent() {
    let bus = MemoryBus::new();
    let emitter = Emitter::new(bus.manager("c"));
    for (namespace, event) in [("chat", "e"), ("/a,b", "e"), ("/", ""), ("/", "disconnect")] {
        let error = emitter.of(namespace).emit(event, &1).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!error.is_retryable());
    }
}
