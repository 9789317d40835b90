//! Subscriptions that end, and gaps.

use manager_api::wire::python;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use manager_api::Subscription;
use manager_api::memory::MemoryManager;
use manager_api::subscription::SubscriptionSender;

/// A manager whose subscriptions are ended by the test.
#[derive(Clone)]
pub(super) struct Fickle {
    inner: Arc<MemoryManager>,
    pub(super) current: Arc<Mutex<Option<SubscriptionSender>>>,
    num_subscribed: Arc<AtomicUsize>,
    ends_at_once: bool,
}

impl Fickle {
    pub(super) fn new(bus: &MemoryBus, ends_at_once: bool) -> Self {
        Self {
            inner: Arc::new(bus.manager("c")),
            current: Arc::default(),
            num_subscribed: Arc::default(),
            ends_at_once,
        }
    }

    fn current(&self) -> SubscriptionSender {
        self.current.lock().unwrap().clone().unwrap()
    }

    pub(super) fn num_subscribed(&self) -> usize {
        self.num_subscribed.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ClientManager for Fickle {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        let (sender, subscription) = Subscription::channel(1 << 20);
        *self.current.lock().unwrap() = (!self.ends_at_once).then_some(sender);
        self.num_subscribed.fetch_add(1, Ordering::SeqCst);
        Ok(subscription)
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }
}

fn an_emit() -> Bytes {
    Bytes::from_static(br#"{"method": "emit", "event": "e", "data": [1], "host_id": "python"}"#)
}

#[tokio::test(start_paused = true)]
async fn a_server_whose_subscription_ends_does_not_go_deaf() {
    let manager = Fickle::new(&MemoryBus::new(), false);
    let mut one = Host::start(manager.clone()).await;
    one.add("a");
    for round in 1..=2 {
        manager.current().message(an_emit()).await.unwrap();
        one.expect("a", "e [1]").await;
        *manager.current.lock().unwrap() = None;
        let again = async {
            while manager.num_subscribed() == round {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let again = tokio::time::timeout(Duration::from_secs(10), again).await;
        again.expect("it subscribes again");
        manager.current().message(an_emit()).await.unwrap();
        one.expect("a", "e [1]").await;
        assert_eq!(one.hub.metrics().gaps, round as u64, "a gap is reported");
    }
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_end_at_once_are_retried_with_back_off() {
    let manager = Fickle::new(&MemoryBus::new(), true);
    let one = Host::start(manager.clone()).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    let num_subscribed = manager.num_subscribed();
    assert!(
        (5..=12).contains(&num_subscribed),
        "{num_subscribed} times in two minutes"
    );
    drop(one);
}

#[tokio::test(start_paused = true)]
async fn a_hub_ends_with_its_manager() {
    let (one, running) = Host::start_with(MemoryBus::new().manager("c"), HubOptions::default()).await;
    one.hub.close().await.unwrap();
    let ended = tokio::time::timeout(Duration::from_millis(500), running).await;
    ended.expect("at once").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_lost_many_times_causes_few_hellos() {
    const GAPS: u64 = 1_000;
    let bus = MemoryBus::new();
    let watcher = bus.manager("c");
    let mut watching = watcher.subscribe().await.unwrap();
    let manager = Fickle::new(&bus, false);
    let one = Host::start(manager.clone()).await;
    for number in 0..GAPS {
        manager.current().gap("broken").unwrap();
        while one.hub.metrics().gaps == number {
            tokio::task::yield_now().await;
        }
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut hellos = 0;
    while let Some(Incoming::Message(message)) = watching.try_recv() {
        hellos += u64::from(python::decode(&message).unwrap().message == Message::Hello);
    }
    assert!((2..20).contains(&hellos), "{hellos} hellos");
}
