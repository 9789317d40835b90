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
use std::task::{Context, Poll};
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::url::Address;
use manager_api::backend::{End, Feed, ListenLink, Resumed};
use manager_api::topics::{Delivery, Interest, InterestChanges};

use super::changing::Changing;
use super::reader::Reader;
use super::redirection::MAX_REDIRECTIONS;
use super::stream::{Beginning, StreamCursor};
use super::subscriber::Subscriber;
use super::wanted::Wanted;
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::Purpose;
use crate::error::{Failure, timed_out};

/// One subscription to topics.
pub(super) struct TopicListener {
    options: Arc<RedisOptions>,
    connector: Arc<Connector>,
    changing: Changing,
    /// Whether topics may be added later.
    may_change: bool,
    /// Whether there are or were topics, of which a lost connection loses messages.
    has_topics: bool,
    is_first: bool,
    /// The streams, each once.
    streams: Vec<StreamCursor>,
}

/// The connections of a subscription. If one is lost, all are replaced.
pub(super) struct Connections {
    /// Those of topics and patterns: none if there are only streams.
    subscribers: Vec<Subscriber>,
    /// One for each stream, in their order.
    readers: Vec<Reader>,
    /// All addresses, human-readable.
    address: String,
}

/// The reading of one connection.
type Reading<'a> = Pin<Box<dyn Future<Output = Result<Infallible, End<Failure>>> + Send + 'a>>;

impl TopicListener {
    /// Creates a listener, which is not connected.
    pub(super) fn new(
        connector: Arc<Connector>,
        options: &RedisOptions,
        changes: InterestChanges,
        may_change: bool,
    ) -> Self {
        let changing = Changing::new(changes, options);
        let mut names = HashSet::new();
        let mut streams = Vec::new();
        for interest in changing.begin() {
            if let Interest::Stream { name, past } = interest
                && names.insert(name.clone())
            {
                streams.push(StreamCursor::new(name, Beginning::Past(past)));
            }
        }
        Self {
            options: Arc::new(options.clone()),
            connector,
            changing,
            may_change,
            has_topics: may_change,
            is_first: true,
            streams,
        }
    }

    /// Subscribes to topics and patterns: on one connection, and on those of the nodes that it names.
    async fn subscribed(&mut self) -> Result<Vec<Subscriber>, Failure> {
        let wanted = match self.is_first {
            true => self.changing.begin(),
            false => self.changing.begin_again(),
        };
        let wanted: Vec<_> = wanted.iter().filter_map(Wanted::of).collect();
        self.has_topics |= !wanted.is_empty();
        self.changing.table().clear();
        let mut subscribers = Vec::new();
        let mut rest = vec![(None, wanted)];
        rest.retain(|(_, wanted)| self.may_change || !wanted.is_empty());
        for _ in 0..=MAX_REDIRECTIONS {
            let mut moved = Vec::new();
            for (node, wanted) in rest {
                let subscriber = self.subscriber(&mut subscribers, node).await?;
                moved.extend(subscriber.subscribe(&wanted, &self.changing).await?);
            }
            if moved.is_empty() {
                // What is added later is asked for on the first one.
                let is_used = |each: &Subscriber| each.num_subscribed > 0 || (self.may_change && each.node.is_none());
                subscribers.retain(is_used);
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
                let (number, _) = self.changing.table().node_at(node.as_ref());
                subscribers.push(self.connected(node, number).await?);
                subscribers.len() - 1
            }
        };
        Ok(&mut subscribers[at])
    }

    /// Connects to a node, or to any if that is `None`.
    async fn connected(&self, node: Option<Address>, number: usize) -> Result<Subscriber, Failure> {
        let connection = match &node {
            Some(node) => self.connector.connect_to(node, Purpose::Listening).await?,
            None => self.connector.connect(Purpose::Listening).await?,
        };
        let reader = Reader {
            connection,
            options: self.options.clone(),
            reply_limit: None,
        };
        Ok(Subscriber::new(node, number, reader))
    }

    /// Connects to a node that was named while reading, and reads. If it cannot be reached, that is the end of its
    /// topics only, until they are tried again.
    async fn join(&self, number: usize, feed: &Feed<Delivery>) -> Result<Infallible, End<Failure>> {
        let node = self.changing.table().address_of(number);
        let has_commands = self.changing.table().has_commands(number);
        loop {
            match self.connected(node.clone(), number).await {
                Ok(mut subscriber) => return subscriber.read(feed, &self.changing).await,
                Err(failure) => self.changing.table().unreachable(number, &Arc::new(failure)),
            }
            // Until another node names it again.
            while self.changing.table().is_dead(number) {
                has_commands.notified().await;
            }
        }
    }
}

impl TopicListener {
    async fn read_all(
        &self,
        streams: &mut [StreamCursor],
        connections: &mut Connections,
        feed: &Feed<Delivery>,
    ) -> Result<Infallible, End<Failure>> {
        let mut reading: Vec<Reading<'_>> = Vec::new();
        for subscriber in &mut connections.subscribers {
            reading.push(Box::pin(subscriber.read(feed, &self.changing)));
        }
        for (stream, reader) in streams.iter_mut().zip(&mut connections.readers) {
            let name = stream.name.clone();
            let place = move |_, entry| {
                let stream = name.clone();
                Some(Delivery::Entry { stream, entry })
            };
            reading.push(Box::pin(async move { stream.read(reader, feed, &mut (), place).await }));
        }
        let mut num_nodes = self.changing.table().num_nodes();
        reading.push(Box::pin(async { Ok(self.changing.follow().await) }));
        poll_fn(|cx| {
            loop {
                let ended = poll_any(&mut reading, cx);
                let new = num_nodes..self.changing.table().num_nodes();
                if ended.is_ready() || new.is_empty() {
                    return ended;
                }
                // Nodes that were named meanwhile.
                num_nodes = new.end;
                reading.extend(new.map(|number| Box::pin(self.join(number, feed)) as Reading<'_>));
            }
        })
        .await
    }
}

/// Polls the reading of every connection; ready when the first one has ended.
fn poll_any(reading: &mut [Reading<'_>], cx: &mut Context<'_>) -> Poll<Result<Infallible, End<Failure>>> {
    let mut ended = reading.iter_mut().map(|reading| reading.as_mut().poll(cx));
    ended.find(Poll::is_ready).unwrap_or(Poll::Pending)
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
        self.is_first = false;
        let mut readers = Vec::new();
        for stream in &mut self.streams {
            readers.push(stream.open(&self.connector, &self.options).await?);
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
        })
    }

    /// Reads all connections at once, until the first one is lost.
    async fn read(&mut self, connections: &mut Connections, feed: &Feed<Delivery>) -> Result<Infallible, End<Failure>> {
        let mut streams = std::mem::take(&mut self.streams);
        let ended = self.read_all(&mut streams, connections, feed).await;
        self.streams = streams;
        ended
    }

    /// Redis keeps the entries of streams, and no message. What is missing of a stream is told when it is read.
    fn resumed(&mut self, _: &mut Connections, failure: &Failure) -> Resumed {
        match self.has_topics {
            true => Resumed::Gap(format!("the connection was lost and is back ({failure})")),
            false => Resumed::Continues,
        }
    }

    fn address(&self, connections: &Connections) -> String {
        connections.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}
