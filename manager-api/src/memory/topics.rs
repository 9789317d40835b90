//! The topics of a bus: who subscribes to which, and the entries of streams.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use super::subscriber::Subscriber;
use super::{MemoryManager, State};
use crate::backend::{check_entry, check_interests, check_name, glob};
use crate::topics::{Delivery, Entry, Interest, Stream, Topic, Topics};
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
    interests: Vec<Interest>,
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
        self.offer(|interest| is_of(interest, topic), &delivery);
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
            |interest| matches!(interest, Interest::Stream { name, .. } if *name == stream.name),
            &delivery,
        );
    }

    /// Delivers to each subscriber of which an interest fits, once.
    fn offer(&mut self, fits: impl Fn(&Interest) -> bool, delivery: &Delivery) {
        self.subscribers.retain_mut(|subscriber| {
            !subscriber.interests.iter().any(&fits) || subscriber.subscriber.offer(delivery.clone())
        });
    }

    /// Adds a subscriber, which receives the entries of the past at once.
    fn add(&mut self, interests: Vec<Interest>, mut subscriber: Subscriber<Delivery>) {
        let now = Instant::now();
        for interest in &interests {
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

    /// Counts the subscribers of a topic by its name.
    fn count(&self, topic: &Topic) -> u64 {
        let subscribers = self.subscribers.iter();
        let named = subscribers.filter(|subscriber| {
            let names = |interest: &Interest| matches!(interest, Interest::Topic(named) if named == topic);
            !subscriber.subscriber.is_closed() && subscriber.interests.iter().any(names)
        });
        named.count() as u64
    }

    /// Reports a gap to each subscriber that has missed messages while the bus was stopped: entries of streams are kept.
    pub(super) fn report_gap(&mut self, reason: &str) {
        for TopicSubscriber { interests, subscriber } in &mut self.subscribers {
            let is_kept = |interest: &Interest| matches!(interest, Interest::Stream { .. });
            if !interests.iter().all(is_kept) {
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

/// Returns whether messages of `topic` are of interest.
fn is_of(interest: &Interest, topic: &Topic) -> bool {
    match interest {
        Interest::Topic(named) => named == topic,
        Interest::Pattern(pattern) => !topic.is_sharded && glob::matches(pattern.as_bytes(), topic.name.as_bytes()),
        Interest::Stream { .. } => false,
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
        let add = |state: &mut State, subscriber| state.topics.add(interests, subscriber);
        self.add_subscriber(add).await
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        check_name(&topic.name)?;
        self.check(0)?;
        let count = async {
            loop {
                if let Some(state) = self.bus.state_if_up() {
                    return state.topics.count(topic);
                }
                self.bus.until_up().await;
            }
        };
        let counted = tokio::time::timeout(self.options.deadline, count).await;
        counted.map_err(|_| self.down("count subscribers"))
    }
}
