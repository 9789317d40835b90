//! Events with a key, emitted more than once.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use manager_api::backend::may_be_published;
use manager_api::memory::MemoryManager;
use manager_api::wire::{Arrivals, Encoded, Servers};
use manager_api::{IdempotencyKey, Subscription};

use super::cluster::{DEADLINE, SHORT, assert_nothing_is_open, until_known};
use super::*;

/// A manager whose connection breaks after the broker took a message, before its answer, so many times.
struct LosesAnswers {
    inner: MemoryManager,
    left: AtomicUsize,
}

impl LosesAnswers {
    fn new(bus: &MemoryBus, times: usize) -> Arc<Self> {
        Arc::new(Self {
            inner: bus.manager("c"),
            left: AtomicUsize::new(times),
        })
    }
}

#[async_trait]
impl ClientManager for LosesAnswers {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message).await?;
        let is_lost = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_lost) {
            Ok(_) => Err(may_be_published(Error::new(ErrorKind::Publish, "lost"))),
            Err(_) => Ok(()),
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.inner.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_confirmation_was_lost_is_published_again_and_reaches_each_client_once() {
    let (bus, mut one, mut two) = two_hosts().await;
    one.add("a");
    two.add("c");
    let emitter = Emitter::new(LosesAnswers::new(&bus, 3));
    // Without a key the caller learns that it may have been published, and decides.
    let lost = emitter.emit("e", &0).await.unwrap_err();
    assert!(lost.is_retryable() && lost.may_have_been_published());
    emitter.broadcast().idempotency_key("k").emit("e", &1).await.unwrap();
    for (host, sid) in [(&mut one, "a"), (&mut two, "c")] {
        host.expect(sid, "e [0]").await;
        host.expect(sid, "e [1]").await;
    }
    settle(&two, &mut one, "a").await;
    settle(&one, &mut two, "c").await;
    for host in [&one, &two] {
        let metrics = host.hub.metrics();
        assert_eq!((metrics.repeats, metrics.idempotency_keys), (2, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_emits_again_delivers_to_its_own_clients_once_and_publishes_each_time() {
    let bus = MemoryBus::new();
    let manager = LosesAnswers::new(&bus, 0);
    let mut one = Host::start(manager.clone()).await;
    let mut two = Host::start(bus.manager("c")).await;
    one.add("a");
    two.add("c");
    manager.left.store(1, Ordering::SeqCst);
    let emit = |host: &Host, number: u64| host.hub.broadcast().idempotency_key("k").emit("e", &number);
    emit(&one, 1).await.unwrap();
    // The client of the worker asks again, and a balancer sends it to another server.
    emit(&one, 2).await.unwrap();
    emit(&two, 3).await.unwrap();
    one.expect("a", "e [1]").await;
    two.expect("c", "e [1]").await;
    settle(&two, &mut one, "a").await;
    settle(&one, &mut two, "c").await;
    let repeats = |host: &Host| host.hub.metrics().repeats;
    assert_eq!((repeats(&one), repeats(&two)), (2, 3));
    // To this server only, and then to all.
    one.hub
        .broadcast()
        .local()
        .idempotency_key("l")
        .emit("e", &4)
        .await
        .unwrap();
    one.hub.broadcast().idempotency_key("l").emit("e", &5).await.unwrap();
    one.expect("a", "e [4]").await;
    two.expect("c", "e [5]").await;
    settle(&two, &mut one, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_repeat_comes_through_once_its_window_is_over_or_its_key_was_forgotten() {
    let bus = MemoryBus::new();
    let options = HubOptions {
        idempotency_window: Duration::from_secs(60),
        max_idempotency_keys: 2,
        ..HubOptions::default()
    };
    let (mut host, _) = Host::start_with(bus.manager("c"), options).await;
    host.add("a");
    let emitter = Emitter::new(bus.manager("c"));
    let emit = |key: &'static str| {
        let broadcast = emitter.broadcast().idempotency_key(key);
        async move { broadcast.emit("e", key).await.unwrap() }
    };
    emit("k").await;
    tokio::time::sleep(Duration::from_secs(59)).await;
    emit("k").await;
    emit("other").await;
    host.expect("a", "e [\"k\"]").await;
    host.expect("a", "e [\"other\"]").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(
        host.hub.metrics().idempotency_keys,
        1,
        "the sweep removed the expired one"
    );
    emit("k").await;
    host.expect("a", "e [\"k\"]").await;
    assert_eq!(host.hub.metrics().idempotency_keys_evicted, 0);
    emit("third").await;
    host.expect("a", "e [\"third\"]").await;
    emit("other").await;
    host.expect("a", "e [\"other\"]").await;
    let metrics = host.hub.metrics();
    assert_eq!((metrics.repeats, metrics.idempotency_keys_evicted), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_receipt_of_a_repeat_counts_the_clients_of_the_first_copy() {
    let (bus, mut one, mut two) = two_hosts().await;
    until_known(&one, 1).await;
    for (host, sid) in [(&one, "a"), (&one, "b"), (&two, "c")] {
        host.add(sid);
    }
    let emitters = [(); 2].map(|()| Emitter::new(bus.manager("c")));
    for broadcast in [emitters[0].broadcast(), emitters[1].broadcast(), one.hub.broadcast()] {
        let receipt = broadcast
            .idempotency_key("k")
            .emit_with_receipt("e", &())
            .await
            .unwrap();
        assert_eq!((receipt.num_clients(), receipt.servers.len()), (3, 2), "{receipt:?}");
        assert!(receipt.missing_servers.is_empty());
    }
    for sid in ["a", "b"] {
        one.expect(sid, "e []").await;
    }
    two.expect("c", "e []").await;
    settle(&two, &mut one, "a").await;
    settle(&one, &mut two, "c").await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_the_first_copy_count_for_an_emit_that_was_published_again() {
    let (bus, mut one, _two) = two_hosts().await;
    let key = one.add("a");
    let manager = LosesAnswers::new(&bus, 0);
    let emitter = Emitter::new(manager.clone());
    emitter.servers(DEADLINE).await.unwrap();
    manager.left.store(2, Ordering::SeqCst);
    let asked = emitter
        .broadcast()
        .timeout(DEADLINE)
        .idempotency_key("k")
        .emit_and_collect("q", &());
    let asked = tokio::spawn(asked);
    let (sid, _, id) = one.next().await;
    one.hub.acknowledge(key, &sid, id.unwrap(), Payload::empty());
    let report = asked.await.unwrap().unwrap();
    assert!(report.is_complete() && report.acks.len() == 1, "{report:?}");
    assert_eq!(one.hub.metrics().repeats, 2);
    assert_nothing_is_open(&[&one]);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_of_another_process_is_not_acknowledged_and_its_report_does_not_wait() {
    let (bus, mut one, two) = two_hosts().await;
    until_known(&one, 1).await;
    one.add("a");
    let [first, other] = [(); 2].map(|()| Emitter::new(bus.manager("c")));
    first.broadcast().idempotency_key("k").emit("q", &()).await.unwrap();
    one.expect("a", "q []").await;
    for broadcast in [other.broadcast(), one.hub.broadcast()] {
        let repeat = broadcast.idempotency_key("k").timeout(Duration::from_secs(3_600));
        let report = tokio::time::timeout(DEADLINE, repeat.emit_and_collect("q", &()));
        let report = report.await.expect("it does not wait").unwrap();
        assert!(report.is_complete() && report.acks.is_empty(), "{report:?}");
    }
    let repeat = other.broadcast().idempotency_key("k").timeout(SHORT);
    assert!(repeat.emit_with_ack("q", &()).await.unwrap().next().await.is_none());
    settle(&two, &mut one, "a").await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_panicked_halfway_is_not_repeated_for_those_who_have_it() {
    let (bus, mut one, mut two) = two_hosts().await;
    one.add("a");
    two.add("c");
    let emitter = Emitter::new(bus.manager("c"));
    for _ in 0..2 {
        emitter
            .broadcast()
            .idempotency_key("k")
            .emit("panic", &())
            .await
            .unwrap();
    }
    settle(&two, &mut one, "a").await;
    settle(&one, &mut two, "c").await;
    for host in [&one, &two] {
        let metrics = host.hub.metrics();
        assert_eq!((metrics.panics, metrics.repeats), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_missed_the_first_copy_delivers_the_second() {
    let (bus, mut one, _two) = two_hosts().await;
    one.add("a");
    let emitter = Emitter::new(bus.manager("c"));
    let emit = || emitter.broadcast().idempotency_key("k").emit("e", &());
    emit().await.unwrap();
    one.expect("a", "e []").await;
    let mut late = Host::start(bus.manager("c")).await;
    late.add("l");
    emit().await.unwrap();
    late.expect("l", "e []").await;
    settle(&late, &mut one, "a").await;
}

/// A wire that cannot carry keys, and otherwise is ours.
#[derive(Debug)]
struct NoKeys;

struct NoKeysMessenger(Arc<dyn Messenger>);

impl Wire for NoKeys {
    fn check(&self, _: &dyn ClientManager) -> Result<(), Error> {
        Ok(())
    }

    fn open(&self, manager: Arc<dyn ClientManager>, process: Process) -> Result<Arc<dyn Messenger>, Error> {
        Ok(Arc::new(NoKeysMessenger(Python::messenger(manager, process))))
    }
}

impl Messenger for NoKeysMessenger {
    fn manager(&self) -> &Arc<dyn ClientManager> {
        self.0.manager()
    }

    fn process(&self) -> &Process {
        self.0.process()
    }

    fn encode(&self, envelope: Envelope) -> Encoded {
        self.0.encode(envelope)
    }

    fn carries_keys(&self) -> bool {
        false
    }

    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>> {
        self.0.receive()
    }

    fn servers<'a>(&'a self, namespace: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>> {
        self.0.servers(namespace)
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_used_or_carried_is_refused_before_anything_is_sent() {
    let bus = MemoryBus::new();
    let mut host = Host::start(bus.manager("c")).await;
    host.add("a");
    let manager = Arc::new(bus.manager("c"));
    let no_keys = Hub::with_wire(recorder(), manager, &NoKeys, HubOptions::default()).unwrap();
    let emitter = Emitter::with_wire(bus.manager("c"), &NoKeys).unwrap();
    let too_long = "k".repeat(IdempotencyKey::MAX_LEN + 1);
    for (broadcast, key) in [
        (host.hub.broadcast(), &*too_long),
        (host.hub.broadcast(), ""),
        (Emitter::new(bus.manager("c")).broadcast(), &*too_long),
        (no_keys.broadcast(), "k"),
        (emitter.broadcast(), "k"),
    ] {
        let refused = broadcast.idempotency_key(key);
        assert_eq!(
            refused.clone().emit("e", &()).await.unwrap_err().kind(),
            ErrorKind::Config
        );
        let asked = refused.clone().emit_with_ack("e", &()).await.unwrap_err();
        assert_eq!(asked.kind(), ErrorKind::Config);
        let receipt = refused.emit_with_receipt("e", &()).await.unwrap_err();
        assert_eq!(receipt.kind(), ErrorKind::Config);
    }
    emitter.emit("settle", &()).await.unwrap();
    host.expect("a", "settle []").await;
}
