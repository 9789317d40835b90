//! [`Replay`]: the optional part of the contract, for brokers that keep the messages of a channel in a log.
//!
//! A subscription yields what is published from now on. The reader of a log begins in the past, and knows the
//! [`Position`] of each message: so that a server which starts can do for its clients what another one would have done, and
//! a client that was away receives what it has missed.

mod position;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::subscription::Measured;
use crate::{Error, Subscription};

pub use position::{Epoch, Offset, Position};

/// Reads the log of a manager's channel, from a place in the past on.
///
/// It is a part of a manager: see [`ClientManager::replay`](crate::ClientManager::replay). The messages are those that
/// [`publish`](crate::ClientManager::publish) has published, by this manager or any other on the channel. The manager's
/// limits, back-off, [health](crate::Health) and `close` apply to it. Every bullet below is a case of the conformance suite
/// in `manager-testkit`.
///
/// # Order
///
/// - Every reader receives the same messages in the same order, each with the same position, and positions increase.
#[async_trait]
pub trait Replay: Send + Sync {
    /// Reads from `start` on, and returns once the place to begin at was found.
    ///
    /// # Behaviour
    ///
    /// - Yields the messages behind the start, then new ones: between the two nothing is missing, and nothing comes twice.
    /// - A reader that is slower than the publishers, or begins far in the past, misses nothing that the broker keeps.
    /// - A position that the log does not have any more, or never had, is a gap, and then all that the log still has behind it.
    /// - After a lost connection or a restart of the broker it continues with the next message, without a gap if the broker
    ///   has kept the log.
    /// - A reader that was dropped leaves no consumer on the broker.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::subscribe`](crate::ClientManager::subscribe).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no reader behind.
    async fn read_from(&self, start: Start) -> Result<Replayed, Error>;
}

/// Where a reader of a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Start {
    /// At the messages of the last so-and-so long, as far as the broker has kept them, by its clock or, with Kafka, by those
    /// of the publishers; at the next message if that is zero.
    Past(Duration),
    /// Behind the message at a position.
    After(Position),
}

/// A log that is being read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Replayed {
    /// The messages, each with its position.
    pub messages: Subscription<Placed>,
    /// The end of the past, at the time when the reading began: once a message there or behind it has arrived, all that
    /// follow are new. `None` if nothing is past.
    ///
    /// It is for comparing, not to begin at. The last message of the past may not arrive: if the reader passes it over, or it
    /// is deleted before the reader comes to it.
    pub last: Option<Position>,
}

impl Replayed {
    /// Creates it of its parts.
    pub fn new(messages: Subscription<Placed>, last: Option<Position>) -> Self {
        Self { messages, last }
    }
}

/// A message, and its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "managers make it of its parts")]
pub struct Placed {
    /// Its place.
    pub position: Position,
    /// The message, exactly as it was published.
    pub message: Bytes,
}

impl Measured for Placed {
    fn size(&self) -> usize {
        size_of::<Position>() + self.message.len()
    }
}
