//! The subscriptions of one connection to topics and patterns.
//!
//! The server sends a message once for the name and once for each pattern that it matches; all but one are left out.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use manager_api::backend::url::Address;
use manager_api::backend::{End, Feed, glob};
use manager_api::subscription::Measured;
use manager_api::topics::Delivery;
use redis::{PushKind, Value};
use tokio::time::timeout;

use super::head::put_word;
use super::reader::{Event, Reader};
use super::redirection::Redirection;
use crate::error::Failure;
use crate::hello::{elements, text};
use crate::refusal::Asked;

/// A name, and the command that subscribes to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wanted {
    pub(super) command: &'static str,
    pub(super) name: Arc<str>,
}

/// The names of all topics and patterns of a subscription.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The topics that are subscribed to by their names.
    pub(super) topics: HashSet<Bytes>,
    /// The patterns, in the order of the caller.
    pub(super) patterns: Vec<Arc<str>>,
}

impl Names {
    /// Returns whether a message came by its name, too, or by an earlier pattern.
    fn comes_otherwise(&self, topic: &Bytes, pattern: &Bytes) -> bool {
        let earlier = self.patterns.iter().take_while(|other| other.as_bytes() != pattern);
        self.topics.contains(topic) || { earlier }.any(|other| glob::matches(other.as_bytes(), topic))
    }
}

/// A connection that is subscribed.
pub(super) struct Subscriber {
    /// The node that another one named; `None` for any.
    pub(super) node: Option<Address>,
    reader: Reader,
    names: Arc<Names>,
    /// The number of names that the server has confirmed.
    pub(super) num_subscribed: usize,
    /// Messages that arrived while the server confirmed others of the subscriptions.
    early: VecDeque<Delivery>,
    early_bytes: usize,
    /// The reason why some of those were not kept.
    early_gap: Option<String>,
}

impl Subscriber {
    /// Takes a connection on which nothing is subscribed.
    pub(super) fn new(node: Option<Address>, reader: Reader, names: Arc<Names>) -> Self {
        Self {
            node,
            reader,
            names,
            num_subscribed: 0,
            early: VecDeque::new(),
            early_bytes: 0,
            early_gap: None,
        }
    }

    /// Subscribes, and returns once the server has confirmed each name, or has named the node that it belongs to.
    pub(super) async fn subscribe(&mut self, wanted: &[Wanted]) -> Result<Vec<(Address, Wanted)>, Failure> {
        let limit = self.reader.options.connect_timeout;
        let confirmed = timeout(limit, self.confirmed(wanted)).await;
        confirmed.unwrap_or_else(|_| Err(self.reader.connection.silent(limit)))
    }

    /// Sends one command for each name: each has one reply, in the order of the commands.
    async fn confirmed(&mut self, wanted: &[Wanted]) -> Result<Vec<(Address, Wanted)>, Failure> {
        let mut commands = BytesMut::new();
        for wanted in wanted {
            commands.extend_from_slice(b"*2\r\n");
            put_word(&mut commands, wanted.command.as_bytes());
            put_word(&mut commands, wanted.name.as_bytes());
        }
        self.reader.connection.send(&commands).await?;
        let mut moved = Vec::new();
        let mut wanted = wanted.iter();
        while let Some(next) = wanted.as_slice().first() {
            match self.reader.event().await? {
                Event::Reply(Ok(_)) => self.num_subscribed += 1,
                Event::Reply(Err(error)) => match Redirection::of(&error, &self.reader.connection.address) {
                    Some(Redirection::Moved { to, .. }) => moved.push((to, next.clone())),
                    _ => {
                        let (command, name) = (next.command, &*next.name);
                        let asked = Asked::Topic { command, name };
                        return Err(Failure::server(&self.reader.connection.address, asked, error));
                    }
                },
                event => {
                    self.keep(event);
                    continue;
                }
            }
            wanted.next();
        }
        Ok(moved)
    }

    /// Keeps a message until the subscription is complete.
    fn keep(&mut self, event: Event) {
        match self.delivery(event) {
            Ok(Some(delivery)) => {
                self.early_bytes += delivery.size();
                self.early.push_back(delivery);
            }
            Ok(None) => {}
            Err(len) => self.early_gap = Some(format!("a message of {len} bytes was skipped, which is over the limit")),
        }
        while self.early_bytes > self.reader.options.common.max_buffered_bytes
            && let Some(oldest) = self.early.pop_front()
        {
            self.early_bytes -= oldest.size();
            self.early_gap = Some("too many messages came while subscribing".to_owned());
        }
    }

    /// Delivers messages until the connection is lost, or a topic is moved to another node.
    pub(super) async fn read(&mut self, feed: &Feed<Delivery>) -> Result<Infallible, End<Failure>> {
        if let Some(reason) = self.early_gap.take() {
            feed.gap(reason)?;
        }
        while let Some(early) = self.early.pop_front() {
            feed.message(early).await?;
        }
        loop {
            match self.reader.event().await? {
                Event::Reply(Ok(reply)) if is_unsubscription(&reply) => {
                    let address = &self.reader.connection.address;
                    return Err(Failure::other(address, "the slot of a topic was moved to another node").into());
                }
                Event::Reply(reply) => self.reader.connection.check(reply)?,
                event => match self.delivery(event) {
                    Ok(Some(delivery)) => feed.message(delivery).await?,
                    Ok(None) => {}
                    Err(len) => feed.skip(len)?,
                },
            }
        }
    }

    /// Returns what a message is to its subscriber: nothing if it comes otherwise; the length of one that was skipped.
    fn delivery(&self, event: Event) -> Result<Option<Delivery>, usize> {
        match event {
            Event::Message {
                pattern,
                topic,
                message,
            } => {
                let comes_otherwise = pattern.is_some_and(|pattern| self.names.comes_otherwise(&topic, &pattern));
                Ok((!comes_otherwise).then_some(Delivery::Message { topic, message }))
            }
            Event::Skipped(len) => Err(len),
            Event::Reply(_) => Ok(None),
        }
    }

    /// Returns the address of the server.
    pub(super) fn address(&self) -> &str {
        &self.reader.connection.address
    }
}

/// Returns whether the server ended a subscription by itself.
fn is_unsubscription(reply: &Value) -> bool {
    match reply {
        Value::Push { kind, .. } => *kind == PushKind::SUnsubscribe,
        other => elements(other).first().and_then(text) == Some(b"sunsubscribe"),
    }
}
