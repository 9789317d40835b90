//! Recovery of a hub whose parts panic, or whose broker refuses.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use manager_api::memory::MemoryManager;
use manager_api::subscription::SubscriptionSender;
use manager_api::{Health, Subscription};

/// A log whose writer panics, as if standard error was closed.
struct BrokenLog;

impl tracing::Subscriber for BrokenLog {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        // Log lines of other crates are not tested.
        let target = event.metadata().target();
        assert!(
            !target.starts_with("manager_api") && !target.starts_with("hub"),
            "cannot write the log"
        );
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

/// A manager whose attempts to subscribe have scripted outcomes, by their number.
#[derive(Clone)]
struct Scripted {
    inner: Arc<MemoryManager>,
    attempt: fn(usize) -> Attempt,
    num_attempts: Arc<AtomicUsize>,
    current: Arc<Mutex<Option<SubscriptionSender>>>,
}

enum Attempt {
    Succeeds,
    Panics,
    IsRefused,
}

impl Scripted {
    fn new(attempt: fn(usize) -> Attempt) -> Self {
        Self {
            inner: Arc::new(MemoryBus::new().manager("c")),
            attempt,
            num_attempts: Arc::default(),
            current: Arc::default(),
        }
    }

    fn current(&self) -> SubscriptionSender {
        self.current.lock().unwrap().clone().unwrap()
    }
}

#[async_trait]
impl ClientManager for Scripted {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        match (self.attempt)(self.num_attempts.fetch_add(1, Ordering::SeqCst)) {
            Attempt::Succeeds => {}
            Attempt::Panics => panic!("requested by the test"),
            Attempt::IsRefused => return Err(Error::new(ErrorKind::Config, "the right to read is missing")),
        }
        let (sender, subscription) = Subscription::channel(1 << 20);
        *self.current.lock().unwrap() = Some(sender);
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn health(&self) -> Health {
        {
            let mut health = Health::default();
            health.listening_since = Some(SystemTime::now());
            health
        }
    }
}

/// A manager whose broker is out of reach: what is published waits for it.
struct CutOff {
    /// Carries what is published before the cut.
    inner: MemoryManager,
    /// The broker is out of reach from now on.
    is_cut: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl ClientManager for CutOff {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        match self.is_cut.load(Ordering::SeqCst) {
            true => std::future::pending().await,
            false => self.inner.publish(message).await,
        }
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.inner.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn health(&self) -> Health {
        let mut health = Health::default();
        if self.is_cut.load(Ordering::SeqCst) {
            health.last_error = Some((SystemTime::now(), "connection refused".to_owned()));
        }
        health
    }
}

/// What the application published itself is flushed, or reported, by the manager's own `close`.
#[tokio::test(start_paused = true)]
async fn a_server_whose_broker_is_out_of_reach_closes_without_a_bye() {
    let manager = Arc::new(CutOff {
        inner: MemoryBus::new().manager("c"),
        is_cut: Default::default(),
    });
    let hub = Hub::new(recorder(), Some(manager.clone()), HubOptions::default());
    let running = tokio::spawn(hub.clone().run());
    hub.subscribed().await;
    manager.is_cut.store(true, Ordering::SeqCst);
    let closed = tokio::time::timeout(Duration::from_secs(5), hub.close()).await;
    closed.expect("it waits for nothing").unwrap();
    running.await.unwrap();
}

/// A manager whose broker refuses every message, which `close` reports if it happens meanwhile.
struct RefusesMessages {
    inner: MemoryManager,
    num_refused: AtomicUsize,
}

#[async_trait]
impl ClientManager for RefusesMessages {
    async fn publish(&self, _: Bytes) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.num_refused.fetch_add(1, Ordering::SeqCst);
        Err(Error::new(ErrorKind::Publish, "no right to publish").refused())
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.inner.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        let before = self.num_refused.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        self.inner.close().await?;
        match self.num_refused.load(Ordering::SeqCst) - before {
            0 => Ok(()),
            _ => Err(Error::new(ErrorKind::Timeout, "messages could not be flushed")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bye_that_the_broker_refuses_is_no_message_that_was_not_flushed() {
    let manager = RefusesMessages {
        inner: MemoryBus::new().manager("c"),
        num_refused: AtomicUsize::new(0),
    };
    let hub = Hub::new(recorder(), Some(Arc::new(manager)), HubOptions::default());
    let running = tokio::spawn(hub.clone().run());
    hub.subscribed().await;
    // Its own announcement is refused meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    hub.close().await.unwrap();
    running.await.unwrap();
}

fn an_emit() -> Bytes {
    Bytes::from_static(br#"{"method": "emit", "event": "e", "data": [1], "host_id": "python"}"#)
}

async fn eventually(what: impl Fn() -> bool) {
    let happens = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), happens)
        .await
        .expect("happens in time");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_cannot_be_written_makes_no_server_deaf() {
    let _log = tracing::subscriber::set_default(BrokenLog);
    let manager = Scripted::new(|_| Attempt::Succeeds);
    let mut one = Host::start(manager.clone()).await;
    one.add("a");
    let sender = manager.current();
    sender.gap("the connection broke").unwrap();
    for undelivered in [&b"not JSON"[..], br#"{"method": "emit", "event": "panic"}"#] {
        sender.message(Bytes::from_static(undelivered)).await.unwrap();
    }
    sender.message(an_emit()).await.unwrap();
    one.expect("a", "e [1]").await;
    let metrics = one.hub.metrics();
    assert_eq!((metrics.gaps, metrics.undecodable, metrics.panics), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_is_started_again_counted_and_admits_a_gap() {
    let manager = Scripted::new(|attempt| match attempt {
        1 => Attempt::Panics,
        _ => Attempt::Succeeds,
    });
    let mut one = Host::start(manager.clone()).await;
    one.add("a");
    // The subscription ends; the listener subscribes again.
    *manager.current.lock().unwrap() = None;
    eventually(|| one.hub.metrics().gaps == 1).await;
    manager.current().message(an_emit()).await.unwrap();
    one.expect("a", "e [1]").await;
    let metrics = one.hub.metrics();
    assert_eq!((metrics.restarts, metrics.gaps, metrics.is_listening), (1, 1, true));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_to_listen_makes_the_server_unhealthy_and_is_counted_each_time() {
    let manager = Scripted::new(|attempt| match attempt {
        1..=4 => Attempt::IsRefused,
        _ => Attempt::Succeeds,
    });
    let mut one = Host::start(manager.clone()).await;
    one.add("a");
    assert!(one.hub.health().unwrap().listening_since.is_some());
    *manager.current.lock().unwrap() = None;
    eventually(|| one.hub.metrics().subscribe_failures == 2).await;
    let health = one.hub.health().unwrap();
    assert!(
        health.listening_since.is_none(),
        "regardless of the manager's health: {health:?}"
    );
    let (_, last_error) = health.last_error.unwrap();
    assert!(last_error.contains("the right to read is missing"), "{last_error}");
    assert!(!one.hub.metrics().is_listening);
    eventually(|| one.hub.metrics().is_listening).await;
    manager.current().message(an_emit()).await.unwrap();
    one.expect("a", "e [1]").await;
    assert_eq!(one.hub.metrics().subscribe_failures, 4);
    assert!(one.hub.health().unwrap().listening_since.is_some());
}

#[tokio::test]
async fn a_broken_log_does_not_stop_the_dropping_of_acknowledgements() {
    let _broken = tracing::subscriber::set_default(BrokenLog);
    let options = HubOptions {
        max_waiting_ack_bytes: 1,
        max_waiting_response_bytes: 1,
        ..HubOptions::default()
    };
    let hub = Hub::new(recorder(), None, options);
    let (id, _acks) = hub
        .acks
        .expect(vec![1, 2, 3], false, Duration::from_secs(60), None)
        .await;
    let large = Payload::new(&"x".repeat(100)).unwrap();
    for key in [1, 2, 3] {
        hub.acknowledge(key, &"a".into(), id, large.clone());
    }
    // A single acknowledgement above the limit is accepted.
    assert_eq!((hub.metrics().acks_dropped, hub.metrics().pending_acks), (2, 0));

    let deadline = manager_api::deadline::after(Duration::from_secs(60));
    let (id, mut responses) = hub.requester.open(None, deadline).await.unwrap();
    for number in 0..3 {
        let response = manager_api::cluster::ClusterResponse {
            to: hub.host_id().clone(),
            id,
            part: manager_api::cluster::ResponsePart::Event(Some(large.clone())),
            number,
            is_last: false,
            is_truncated: false,
        };
        hub.requester.requests.receive(HostId::from("h"), response);
    }
    assert!(responses.next_until_deadline().await.is_some());
}
