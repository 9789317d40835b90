//! [`Topics`]: the optional part of the contract, for brokers whose topics have names.
//!
//! The wires of Node's adapters use a channel for each namespace, for each room and for responses, and streams.
//! The channel of a [`ClientManager`](crate::ClientManager) is enough for every other wire.

mod attachments;
mod interests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::subscription::Measured;
use crate::{Error, Subscription};

pub use attachments::{Attachment, Attachments, RowOf};
pub use interests::{InterestChanges, Interests};

/// Publishes to named topics of a broker, subscribes to them, and counts their subscribers.
///
/// It is a part of a manager: see [`ClientManager::topics`](crate::ClientManager::topics). The manager's limits,
/// deadline, back-off, [health](crate::Health) and `close` apply to it, its channel does not. Every bullet below is a
/// case of the conformance suite in `manager-testkit`.
///
/// # Delivery
///
/// - Topics are isolated from each other, and from the manager's channel.
/// - At most once, and in the order of publishing for each publisher and topic.
/// - A manager that has subscribed to no topic, and one whose subscriptions were dropped, leaves no consumer on the
///   broker, and counts as a subscriber of none.
#[async_trait]
pub trait Topics: Send + Sync {
    /// Publishes one message to a topic and returns once the broker has accepted it.
    ///
    /// # Behaviour
    ///
    /// - A publish to a topic has the guarantees of [`ClientManager::publish`](crate::ClientManager::publish): `Ok`
    ///   means accepted, bytes in flight are bounded, and it ends at the deadline.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish).
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error>;

    /// Appends one entry to a stream, which is created if it does not exist, and returns once the broker has accepted
    /// it.
    ///
    /// # Behaviour
    ///
    /// - Entries of one publisher keep their order, and arrive with their fields unchanged.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish).
    async fn append(&self, stream: &Stream, entry: Entry) -> Result<(), Error>;

    /// Subscribes to topics and returns once every later publish to any of them will be received.
    ///
    /// # Behaviour
    ///
    /// - A subscription yields the messages of all its topics, each with the name of its topic, and no others.
    /// - A subscription to topics has the guarantees of [`ClientManager::subscribe`](crate::ClientManager::subscribe):
    ///   it reconnects by itself, and yields a gap whenever messages may have been missed.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::subscribe`](crate::ClientManager::subscribe);
    /// [`Config`](crate::ErrorKind::Config) without a topic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error>;

    /// Subscribes as [`subscribe_to`](Self::subscribe_to) does, to topics that change while the subscription runs. There
    /// may be none to begin with.
    ///
    /// # Behaviour
    ///
    /// - A topic that is added is received from its confirmation on, counts as any other, and a removed one ends: on the
    ///   same subscription, without a gap.
    /// - However fast a topic is added and removed, it ends as it was asked for last; so does the number of topics that the
    ///   broker knows.
    /// - After a lost connection the subscription has the topics that are wanted then.
    ///
    /// A topic that the broker refuses is an error for those who wait for it. Otherwise it is tried again without
    /// disturbing the others, and a gap follows once it is received.
    ///
    /// # Errors
    ///
    /// As [`subscribe_to`](Self::subscribe_to), also without a topic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    async fn subscribe_to_changing(&self, changes: InterestChanges) -> Result<Subscription<Delivery>, Error>;

    /// Counts the subscribers of a topic on every node of the broker. Subscriptions to a pattern do not count.
    ///
    /// # Behaviour
    ///
    /// - A subscription counts once it is established, and no longer than until it is dropped or its process ends.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) or [`Timeout`](crate::ErrorKind::Timeout) if the broker does not respond
    /// within the manager's deadline; a [refusal](Error::is_refusal) if the login lacks the right.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn count_subscribers(&self, topic: &Topic) -> Result<u64, Error>;

    /// Returns names of sharded topics that have subscribers and match a glob-style pattern, on every node of the broker:
    /// `max` at most, in no order. The broker looks at all of its sharded topics meanwhile.
    ///
    /// # Behaviour
    ///
    /// - A sharded topic is found as long as it [counts](Self::count_subscribers) subscribers.
    ///
    /// # Errors
    ///
    /// As [`count_subscribers`](Self::count_subscribers).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    async fn find_sharded(&self, pattern: &str, max: usize) -> Result<Vec<String>, Error>;

    /// Returns the part for messages that a topic cannot carry; `None` where topics carry any message. Default `None`.
    ///
    /// A broker with this part is a database: it has plain topics only, by name, and nothing to count their subscribers.
    /// The calls for all else fail with [`Config`](crate::ErrorKind::Config).
    fn attachments(&self) -> Option<&dyn Attachments> {
        None
    }
}

/// The name of a topic, and how a cluster of brokers distributes its messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it belongs to the node that owns the slot of its name (sharded publish/subscribe, since Redis 7), and
    /// not to every node. The two kinds are separate, even under the same name.
    pub is_sharded: bool,
}

impl Topic {
    /// Creates the name of a topic that every node of a cluster carries.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            is_sharded: false,
        }
    }

    /// Creates the name of a topic that one node of a cluster carries.
    pub fn sharded(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            is_sharded: true,
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// What a subscription receives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interest {
    /// The messages of a topic.
    Topic(Topic),
    /// The messages of the topics whose names match a glob-style pattern. Sharded topics do not match.
    Pattern(Arc<str>),
    /// The entries of a stream, as [`Delivery::Entry`]: those appended from now on and, before
    /// them, those of the last `past`, by the clock of the broker. After a lost connection it continues with the next
    /// entry; a gap says so if that was trimmed meanwhile.
    Stream {
        /// The name of the stream.
        name: Arc<str>,
        /// How far back to begin; zero for new entries only.
        past: Duration,
    },
}

/// A message that a subscription to topics yields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Delivery {
    /// A message that was published to a topic.
    Message {
        /// The name of the topic, not of the pattern that it matches.
        topic: Bytes,
        /// The message, exactly as it was published.
        message: Bytes,
    },
    /// An entry that was appended to a stream.
    Entry {
        /// The name of the stream.
        stream: Arc<str>,
        /// The entry.
        entry: Entry,
    },
}

impl Measured for Delivery {
    fn size(&self) -> usize {
        match self {
            Self::Message { topic, message } => topic.len() + message.len(),
            Self::Entry { stream, entry } => stream.len() + entry.size(),
        }
    }
}

/// A stream to append to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Its name.
    pub name: Arc<str>,
    /// The number of entries to which the broker trims it, approximately.
    pub max_len: u64,
}

/// An entry of a stream: fields in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Names and values.
    pub fields: Vec<(Bytes, Bytes)>,
}

impl Entry {
    /// Returns the value of a field; `None` if there is no field of that name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        let mut fields = self.fields.iter();
        fields.find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// Adds a field behind the others.
    pub fn push(&mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.fields.push((name.into(), value.into()));
    }

    /// Returns the bytes of all names and values together.
    pub fn size(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl<N: Into<Bytes>, V: Into<Bytes>> FromIterator<(N, V)> for Entry {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(fields: I) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into()));
        Self {
            fields: fields.collect(),
        }
    }
}
