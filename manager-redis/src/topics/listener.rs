//! The listening side of a subscription to topics: one connection for topics and patterns, further ones to the nodes of a
//! Redis Cluster that own sharded topics, and one for each stream.
//!
//! Sharded topics are tried on the connection of the plain ones first: a server that is not a cluster takes all of them
//! there, and a node of a cluster names the owner of each. A connection on which nothing was subscribed is closed again.

use std::collections::HashSet;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use manager_api::Error;
use manager_api::backend::url::Address;
use manager_api::backend::{End, Feed, ListenLink, Resumed};
use manager_api::topics::{Delivery, Interest};

use super::reader::Reader;
use super::redirection::MAX_REDIRECTIONS;
use super::stream::StreamCursor;
use super::subscriber::{Names, Subscriber, Wanted};
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::Purpose;
use crate::error::{Failure, timed_out};

/// One subscription to topics.
pub(super) struct TopicListener {
    options: Arc<RedisOptions>,
    connector: Arc<Connector>,
    /// The topics and patterns, each once.
    wanted: Vec<Wanted>,
    names: Arc<Names>,
    /// The streams, each once.
    streams: Vec<StreamCursor>,
}

/// The connections of a subscription. If one is lost, all are replaced.
pub(super) struct Connections {
    /// Those of topics and patterns: none if there are only streams.
    subscribers: Vec<Subscriber>,
    /// One for each stream, in their order.
    readers: Vec<Reader>,
    /// The reason why entries of streams may have been missed.
    gap: Option<String>,
    /// All addresses, human-readable.
    address: String,
}

/// The reading of one connection.
type Reading<'a> = Pin<Box<dyn Future<Output = Result<Infallible, End<Failure>>> + Send + 'a>>;

impl TopicListener {
    /// Creates a listener, which is not connected.
    pub(super) fn new(connector: Arc<Connector>, options: &RedisOptions, interests: Vec<Interest>) -> Self {
        let mut names = Names::default();
        let mut wanted = Vec::new();
        let mut streams = Vec::new();
        let mut known = HashSet::new();
        for interest in interests {
            let (command, name) = match interest {
                Interest::Topic(topic) if topic.is_sharded => ("SSUBSCRIBE", topic.name),
                Interest::Topic(topic) => {
                    names.topics.insert(Bytes::copy_from_slice(topic.name.as_bytes()));
                    ("SUBSCRIBE", topic.name)
                }
                Interest::Pattern(pattern) => ("PSUBSCRIBE", pattern),
                Interest::Stream { name, past } => {
                    if known.insert(Wanted {
                        command: "XREAD",
                        name: name.clone(),
                    }) {
                        streams.push(StreamCursor::new(name, past));
                    }
                    continue;
                }
                _ => continue,
            };
            let one = Wanted { command, name };
            if known.insert(one.clone()) {
                names
                    .patterns
                    .extend((command == "PSUBSCRIBE").then(|| one.name.clone()));
                wanted.push(one);
            }
        }
        Self {
            options: Arc::new(options.clone()),
            connector,
            wanted,
            names: Arc::new(names),
            streams,
        }
    }

    /// Subscribes to topics and patterns: on one connection, and on those of the nodes that it names.
    async fn subscribed(&self) -> Result<Vec<Subscriber>, Failure> {
        let mut subscribers = Vec::new();
        let mut rest = vec![(None, self.wanted.clone())];
        rest.retain(|(_, wanted)| !wanted.is_empty());
        for _ in 0..=MAX_REDIRECTIONS {
            let mut moved = Vec::new();
            for (node, wanted) in rest {
                let subscriber = self.subscriber(&mut subscribers, node).await?;
                moved.extend(subscriber.subscribe(&wanted).await?);
            }
            if moved.is_empty() {
                subscribers.retain(|subscriber| subscriber.num_subscribed > 0);
                return Ok(subscribers);
            }
            rest = by_node(moved);
        }
        Err(Failure::other(
            self.connector.label(),
            "the nodes of Redis Cluster disagree about a sharded topic",
        ))
    }

    /// Returns the connection to a node, which is opened if there is none.
    async fn subscriber<'a>(
        &self,
        subscribers: &'a mut Vec<Subscriber>,
        node: Option<Address>,
    ) -> Result<&'a mut Subscriber, Failure> {
        let at = subscribers.iter().position(|subscriber| subscriber.node == node);
        let at = match at {
            Some(at) => at,
            None => {
                let connection = match &node {
                    Some(node) => self.connector.connect_to(node, Purpose::Listening).await?,
                    None => self.connector.connect(Purpose::Listening).await?,
                };
                let reader = Reader {
                    connection,
                    options: self.options.clone(),
                    reply_limit: None,
                };
                subscribers.push(Subscriber::new(node, reader, self.names.clone()));
                subscribers.len() - 1
            }
        };
        Ok(&mut subscribers[at])
    }
}

/// Collects the names that belong to each node.
fn by_node(moved: Vec<(Address, Wanted)>) -> Vec<(Option<Address>, Vec<Wanted>)> {
    let mut groups: Vec<(Option<Address>, Vec<Wanted>)> = Vec::new();
    for (node, wanted) in moved {
        let node = Some(node);
        match groups.iter_mut().find(|(other, _)| *other == node) {
            Some((_, others)) => others.push(wanted),
            None => groups.push((node, vec![wanted])),
        }
    }
    groups
}

impl ListenLink for TopicListener {
    type Failure = Failure;
    type Connection = Connections;
    type Message = Delivery;

    /// Opens every connection, and returns once each topic is confirmed and each stream found.
    async fn open(&mut self) -> Result<Connections, Failure> {
        let subscribers = self.subscribed().await?;
        let mut readers = Vec::new();
        let mut gap = None;
        for stream in &mut self.streams {
            let (reader, missed) = stream.open(&self.connector, &self.options).await?;
            readers.push(reader);
            gap = gap.or(missed);
        }
        let addresses = subscribers.iter().map(Subscriber::address);
        let addresses = addresses.chain(readers.iter().map(|reader| &*reader.connection.address));
        let mut addresses: Vec<_> = addresses.map(str::to_owned).collect();
        addresses.sort();
        addresses.dedup();
        Ok(Connections {
            address: addresses.join(", "),
            subscribers,
            readers,
            gap,
        })
    }

    /// Reads all connections at once, until the first one is lost.
    async fn read(&mut self, connections: &mut Connections, feed: &Feed<Delivery>) -> Result<Infallible, End<Failure>> {
        let subscribers = connections.subscribers.iter_mut();
        let mut reading: Vec<Reading<'_>> = Vec::new();
        reading.extend(subscribers.map(|subscriber| Box::pin(subscriber.read(feed)) as Reading<'_>));
        let streams = self.streams.iter_mut().zip(&mut connections.readers);
        reading.extend(streams.map(|(stream, reader)| Box::pin(stream.read(reader, feed)) as Reading<'_>));
        poll_fn(|cx| {
            let mut ended = reading.iter_mut().map(|reading| reading.as_mut().poll(cx));
            ended.find(Poll::is_ready).unwrap_or(Poll::Pending)
        })
        .await
    }

    /// Redis keeps the entries of streams, and no message.
    fn resumed(&mut self, connections: &mut Connections, failure: &Failure) -> Resumed {
        if !self.wanted.is_empty() {
            return Resumed::Gap(format!("the connection was lost and is back ({failure})"));
        }
        connections.gap.take().map_or(Resumed::Continues, Resumed::Gap)
    }

    fn address(&self, connections: &Connections) -> String {
        connections.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}
