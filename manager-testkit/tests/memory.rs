//! The suite on the in-memory manager, on the decorators, and on managers that are broken on purpose.
#![allow(clippy::unwrap_used)] // helpers of tests are tests

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use manager_api::{ClientManager, ErrorKind, Incoming, ManagerOptions, Subscription, memory::MemoryBus};
use manager_testkit::{Backend, Flaky, OnLink, Recorder};

/// Managers in memory, with or without decorators, which change nothing without faults: the suite passes through both.
struct Memory {
    bus: MemoryBus,
    is_decorated: bool,
}

impl Memory {
    fn bare() -> Self {
        Self {
            bus: MemoryBus::new(),
            is_decorated: false,
        }
    }

    fn decorated() -> Self {
        Self {
            is_decorated: true,
            ..Self::bare()
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

/// Managers that break one sentence of the contract each: the suite must notice.
mod broken {
    use manager_api::{Error, memory::MemoryManager, subscription::SubscriptionSender};
    use manager_testkit::conformance;

    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    enum Fault {
        Doubles,
        Loses,
        Swaps,
        HidesGaps,
        Mangles,
        AcceptsEverything,
        BlocksForEver,
        SharesOneChannel,
        NeverEnds,
        LeavesAConsumer,
        AcceptsBeforeTheAnswer,
        SendsAgain,
    }

    struct Broken(MemoryBus, Fault);

    #[async_trait]
    impl Backend for Broken {
        async fn manager(&self, mut options: ManagerOptions) -> Arc<dyn ClientManager> {
            if self.1 == Fault::SharesOneChannel {
                options.channel = "one".to_owned();
            }
            let inner = Flaky::new(self.0.manager_with(options));
            if self.1 == Fault::Doubles {
                inner.duplicate_messages(usize::MAX);
            }
            Arc::new(BrokenManager { inner, fault: self.1 })
        }

        async fn stop(&self) {
            self.0.stop();
        }

        async fn start(&self) {
            self.0.start();
        }

        async fn freeze(&self) -> bool {
            self.0.stop();
            true
        }

        async fn thaw(&self) {
            self.0.start();
        }

        async fn manager_on_link(&self, options: ManagerOptions) -> Option<OnLink> {
            let inner = Flaky::new(self.0.manager_with(options));
            let manager = BrokenManager {
                inner: inner.clone(),
                fault: self.1,
            };
            Some((Arc::new(manager), Box::new(inner)))
        }

        async fn num_consumers(&self, channel: &str) -> usize {
            self.0.num_subscribers(channel) + usize::from(self.1 == Fault::LeavesAConsumer)
        }
    }

    struct BrokenManager {
        inner: Flaky<MemoryManager>,
        fault: Fault,
    }

    #[async_trait]
    impl ClientManager for BrokenManager {
        async fn publish(&self, message: Bytes) -> Result<(), Error> {
            if self.fault == Fault::AcceptsBeforeTheAnswer {
                let inner = self.inner.clone();
                tokio::spawn(async move { inner.publish(message).await });
                return Ok(());
            }
            let published = self.inner.publish(message.clone()).await;
            match self.fault {
                Fault::SendsAgain if published.is_err() => self.inner.publish(message).await,
                Fault::AcceptsEverything => Ok(()),
                Fault::BlocksForEver if published.is_err() => std::future::pending().await,
                _ => published,
            }
        }

        async fn subscribe(&self) -> Result<Subscription, Error> {
            let inner = self.inner.subscribe().await?;
            let (sender, subscription) = Subscription::channel(1 << 20);
            tokio::spawn(forward(inner, sender, self.fault));
            Ok(subscription)
        }

        async fn close(&self) -> Result<(), Error> {
            self.inner.close().await
        }
    }

    async fn forward(mut inner: Subscription, sender: SubscriptionSender, fault: Fault) {
        let mut held = None;
        let mut is_lost = false;
        while let Some(incoming) = inner.recv().await {
            let message = match incoming {
                Incoming::Message(message) => message,
                _ if fault == Fault::HidesGaps => continue,
                _ => {
                    let _ = sender.gap("as it came");
                    continue;
                }
            };
            // The presence of servers is published repeatedly; a test would not notice.
            if fault == Fault::Loses && !is_lost && !message.starts_with(b"{\"method\":\"sio_h") {
                is_lost = true;
                continue;
            }
            if fault == Fault::Swaps && held.is_none() {
                held = Some(message);
                continue;
            }
            let message = match fault {
                Fault::Mangles => String::from_utf8_lossy(&message).into_owned().into(),
                _ => message,
            };
            let _ = sender.message(message).await;
            if let Some(overtaken) = held.take() {
                let _ = sender.message(overtaken).await;
            }
        }
        if fault == Fault::NeverEnds {
            sender.closed().await;
        }
    }

    macro_rules! noticed {
        ($level:ident: $($fault:ident by $($case:ident)+;)*) => {$($(
            mod $case {
                use super::*;

                #[tokio::test(start_paused = true)]
                #[should_panic]
                async fn notices() {
                    let backend = Broken(MemoryBus::new(), Fault::$fault);
                    conformance::run("broken", manager_testkit::$level::$case(&backend)).await;
                }
            }
        )+)*};
    }

    noticed! { conformance:
        Doubles by a_message_reaches_every_subscriber_once own_messages_come_back;
        Loses by a_late_subscriber_sees_nothing_earlier dropping_a_pending_receive_loses_nothing;
        Swaps by order_per_publisher_is_kept many_publishes_in_flight_keep_order;
        HidesGaps by a_broker_restart_yields_a_gap_then_messages a_slow_subscriber_is_bounded_and_loses_nothing_silently;
        Mangles by bytes_arrive_exactly undecodable_bytes_pass;
        AcceptsEverything by a_publish_while_the_broker_is_down_fails_within_the_deadline a_message_that_is_too_large_is_refused
            after_close_everything_is_closed;
        BlocksForEver by close_while_the_broker_is_down_releases_everything;
        AcceptsBeforeTheAnswer by ok_waits_for_the_answer_of_the_broker nothing_is_accepted_while_the_broker_stands_still;
        SendsAgain by a_publish_whose_answer_was_lost_reaches_subscribers_at_most_once;
        SharesOneChannel by channels_are_isolated;
        NeverEnds by close_flushes_then_ends_the_stream;
        LeavesAConsumer by a_publisher_only_manager_leaves_nothing_behind dropping_a_subscription_ends_it
            dropping_a_pending_subscribe_leaves_nothing_behind;
    }
    noticed! { hub:
        Doubles by an_emit_reaches_every_member_once_and_not_the_excluded own_messages_are_dropped acks_come_back_to_the_process_that_asked;
        Loses by clients_and_rooms_are_managed_remotely a_question_ends_at_its_deadline_and_leaves_nothing;
        Swaps by events_and_commands_of_one_host_keep_their_order;
        HidesGaps by after_a_restart_the_hosts_hear_each_other_again;
        AcceptsEverything by local_delivery_goes_on_while_the_broker_is_down;

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
