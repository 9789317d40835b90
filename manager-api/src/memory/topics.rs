//! The topics of a bus: who subscribes to which, and the entries of streams.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::subscriber::Subscriber;
use super::{MemoryManager, State};
use crate::backend::{check_entry, check_interests, check_name, glob};
use crate::topics::{Delivery, Entry, Interest, InterestChanges, Interests, Stream, Topic, Topics};
use crate::{Error, Subscription};

/// The subscribers of topics, and the streams.
#[derive(Debug, Default)]
pub(super) struct TopicTable {
    subscribers: Vec<TopicSubscriber>,
    /// Entries with the time when each was appended.
    streams: HashMap<Arc<str>, VecDeque<(Instant, Entry)>>,
}

#[derive(Debug)]
struct TopicSubscriber {
    interests: InterestChanges,
    subscriber: Subscriber<Delivery>,
}

impl TopicTable {
    /// Delivers a message to the subscribers of a topic.
    fn publish(&mut self, topic: &Topic, message: &Bytes) {
        let name = Bytes::copy_from_slice(topic.name.as_bytes());
        let delivery = Delivery::Message {
            topic: name,
            message: message.clone(),
        };
        let named = Interest::Topic(topic.clone());
        self.offer(
            |interests| interests.contains(&named) || interests.any(|interest| is_matched(interest, topic)),
            &delivery,
        );
    }

    /// Appends an entry to a stream, delivers it, and trims the stream.
    fn append(&mut self, stream: &Stream, entry: Entry) {
        let delivery = Delivery::Entry {
            stream: stream.name.clone(),
            entry: entry.clone(),
        };
        let entries = self.streams.entry(stream.name.clone()).or_default();
        entries.push_back((Instant::now(), entry));
        while entries.len() as u64 > stream.max_len {
            entries.pop_front();
        }
        self.offer(
            |interests| {
                interests.any(|interest| matches!(interest, Interest::Stream { name, .. } if *name == stream.name))
            },
            &delivery,
        );
    }

    /// Delivers to each subscriber of which an interest fits, once.
    fn offer(&mut self, fits: impl Fn(&InterestChanges) -> bool, delivery: &Delivery) {
        self.subscribers
            .retain_mut(|subscriber| !fits(&subscriber.interests) || subscriber.subscriber.offer(delivery.clone()));
    }

    /// Adds a subscriber, which receives the entries of the past at once.
    fn add(&mut self, interests: InterestChanges, mut subscriber: Subscriber<Delivery>) {
        let now = Instant::now();
        interests.confirm_at_once();
        for interest in &interests.begin() {
            let Interest::Stream { name, past } = interest else {
                continue;
            };
            let entries = self.streams.get(name).into_iter().flatten();
            // Entries of this very instant are new only to those who do not ask for the past.
            for (_, entry) in entries.filter(|(at, _)| !past.is_zero() && now - *at <= *past) {
                subscriber.offer(Delivery::Entry {
                    stream: name.clone(),
                    entry: entry.clone(),
                });
            }
        }
        self.subscribers.retain(|other| !other.subscriber.is_closed());
        self.subscribers.push(TopicSubscriber { interests, subscriber });
    }

    /// Counts the subscribers of a topic by its name, and removes those that were dropped.
    fn count(&mut self, topic: &Topic) -> u64 {
        self.subscribers.retain(|other| !other.subscriber.is_closed());
        let named = Interest::Topic(topic.clone());
        let subscribers = self.subscribers.iter();
        subscribers.filter(|other| other.interests.contains(&named)).count() as u64
    }

    /// Returns names of sharded topics with subscribers that match a pattern.
    fn find_sharded(&mut self, pattern: &str, max: usize) -> Vec<String> {
        self.subscribers.retain(|other| !other.subscriber.is_closed());
        let interests = self.subscribers.iter().flat_map(|other| other.interests.begin());
        let names: BTreeSet<_> = interests
            .filter_map(|interest| match interest {
                Interest::Topic(topic) if topic.is_sharded => Some(topic.name),
                _ => None,
            })
            .filter(|name| glob::matches(pattern.as_bytes(), name.as_bytes()))
            .collect();
        names.into_iter().take(max).map(|name| name.to_string()).collect()
    }

    /// Reports a gap to each subscriber that has missed messages while the bus was stopped: entries of streams are kept.
    pub(super) fn report_gap(&mut self, reason: &str) {
        for TopicSubscriber { interests, subscriber } in &mut self.subscribers {
            if interests.any(|interest| !matches!(interest, Interest::Stream { .. })) {
                subscriber.report_gap(reason);
            }
        }
    }

    /// Ends the subscriptions of a manager.
    pub(super) fn release(&mut self, manager: u64) {
        self.subscribers
            .retain(|subscriber| subscriber.subscriber.manager != manager);
    }
}

/// Returns whether `topic` matches a pattern.
fn is_matched(interest: &Interest, topic: &Topic) -> bool {
    match interest {
        Interest::Pattern(pattern) => !topic.is_sharded && glob::matches(pattern.as_bytes(), topic.name.as_bytes()),
        Interest::Topic(_) | Interest::Stream { .. } => false,
    }
}

#[async_trait]
impl Topics for MemoryManager {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        check_name(&topic.name)?;
        let publish = |state: &mut State| state.topics.publish(topic, &message);
        self.accept(message.len(), publish).await
    }

    async fn append(&self, stream: &Stream, entry: Entry) -> Result<(), Error> {
        check_name(&stream.name)?;
        check_entry(&entry)?;
        let append = |state: &mut State| state.topics.append(stream, entry.clone());
        self.accept(entry.size(), append).await
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        check_interests(&interests)?;
        let (_, changes) = Interests::channel(interests, usize::MAX)?;
        self.subscribe_to_changing(changes).await
    }

    async fn subscribe_to_changing(&self, interests: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        let add = |state: &mut State, subscriber| state.topics.add(interests, subscriber);
        self.add_subscriber(add).await
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        check_name(&topic.name)?;
        self.examined(|topics| topics.count(topic)).await
    }

    async fn find_sharded(&self, pattern: &str, max: usize) -> Result<Vec<String>, Error> {
        check_name(pattern)?;
        self.examined(|topics| topics.find_sharded(pattern, max)).await
    }
}

impl MemoryManager {
    /// Looks at the topics, once the bus runs.
    async fn examined<T>(&self, look: impl Fn(&mut TopicTable) -> T) -> Result<T, Error> {
        self.check(0)?;
        let found = async {
            loop {
                if let Some(mut state) = self.bus.state_if_up() {
                    return look(&mut state.topics);
                }
                self.bus.until_up().await;
            }
        };
        let found = tokio::time::timeout(self.options.deadline, found).await;
        found.map_err(|_| self.down("look at subscribers"))
    }
}
