//! [`Attachments`]: topics of a database, whose messages are short texts, and a table for what these cannot carry.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::{Delivery, Topic};
use crate::{Error, Subscription};

/// Finds in a message of a topic the number of the row that it stands for; `None` for a message without one.
pub type RowOf = fn(&[u8]) -> Option<i64>;

/// Publishes messages of any length and content over topics whose messages are short texts: the message is a row of a
/// table, and a notice with the number of the row is published in its place.
///
/// It is a part of [`Topics`](super::Topics): see [`Topics::attachments`](super::Topics::attachments). The table has the
/// columns `id`, a number that is drawn for each row, `created_at`, and `payload`. Other programs may write to it, too.
#[async_trait]
pub trait Attachments: Send + Sync {
    /// Returns the length of the longest message that a topic carries by itself, in bytes.
    fn max_message_len(&self) -> usize;

    /// Stores a message and publishes its notice, both or none, and returns once the broker has accepted them.
    ///
    /// # Errors
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish); [`Config`](crate::ErrorKind::Config) for the name of
    /// a table that cannot be one, and a [refusal](Error::is_refusal) if the table or the right to it is missing.
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`](crate::ClientManager::publish).
    async fn publish_attached(&self, topic: &Topic, attachment: Attachment, message: Bytes) -> Result<(), Error>;

    /// Subscribes as [`subscribe_to`](super::Topics::subscribe_to) does, and yields in place of each notice the message
    /// that it stands for, in the order of the notices.
    ///
    /// # Behaviour
    ///
    /// - A row that is gone, or cannot be read, is a gap; one that is too large is skipped as any other message.
    /// - A message that stands for no row is yielded as it is.
    ///
    /// # Errors
    ///
    /// As [`subscribe_to`](super::Topics::subscribe_to); [`Config`](crate::ErrorKind::Config) for the name of a table that
    /// cannot be one, and a [refusal](Error::is_refusal) if the table or the right to it is missing.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    async fn subscribe_attached(
        &self,
        topics: Vec<Topic>,
        table: Arc<str>,
        row_of: RowOf,
    ) -> Result<Subscription<Delivery>, Error>;

    /// Deletes the rows that are older than `age`, those of other programs, too.
    ///
    /// # Errors
    ///
    /// As [`publish_attached`](Self::publish_attached).
    ///
    /// # Cancel safety
    ///
    /// As [`publish_attached`](Self::publish_attached).
    async fn delete_attached(&self, table: Arc<str>, age: Duration) -> Result<(), Error>;
}

/// Where a message is stored, and the text of its notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The name of the table, with its schema if it is not the default: `socket_io_attachments`, `my."Table"`.
    pub table: Arc<str>,
    /// The notice up to the number of the row.
    pub before: String,
    /// The notice behind it.
    pub after: String,
}
