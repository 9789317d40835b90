//! The proof that the exchange still leads to a queue: probes and fences.
//!
//! AMQP has no request for a binding. A **probe** is therefore sent through the exchange, followed on the same
//! channel by a **fence** through an exchange of the queue's own, which leads to no other queue. Messages of
//! one channel to one queue keep their order: a fence that arrives without its probe proves that the queue was
//! not bound. The queue is bound again only after both are in their queues, so that every lost message
//! precedes the fence, and every message after it is received.
//!
//! Probes reach every queue on the exchange. Their body is an empty JSON object, which other managers on the
//! channel ignore. A probe proves the bindings of all queues in which it arrives, so that an idle cluster
//! sends one at a time instead of one per member.

use std::fmt;
use std::sync::Arc;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel};
use tokio::sync::Mutex;

use crate::connect::{Connector, Link};
use crate::error::{During, Failure, Step, Trouble};

/// The values of the property `type` that mark probes and fences.
const PROBE: &str = "sio.probe";
const FENCE: &str = "sio.fence";
/// The body of both.
const BODY: &[u8] = b"{}";

/// The meaning of a marked message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mark {
    /// A probe or fence of this queue, with its number.
    Probe(u64),
    Fence(u64),
    /// A probe or fence of another queue.
    Foreign,
}

impl Mark {
    /// Reads the properties of a message from `queue`; `None` for one that is not marked.
    pub(crate) fn of(properties: &BasicProperties, queue: &str) -> Option<Self> {
        let kind = properties.kind().as_ref()?.as_str();
        if kind != PROBE && kind != FENCE {
            return None;
        }
        let id = properties.message_id().as_ref().map_or("", |id| id.as_str());
        let number = id.strip_prefix(queue).and_then(|rest| rest.strip_prefix('#'));
        let Some(number) = number.and_then(|number| number.parse().ok()) else {
            return Some(Self::Foreign);
        };
        Some(match kind {
            PROBE => Self::Probe(number),
            _ => Self::Fence(number),
        })
    }
}

/// The sender of probes and fences. It has a connection of its own, opened with the first one: a broker that is
/// short of memory stops reading from connections that publish, and the listener's must continue to
/// acknowledge.
pub(crate) struct Prober {
    connector: Arc<Connector>,
    open: Mutex<Option<(Link, Channel)>>,
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prober").finish_non_exhaustive()
    }
}

/// The outcome of sending a probe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sent {
    /// The exchange accepted it; whether a queue received it is yet unknown.
    Yes,
    /// There is no such exchange.
    NoExchange,
}

impl Prober {
    /// Creates a sender without a connection.
    pub(crate) fn new(connector: Arc<Connector>) -> Self {
        Self {
            connector,
            open: Mutex::default(),
        }
    }

    /// Sends a probe for `queue` through the exchange; returns once the broker has confirmed it.
    pub(crate) async fn probe(&self, queue: &str, number: u64) -> Result<Sent, Failure> {
        match self.send(self.connector.exchange(), PROBE, queue, number).await {
            Ok(_) => Ok(Sent::Yes),
            Err(failure) if failure.is_not_found() => Ok(Sent::NoExchange),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a fence for `queue` through the queue's own exchange; returns once the broker has confirmed it, false
    /// if that exchange leads nowhere.
    pub(crate) async fn fence(&self, queue: &str, number: u64) -> Result<bool, Failure> {
        match self.send(queue, FENCE, queue, number).await {
            Ok(is_routed) => Ok(is_routed),
            Err(failure) if failure.is_not_found() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Sends a marked message; returns whether it reached a queue.
    async fn send(&self, exchange: &str, kind: &str, queue: &str, number: u64) -> Result<bool, Failure> {
        let mut slot = self.open.lock().await;
        let channel = self.channel(&mut slot).await?;
        let sent = self.send_on(&channel, exchange, kind, queue, number).await;
        sent.map_err(|trouble| self.connector.failure(trouble))
    }

    /// Returns the open channel, or opens one: the broker closes a channel to refuse.
    async fn channel(&self, slot: &mut Option<(Link, Channel)>) -> Result<Channel, Failure> {
        let link = match slot.take() {
            Some((link, channel)) if channel.status().connected() && link.is_up() => {
                return Ok(slot.insert((link, channel)).1.clone());
            }
            Some((link, _)) if link.is_up() => Some(link),
            _ => None,
        };
        let opened = async {
            let link = match link {
                Some(link) => link,
                None => self.connector.connect("check").await?,
            };
            let channel = link.open_confirming().await?;
            Ok::<_, Trouble>((link, channel))
        };
        let opened = self.connector.within_timeout(opened).await?;
        Ok(slot.insert(opened).1.clone())
    }

    /// Sends a marked message on a channel; returns whether it reached a queue.
    async fn send_on(
        &self,
        channel: &Channel,
        exchange: &str,
        kind: &str,
        queue: &str,
        number: u64,
    ) -> Result<bool, Trouble> {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("utf-8".into())
            .with_type(kind.into())
            .with_message_id(format!("{queue}#{number}").into());
        let step = || Step::Publish(exchange.to_owned());
        let sent = channel.basic_publish(exchange.into(), "".into(), options, BODY, properties);
        let confirm = sent.await.during(step)?;
        Ok(confirm.await.during(step)?.take_message().is_none())
    }

    /// Closes the connection.
    pub(crate) async fn close(&self) {
        if let Some((link, _)) = self.open.lock().await.take() {
            link.close(super::queue::LEAVE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(kind: &str, id: &str) -> BasicProperties {
        BasicProperties::default()
            .with_type(kind.into())
            .with_message_id(id.into())
    }

    #[test]
    fn own_marks_are_told_from_those_of_others_and_from_messages() {
        for (kind, id, mark) in [
            (PROBE, "sio.a#7", Some(Mark::Probe(7))),
            (FENCE, "sio.a#8", Some(Mark::Fence(8))),
            (PROBE, "sio.b#7", Some(Mark::Foreign)),
            (PROBE, "sio.a.2#7", Some(Mark::Foreign)),
            (PROBE, "sio.a#x", Some(Mark::Foreign)),
            ("news", "sio.a#7", None),
        ] {
            assert_eq!(Mark::of(&properties(kind, id), "sio.a"), mark, "{kind} {id}");
        }
        assert_eq!(Mark::of(&BasicProperties::default(), "sio.a"), None);
    }
}
