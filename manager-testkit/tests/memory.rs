//! The suite on the in-memory manager, and the decorators.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::{ClientManager, ErrorKind, Incoming, ManagerOptions, MemoryBus, Subscription};
use manager_testkit::{Backend, Flaky, Recorder};

struct Memory(MemoryBus);

impl Memory {
    fn new() -> Self {
        Self(MemoryBus::new())
    }
}

#[async_trait]
impl Backend for Memory {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        Arc::new(self.0.manager_with(options))
    }

    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.0.num_subscribers(channel)
    }
}

manager_testkit::conformance! {
    mod memory;
    shared: Memory::new();
    private: Memory::new();
}

/// The decorators change nothing until told to: the suite passes through both.
struct Decorated(MemoryBus);

#[async_trait]
impl Backend for Decorated {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        Arc::new(Recorder::new(Flaky::new(self.0.manager_with(options))))
    }

    async fn stop(&self) {
        self.0.stop();
    }

    async fn start(&self) {
        self.0.start();
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.0.num_subscribers(channel)
    }
}

manager_testkit::conformance! {
    mod decorated;
    shared: Decorated(MemoryBus::new());
    private: Decorated(MemoryBus::new());
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
