//! The suite on the in-memory manager, on the decorators, and on managers that are broken on purpose.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use manager_api::{
    ClientManager, ErrorKind, Incoming, ManagerOptions, Subscription,
    memory::{MemoryBus, MemoryLog},
};
use manager_testkit::{Backend, Fault, Flaky, OnLink, Recorder};

/// Managers in memory, with or without a log, with or without decorators, which change nothing without faults: the suite
/// passes through all.
struct Memory {
    bus: MemoryBus,
    has_log: bool,
    is_decorated: bool,
}

impl Memory {
    fn bare() -> Self {
        Self {
            bus: MemoryBus::new(),
            has_log: false,
            is_decorated: false,
        }
    }

    fn logged() -> Self {
        Self {
            bus: MemoryBus::with_log(MemoryLog::default()),
            has_log: true,
            is_decorated: false,
        }
    }

    fn decorated() -> Self {
        Self {
            is_decorated: true,
            ..Self::logged()
        }
    }
}

#[async_trait]
impl Backend for Memory {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        let manager = self.bus.manager_with(options);
        match self.is_decorated {
            true => Arc::new(Recorder::new(Flaky::new(manager))),
            false => Arc::new(manager),
        }
    }

    async fn stop(&self) {
        self.bus.stop();
    }

    async fn start(&self) {
        self.bus.start();
    }

    fn lacks(&self, fault: Fault) -> Option<&'static str> {
        (fault == Fault::Replay && !self.has_log).then_some("this bus keeps no messages")
    }

    async fn freeze(&self) -> bool {
        self.bus.stop();
        true
    }

    async fn thaw(&self) {
        self.bus.start();
    }

    async fn manager_on_link(&self, options: ManagerOptions) -> Option<OnLink> {
        let flaky = Flaky::new(self.bus.manager_with(options));
        let manager: Arc<dyn ClientManager> = match self.is_decorated {
            true => Arc::new(Recorder::new(flaky.clone())),
            false => Arc::new(flaky.clone()),
        };
        Some((manager, Box::new(flaky)))
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.bus.num_subscribers(channel)
    }
}

manager_testkit::conformance! {
    mod memory;
    shared: Memory::bare();
    private: Memory::bare();
}

manager_testkit::conformance! {
    mod logged;
    shared: Memory::logged();
    private: Memory::logged();
}

manager_testkit::conformance! {
    mod decorated;
    shared: Memory::decorated();
    private: Memory::decorated();
}

const A: Bytes = Bytes::from_static(b"a");
const B: Bytes = Bytes::from_static(b"b");

async fn message(subscription: &mut Subscription) -> Bytes {
    match subscription.recv().await {
        Some(Incoming::Message(message)) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

#[tokio::test]
async fn flaky_fails_publishes_before_and_after_sending() {
    let flaky = Flaky::new(MemoryBus::new().manager("c"));
    let mut subscription = flaky.subscribe().await.unwrap();
    flaky.fail_publishes(1);
    flaky.lose_replies(1);
    assert_eq!(flaky.publish(A).await.unwrap_err().kind(), ErrorKind::Publish);
    assert_eq!(flaky.publish(B).await.unwrap_err().kind(), ErrorKind::Publish);
    assert_eq!(message(&mut subscription).await, B, "sent although it failed");
    flaky.publish(A).await.unwrap();
    assert_eq!(message(&mut subscription).await, A);
}

#[tokio::test]
async fn flaky_drops_and_duplicates_messages() {
    let flaky = Flaky::new(MemoryBus::new().manager("c"));
    let mut subscription = flaky.subscribe().await.unwrap();
    flaky.drop_messages(1);
    flaky.duplicate_messages(1);
    flaky.publish(A).await.unwrap();
    flaky.publish(B).await.unwrap();
    assert_eq!(message(&mut subscription).await, B, "the first was dropped");
    assert_eq!(message(&mut subscription).await, B, "the second came twice");
}

#[tokio::test(start_paused = true)]
async fn flaky_delays_messages() {
    let flaky = Flaky::new(MemoryBus::new().manager("c"));
    let mut subscription = flaky.subscribe().await.unwrap();
    flaky.delay_messages(Duration::from_secs(3));
    let started = tokio::time::Instant::now();
    flaky.publish(A).await.unwrap();
    assert_eq!(message(&mut subscription).await, A);
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn flaky_cuts_and_mends_with_a_gap() {
    let bus = MemoryBus::new();
    let flaky = Flaky::new(bus.manager("c"));
    let mut subscription = flaky.subscribe().await.unwrap();
    flaky.cut();
    assert_eq!(flaky.publish(A).await.unwrap_err().kind(), ErrorKind::Connect);
    flaky.mend();
    assert!(matches!(subscription.recv().await, Some(Incoming::Gap { .. })));
    bus.manager("c").publish(B).await.unwrap();
    assert_eq!(message(&mut subscription).await, B);
}

#[tokio::test]
async fn recorder_keeps_what_passed() {
    let recorder = Recorder::new(MemoryBus::new().manager("c"));
    let mut subscription = recorder.subscribe().await.unwrap();
    recorder.publish(A).await.unwrap();
    recorder.publish(B).await.unwrap();
    assert_eq!(message(&mut subscription).await, A);
    assert_eq!(recorder.until_published(2).await, [A, B]);
    let received = recorder.until_received(2).await;
    assert_eq!(received, [Incoming::Message(A), Incoming::Message(B)]);
}

/// Cannot be frozen, although it does not say so.
struct Restless {
    bus: MemoryBus,
    why: Option<&'static str>,
}

#[async_trait]
impl Backend for Restless {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        Arc::new(self.bus.manager_with(options))
    }

    async fn stop(&self) {
        self.bus.stop();
    }

    async fn start(&self) {
        self.bus.start();
    }

    fn lacks(&self, _fault: manager_testkit::Fault) -> Option<&'static str> {
        self.why
    }

    async fn freeze(&self) -> bool {
        false
    }

    async fn thaw(&self) {}

    async fn manager_on_link(&self, _options: ManagerOptions) -> Option<OnLink> {
        None
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.bus.num_subscribers(channel)
    }
}

#[tokio::test]
async fn a_backend_that_lacks_a_fault_and_does_not_tell_why_fails_the_cases_that_need_it() {
    use manager_testkit::conformance;
    for why in [None, Some("it has no place to stand on")] {
        let bus = MemoryBus::new;
        let backend = [Restless { bus: bus(), why }, Restless { bus: bus(), why }];
        let [still, line] = &backend;
        let still = conformance::nothing_is_accepted_while_the_broker_stands_still(still);
        let line = conformance::ok_waits_for_the_answer_of_the_broker(line);
        let still = std::panic::AssertUnwindSafe(still).catch_unwind().await;
        let line = std::panic::AssertUnwindSafe(line).catch_unwind().await;
        assert_eq!((still.is_ok(), line.is_ok()), (why.is_some(), why.is_some()), "{why:?}");
    }
}

/// The faults that are tested with the brokers.
#[tokio::test]
async fn a_subscription_ends_although_the_close_was_given_up() {
    let bus = MemoryBus::new();
    for manager in [
        Arc::new(bus.manager("c")) as Arc<dyn ClientManager>,
        Arc::new(Recorder::new(Flaky::new(bus.manager("c")))),
    ] {
        bus.start();
        let mut subscription = manager.subscribe().await.unwrap();
        bus.stop();
        let mut publishing = manager.publish("waits for the broker".into());
        assert!(publishing.as_mut().now_or_never().is_none());
        assert!(manager.close().now_or_never().is_none(), "it waits for the publish");
        let patience = Duration::from_secs(10);
        while let Some(incoming) = tokio::time::timeout(patience, subscription.recv()).await.expect("ends") {
            assert!(matches!(incoming, Incoming::Gap { .. }), "{incoming:?}");
        }
    }
}
