//! Topics that are broken on purpose.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::memory::{MemoryBus, MemoryManager};
use manager_api::subscription::SubscriptionSender;
use manager_api::topics::{Delivery, Entry, Interest, InterestChanges, Interests, Stream, Topic, Topics};
use manager_api::{ClientManager, Error, Incoming, ManagerOptions, Subscription};
use manager_testkit::{Backend, Flaky, OnLink, conformance};

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    MixesShardedAndOther,
    Doubles,
    CountsOneTooMany,
    AcceptsEverything,
    AcceptsBeforeTheAnswer,
    ForgetsTheLastTopic,
    HidesGaps,
    SortsFields,
    IgnoresThePast,
    NeverTrims,
    LosesTheSecond,
    KeepsWhatIsRemoved,
    IgnoresWhatIsAdded,
    FindsEverything,
}

struct Broken(MemoryBus, Fault);

impl Broken {
    fn on(&self, inner: Flaky<MemoryManager>) -> Arc<dyn ClientManager> {
        Arc::new(BrokenManager { inner, fault: self.1 })
    }
}

#[async_trait]
impl Backend for Broken {
    async fn manager(&self, options: ManagerOptions) -> Arc<dyn ClientManager> {
        self.on(Flaky::new(self.0.manager_with(options)))
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
        Some((self.on(inner.clone()), Box::new(inner)))
    }

    async fn num_consumers(&self, channel: &str) -> usize {
        self.0.num_subscribers(channel)
    }
}

struct BrokenManager {
    inner: Flaky<MemoryManager>,
    fault: Fault,
}

#[async_trait]
impl ClientManager for BrokenManager {
    async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.inner.publish(message).await
    }

    async fn subscribe(&self) -> Result<Subscription, Error> {
        self.inner.subscribe().await
    }

    async fn close(&self) -> Result<(), Error> {
        self.inner.close().await
    }

    fn topics(&self) -> Option<&dyn Topics> {
        Some(self)
    }
}

#[async_trait]
impl Topics for BrokenManager {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        let mut topic = topic.clone();
        topic.is_sharded &= self.fault != Fault::MixesShardedAndOther;
        if self.fault == Fault::AcceptsBeforeTheAnswer {
            let inner = self.inner.clone();
            tokio::spawn(async move { inner.publish_to(&topic, message).await });
            return Ok(());
        }
        let published = self.inner.publish_to(&topic, message.clone()).await;
        match self.fault {
            Fault::Doubles => self.inner.publish_to(&topic, message).await,
            Fault::AcceptsEverything => Ok(()),
            _ => published,
        }
    }

    async fn append(&self, stream: &Stream, mut entry: Entry) -> Result<(), Error> {
        let mut stream = stream.clone();
        match self.fault {
            Fault::SortsFields => entry.fields.sort(),
            Fault::NeverTrims => stream.max_len = u64::MAX,
            _ => {}
        }
        self.inner.append(&stream, entry).await
    }

    async fn subscribe_to(&self, mut interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        if self.fault == Fault::ForgetsTheLastTopic && interests.len() > 1 {
            interests.pop();
        }
        for interest in &mut interests {
            if let (Interest::Stream { past, .. }, Fault::IgnoresThePast) = (interest, self.fault) {
                *past = Duration::ZERO;
            }
        }
        let inner = self.inner.subscribe_to(interests).await?;
        let (sender, subscription) = Subscription::channel_of(1 << 20);
        tokio::spawn(forward(inner, sender, self.fault));
        Ok(subscription)
    }

    async fn subscribe_to_changing(&self, changes: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        let (interests, inner_changes) = Interests::channel(changes.begin(), 1_000)?;
        let fault = self.fault;
        changes.begin().iter().for_each(|interest| changes.confirm(interest));
        let inner = self.inner.subscribe_to_changing(inner_changes).await?;
        let (sender, subscription) = Subscription::channel_of(1 << 20);
        tokio::spawn(async move {
            tokio::select! {
                () = pass_on(changes, interests, fault) => {}
                () = forward(inner, sender, fault) => {}
            }
        });
        Ok(subscription)
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        let count = self.inner.count_subscribers(topic).await?;
        Ok(count + u64::from(self.fault == Fault::CountsOneTooMany))
    }

    async fn find_sharded(&self, pattern: &str, max: usize) -> Result<Vec<String>, Error> {
        match self.fault {
            Fault::FindsEverything => self.inner.find_sharded("*", max).await,
            _ => self.inner.find_sharded(pattern, max).await,
        }
    }
}

async fn pass_on(changes: InterestChanges, interests: Interests, fault: Fault) {
    loop {
        changes.changed().await;
        for interest in changes.take_changed(1_000) {
            match changes.contains(&interest) {
                true if fault != Fault::IgnoresWhatIsAdded => interests.add(interest.clone()).unwrap(),
                false if fault != Fault::KeepsWhatIsRemoved => interests.remove(&interest),
                _ => {}
            }
            changes.confirm(&interest);
        }
    }
}

async fn forward(mut inner: Subscription<Delivery>, sender: SubscriptionSender<Delivery>, fault: Fault) {
    let mut num_received = 0;
    loop {
        let incoming = tokio::select! {
            incoming = inner.recv() => incoming,
            () = sender.closed() => None,
        };
        let Some(incoming) = incoming else { return };
        let _ = match incoming {
            Incoming::Message(message) => {
                num_received += 1;
                match fault == Fault::LosesTheSecond && num_received == 2 {
                    true => Ok(()),
                    false => sender.message(message).await,
                }
            }
            _ if fault == Fault::HidesGaps => Ok(()),
            _ => sender.gap("as it came"),
        };
    }
}

macro_rules! noticed {
    ($($fault:ident by $($case:ident)+;)*) => {$($(
        mod $case {
            use super::*;

            #[tokio::test(start_paused = true)]
            #[should_panic]
            async fn notices() {
                let backend = Broken(MemoryBus::new(), Fault::$fault);
                conformance::run("broken", conformance::$case(&backend)).await;
            }
        }
    )+)*};
}

noticed! {
    MixesShardedAndOther by topics_are_isolated;
    Doubles by a_message_to_a_topic_arrives_once_and_in_order;
    CountsOneTooMany by a_publisher_to_topics_counts_as_no_subscriber subscribers_of_a_topic_are_counted;
    FindsEverything by sharded_topics_with_subscribers_are_found;
    AcceptsEverything by a_publish_to_a_topic_is_limited_as_any_other topics_fail_within_the_deadline_while_the_broker_is_down;
    AcceptsBeforeTheAnswer by ok_of_a_topic_waits_for_the_answer_of_the_broker;
    ForgetsTheLastTopic by a_subscription_yields_all_its_topics_and_no_others;
    HidesGaps by a_broker_restart_yields_a_gap_on_topics_then_messages;
    SortsFields by entries_keep_their_order_and_their_fields;
    IgnoresThePast by a_stream_yields_its_past_then_what_is_new;
    NeverTrims by a_stream_is_trimmed;
    KeepsWhatIsRemoved by topics_are_added_and_removed_while_a_subscription_runs;
    IgnoresWhatIsAdded by a_topic_ends_as_it_was_asked_for_last a_broker_restart_keeps_the_topics_that_are_wanted_then;
    LosesTheSecond by a_stream_continues_after_a_restart a_stream_continues_after_a_lost_connection;
}
