//! Topics: publish/subscribe by name, and streams.

mod counter;
pub(crate) mod head;
mod listener;
mod node;
mod position;
mod reader;
pub(crate) mod redirection;
pub(crate) mod router;
pub(crate) mod routing;
mod stream;
mod subscriber;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{check_entry, check_interests, check_name, check_size, closed};
use manager_api::topics::{Delivery, Entry, Interest, Stream, Topic, Topics};
use manager_api::{Error, Subscription};

use crate::RedisManager;
use crate::config::RedisOptions;
use crate::connect::Connector;
use counter::Counter;
use listener::TopicListener;

/// The part of a manager that only topics need.
#[derive(Debug)]
pub(crate) struct TopicState {
    counter: Counter,
}

impl TopicState {
    /// Creates it without connections.
    pub(crate) fn new(connector: Arc<Connector>, options: &RedisOptions) -> Self {
        Self {
            counter: Counter::new(connector, options),
        }
    }

    /// Closes the connections, once the manager is closed.
    pub(crate) async fn close(&self) {
        self.counter.close().await;
    }
}

#[async_trait]
impl Topics for RedisManager {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        check_name(&topic.name)?;
        check_size(message.len(), &self.options.common)?;
        self.publisher.publish_with_head(head::of_publish(topic), message).await
    }

    async fn append(&self, stream: &Stream, entry: Entry) -> Result<(), Error> {
        check_name(&stream.name)?;
        check_entry(&entry)?;
        check_size(entry.size(), &self.options.common)?;
        let (head, message) = head::of_append(stream, entry);
        self.publisher.publish_with_head(head, message).await
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        check_interests(&interests)?;
        let listener = TopicListener::new(self.connector.clone(), &self.options, interests);
        self.listeners.subscribe(listener).await
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        check_name(&topic.name)?;
        let mut is_closed = self.listeners.closing()?;
        tokio::select! {
            counted = self.topics.counter.count(topic) => counted,
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err(closed()),
        }
    }
}
