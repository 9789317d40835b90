//! Managers that break one sentence of the contract each: the suite must notice.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::memory::{MemoryBus, MemoryManager};
use manager_api::subscription::SubscriptionSender;
use manager_api::{ClientManager, Error, Incoming, ManagerOptions, Subscription};
use manager_testkit::{Backend, Flaky, OnLink, conformance};

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
