//! Limits: full queues, timeouts of any length, clients that leave in between.

use super::*;
use manager_api::ack::AckLimits;
use manager_api::deadline::after;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn callback_address() -> CallbackAddress {
    CallbackAddress {
        room: None,
        namespace: NamespaceName::root(),
        id: 1,
    }
}

/// Starts a host with `options` and two clients, "c" and "d".
async fn limited(bus: &MemoryBus, options: HubOptions) -> (Host, HashMap<Sid, ClientKey>) {
    let (host, _) = Host::start_with(bus.manager("c"), options).await;
    let keys = ["c", "d"].map(|sid| (Sid::from(sid), host.add(sid)));
    (host, HashMap::from(keys))
}

/// Emits to the clients of `two`, of which `count` acknowledge without a pause, and returns the acknowledgements.
async fn emit_and_acknowledge(
    one: &Host,
    (two, keys): &mut (Host, HashMap<Sid, ClientKey>),
    count: usize,
    with: &str,
) -> AckStream {
    let io = one.hub.broadcast().timeout(MINUTE);
    let acks = io.emit_with_ack("q", &()).await.unwrap();
    let received = [two.next().await, two.next().await];
    // Nothing is awaited in between, so the task that publishes acknowledgements cannot run.
    for (sid, _, id) in received.into_iter().take(count) {
        let payload = Payload::new(with).unwrap();
        two.hub.acknowledge(keys[&sid], &sid, id.unwrap(), payload);
    }
    acks
}

async fn first(mut acks: AckStream) -> (Sid, Payload) {
    let ack = tokio::time::timeout(Duration::from_secs(5), acks.next());
    let ack = ack.await.expect("it arrives").unwrap().unwrap();
    (ack.client.unwrap(), ack.payload)
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_for_a_full_queue_is_dropped_and_counted_and_later_ones_pass() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    let options = HubOptions {
        max_queued_callbacks: 1,
        ..HubOptions::default()
    };
    let mut two = limited(&bus, options).await;
    let acks = emit_and_acknowledge(&one, &mut two, 2, "x").await;
    assert_eq!(two.0.hub.metrics().callbacks_dropped, 1);
    assert_eq!(first(acks).await.0.as_str(), "c");
    let acks = emit_and_acknowledge(&one, &mut two, 1, "y").await;
    assert_eq!(first(acks).await.1, Payload::new("y").unwrap());
    let metrics = two.0.hub.metrics();
    assert_eq!(
        (metrics.callbacks_dropped, metrics.pending_acks),
        (1, 1),
        "one has not acknowledged"
    );
}

#[tokio::test(start_paused = true)]
async fn large_acknowledgements_do_not_fill_the_memory_while_the_broker_is_slow() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    let options = HubOptions {
        max_queued_callback_bytes: 1_000,
        ..HubOptions::default()
    };
    let mut two = limited(&bus, options).await;
    let acks = emit_and_acknowledge(&one, &mut two, 2, &"x".repeat(600)).await;
    assert_eq!(two.0.hub.metrics().callbacks_dropped, 1);
    first(acks).await;
    // Larger than the whole limit, but alone.
    let large = "y".repeat(5_000);
    let acks = emit_and_acknowledge(&one, &mut two, 1, &large).await;
    assert_eq!(first(acks).await.1, Payload::new(&large).unwrap());
    assert_eq!(two.0.hub.metrics().callbacks_dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn events_that_are_never_acknowledged_fill_no_memory_and_are_delivered_all_the_same() {
    let bus = MemoryBus::new();
    let one = Host::start(bus.manager("c")).await;
    let options = HubOptions {
        max_expected_acks: 3,
        ..HubOptions::default()
    };
    let (mut two, keys) = limited(&bus, options).await;
    let mut acks = Vec::new();
    let mut emit = async |two: &mut Host| {
        let io = one.hub.broadcast().timeout(MINUTE);
        acks.push(io.emit_with_ack("q", &()).await.unwrap());
        [two.next().await.2, two.next().await.2]
    };
    let [Some(first), Some(_)] = emit(&mut two).await else {
        panic!("both are to acknowledge");
    };
    for refused in 1..=2 {
        assert_eq!(emit(&mut two).await, [None, None]);
        assert_eq!(two.hub.metrics().emits_without_acks, refused);
    }
    let (c, d) = (Sid::from("c"), Sid::from("d"));
    two.hub.acknowledge(keys[&c], &c, first, Payload::empty());
    two.hub.remove(&NamespaceName::root(), &d, keys[&d]);
    two.add("e");
    let ids = emit(&mut two).await;
    assert!(ids.iter().all(Option::is_some), "the limit allows them again");
    assert_eq!(two.hub.metrics().emits_without_acks, 2);
}

#[tokio::test(start_paused = true)]
async fn expired_events_do_not_count_against_the_limit() {
    let table = AckTable::new(AckLimits {
        max_expected_acks: 2,
        ..AckLimits::default()
    });
    let expect = || table.expect_for(HostId::from("h"), callback_address(), vec![1, 2], MINUTE, None);
    assert!(expect().await.is_some());
    assert!(expect().await.is_none());
    tokio::time::advance(MINUTE).await;
    table.sweep().await;
    assert!(expect().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_end_does_not_panic_and_the_other_servers_understand_it() {
    let bus = MemoryBus::new();
    let options = || HubOptions {
        max_ack_timeout: Duration::MAX,
        presence_wait: Duration::from_millis(1),
        ..HubOptions::default()
    };
    let (mut one, _) = Host::start_with(bus.manager("c"), options()).await;
    let (mut two, _) = Host::start_with(bus.manager("c"), options()).await;
    let (a, c) = (one.add("a"), two.add("c"));
    let emitter = Emitter::new(bus.manager("c"));
    for io in [one.hub.broadcast(), emitter.broadcast()] {
        let io = io.timeout(Duration::MAX);
        let acks = io.clone().emit_with_ack("q", &()).await.unwrap().count(2);
        for (host, key) in [(&mut one, a), (&mut two, c)] {
            let (sid, _, id) = host.next().await;
            host.hub.acknowledge(key, &sid, id.unwrap(), Payload::empty());
        }
        assert_eq!(acks.all().await.unwrap().len(), 2);
        assert_eq!(io.fetch_sockets().await.unwrap().found.len(), 2);
    }
    let called = one.hub.server_side_call("unhandled", &(), Duration::MAX).await.unwrap();
    assert_eq!(called.found.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_waits_without_end_for_the_others_listens() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        presence_wait: Duration::MAX,
        ..HubOptions::default()
    };
    let (mut one, running) = Host::start_with(bus.manager("c"), options).await;
    one.add("a");
    Emitter::new(bus.manager("c")).emit("e", &1).await.unwrap();
    one.expect("a", "e [1]").await;
    assert!(!running.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_before_delivery_is_not_waited_for() {
    let (_bus, one, two) = two_hosts().await;
    let mut emit = Emit::new(NamespaceName::root(), EventName::new("q").unwrap(), Payload::empty());
    let leave_after_snapshot = async |host: &Host, sid: &str| {
        let key = host.add(sid);
        let recipients = host.hub.recipients(&emit).await;
        host.hub.remove(&NamespaceName::root(), &sid.into(), key);
        recipients
    };
    let (local, remote) = (
        leave_after_snapshot(&one, "a").await,
        leave_after_snapshot(&two, "c").await,
    );
    let mut acks = one
        .hub
        .emit_expecting(emit.clone(), &local, Scope::Local, after(MINUTE))
        .await;
    let ended = tokio::time::timeout(Duration::from_secs(5), acks.next());
    assert!(ended.await.expect("ends at once, not at the deadline").is_none());
    emit.callback = Some(callback_address());
    let requester = one.hub.host_id().clone();
    two.hub.deliver_remote(&emit, Some(requester), &remote).await;
    assert_eq!((one.hub.metrics().pending_acks, two.hub.metrics().pending_acks), (0, 0));
}

#[tokio::test]
async fn clients_that_leave_do_not_scan_the_events_of_all_others() {
    const MANY: u64 = 20_000;
    let table = Arc::<AckTable>::default();
    for key in 0..MANY {
        let (host, address) = (HostId::from("h"), callback_address());
        table.expect_for(host, address, vec![key], MINUTE, None).await;
    }
    let started = std::time::Instant::now();
    for key in MANY..2 * MANY {
        assert!(table.forget_some(key).is_none());
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(10), "{MANY} clients left in {took:?}");
    assert_eq!(table.num_pending() as u64, MANY);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_ended_in_any_way_waits_for_no_client() {
    let table = Arc::<AckTable>::default();
    let (first, second) = (1, 2);
    let keys = || vec![first, second];
    let expect = |report| table.expect_for(HostId::from("h"), callback_address(), keys(), MINUTE, report);
    let (_, dropped) = table.expect(keys(), true, MINUTE, None).await;
    let (acknowledged, _swept) = (expect(Some(7)).await.unwrap(), expect(None).await);
    assert_eq!((table.num_pending(), table.num_expected()), (3, 6));
    drop(dropped);
    assert!(
        table
            .acknowledge(first, &"a".into(), acknowledged, Payload::empty())
            .is_some()
    );
    assert_eq!((table.num_pending(), table.num_expected()), (2, 3));
    let missing = table.forget_some(second).unwrap();
    assert_eq!(missing.len(), 1, "to be reported for the first event: {missing:?}");
    assert_eq!((table.num_pending(), table.num_expected()), (1, 1));
    tokio::time::advance(MINUTE).await;
    table.sweep().await;
    assert_eq!((table.num_pending(), table.num_expected()), (0, 0));
}
