//! Topics: publish/subscribe by name, and streams.
//!
//! # Publishing
//!
//! A message to a topic is a job of the queue of [`publish`](manager_api::ClientManager::publish) that carries the words of
//! its command before the message. The pipeline writes these instead of its own, so that the channel costs what it did.
//!
//! | reply | meaning |
//! |---|---|
//! | a number, or the id of an entry | accepted |
//! | `MOVED` | the router opens a connection to the node, and sends there once nothing of the slot is in flight |
//! | `ASK` | this one message goes to the node, and the slot stays where it is |
//! | `TRYAGAIN`, `CLUSTERDOWN` | the slot is tried again after a pause |
//! | any other error | the caller's |
//!
//! # Subscribing
//!
//! One listener has all connections of a subscription: a loss of one replaces all. Each is read by a future of its own, and
//! all of them fill one feed, so that the limit of what is buffered holds for the subscription.
//!
//! Topics may be added and removed while it runs. A table says on which connection each one is, and what is to be asked
//! for there; the connections take their commands from it.
//!
//! | what fails | what becomes of it |
//! |---|---|
//! | a connection | all are replaced, and a gap follows; what was not confirmed before is added afterwards, so that it keeps nothing from being received |
//! | a topic: a right is missing, no node serves its slot | it is tried again with back-off; the others go on; a gap follows once it is received |
//! | the connection to a node that was just named | the same, for all topics of that node |
//! | the slot of a topic is moved away by the cluster | all connections are replaced, as if one was lost |
//!
//! Commands are sent in batches, and a connection has a bounded number of them without a reply: each one takes memory on
//! the server. While nothing comes, a connection waits for messages and for commands at the same time. A keep-alive that
//! is given up for a command is not a problem: its reply is expected in its place in the order, and where the server does
//! not reply to commands in time, the connection is lost.
//!
//! # Counting
//!
//! Connections are taken out of their place while a count uses them: a count that is given up leaves no reply behind that
//! the next one would take for its own.

mod changing;
mod counter;
pub(crate) mod head;
mod listener;
mod names;
mod node;
mod notice;
pub(crate) mod position;
pub(crate) mod reader;
pub(crate) mod redirection;
pub(crate) mod router;
pub(crate) mod routing;
pub(crate) mod stream;
mod subscriber;
mod table;
mod wanted;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{bad, check_entry, check_interests, check_name, check_size, closed};
use manager_api::topics::{Delivery, Entry, Interest, InterestChanges, Interests, Stream, Topic, Topics};
use manager_api::{Error, Subscription};

use crate::RedisManager;
use crate::config::RedisOptions;
use crate::connect::Connector;
use counter::{Counter, Found, Query};
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
        self.check_database()?;
        check_size(entry.size(), &self.options.common)?;
        let (head, message) = head::of_append(stream, entry);
        self.publisher.publish_with_head(head, message).await
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        check_interests(&interests)?;
        if interests
            .iter()
            .any(|interest| matches!(interest, Interest::Stream { .. }))
        {
            self.check_database()?;
        }
        let (_, changes) = Interests::channel(interests, usize::MAX)?;
        let listener = TopicListener::new(self.connector.clone(), &self.options, changes, false);
        self.listeners.subscribe(listener).await
    }

    async fn subscribe_to_changing(&self, changes: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        if changes.any(|interest| matches!(interest, Interest::Stream { .. })) {
            self.check_database()?;
        }
        let listener = TopicListener::new(self.connector.clone(), &self.options, changes, true);
        self.listeners.subscribe(listener).await
    }

    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error> {
        check_name(&topic.name)?;
        Ok(self.look(Query::Count(topic)).await?.count)
    }

    async fn find_sharded(&self, pattern: &str, max: usize) -> Result<Vec<String>, Error> {
        check_name(pattern)?;
        Ok(self.look(Query::Names { pattern, max }).await?.names)
    }
}

impl RedisManager {
    /// Looks at the subscribers, unless the manager is closed meanwhile.
    async fn look(&self, query: Query<'_>) -> Result<Found, Error> {
        let mut is_closed = self.listeners.closing()?;
        tokio::select! {
            found = self.topics.counter.look(query) => found,
            _ = is_closed.wait_for(|is_closed| *is_closed) => Err(closed()),
        }
    }
}

impl RedisManager {
    /// Rejects streams of a database that no connection selects.
    fn check_database(&self) -> Result<(), Error> {
        match self.connector.database() {
            0 => Ok(()),
            number => Err(bad(format!(
                "streams are in database 0, and the URL names {number}: leave the number out, also for the other servers"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use manager_api::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn streams_of_a_database_that_is_not_selected_are_refused_before_anything_is_written() {
        let manager = RedisManager::new("redis://127.0.0.1:1/3", RedisOptions::default()).unwrap();
        let stream = Stream {
            name: "socket.io".into(),
            max_len: 1,
        };
        let appended = manager.append(&stream, Entry::from_iter([("a", "b")])).await;
        let interest = Interest::Stream {
            name: "socket.io".into(),
            past: Duration::ZERO,
        };
        let subscribed = manager.subscribe_to(vec![interest]).await.map(drop);
        for error in [appended.unwrap_err(), subscribed.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains("database 0"), "{error}");
        }
    }
}
