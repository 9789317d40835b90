//! Topics: the notifications of PostgreSQL, and a table for what is too long for one.
//!
//! They need none of the objects of [`schema`](crate::schema): other programs publish and receive them with `NOTIFY` and
//! `LISTEN` alone. A topic is a channel of notifications, whose messages are texts of less than 8,000 bytes.
//!
//! | what happens | what becomes of it |
//! |---|---|
//! | a message is published twice | both arrive: a transaction drops a repeat, so that a batch has none |
//! | a message with an attachment is published | its row and its notice are one statement, in its place in the order |
//! | the connection of a subscription is lost | a gap: PostgreSQL keeps notifications for no one |
//! | a subscriber is too slow | beyond `max_buffered_bytes` notifications are dropped, and a gap follows: the queue of the server is shared by all its databases, and while it is full no one can publish |
//! | the row of a notice is gone | a gap in its place |

pub(crate) mod batch;
mod listen;
mod notices;
mod table;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{bad, check_interests, check_size};
use manager_api::topics::{
    Attachment, Attachments, Delivery, Entry, Interest, InterestChanges, RowOf, Stream, Topic, Topics,
};
use manager_api::{Error, Subscription};

use crate::PostgresManager;
use crate::config::check_name;
use batch::Order;
use listen::{Attached, NoticeListener};
use table::Table;

/// The length of the longest notification, in bytes. The server refuses 8,000.
const MAX_LEN: usize = 7_999;

/// Plain topics alone: what else there may be is refused at once, and not taken for an outage.
#[async_trait]
impl Topics for PostgresManager {
    async fn publish_to(&self, topic: &Topic, message: Bytes) -> Result<(), Error> {
        check(topic)?;
        check_size(message.len(), &self.options.common)?;
        if message.len() > MAX_LEN || message.contains(&0) || std::str::from_utf8(&message).is_err() {
            return Err(bad(format!(
                "a notification of PostgreSQL is text of at most {MAX_LEN} bytes, and the message of {} bytes is not",
                message.len()
            )));
        }
        self.notices.publish_with_head(Order::Notify.head(topic), message).await
    }

    async fn append(&self, _: &Stream, _: Entry) -> Result<(), Error> {
        Err(cannot("streams"))
    }

    async fn subscribe_to(&self, interests: Vec<Interest>) -> Result<Subscription<Delivery>, Error> {
        check_interests(&interests)?;
        let topics = interests.into_iter().map(|interest| match interest {
            Interest::Topic(topic) => Ok(topic),
            _ => Err(cannot("patterns and streams")),
        });
        self.follow(topics.collect::<Result<_, _>>()?, None).await
    }

    async fn subscribe_to_changing(&self, _: InterestChanges) -> Result<Subscription<Delivery>, Error> {
        Err(cannot("topics that change while a subscription runs"))
    }

    async fn count_subscribers(&self, _: &Topic) -> Result<u64, Error> {
        Err(cannot("a count of subscribers"))
    }

    async fn find_sharded(&self, _: &str, _: usize) -> Result<Vec<String>, Error> {
        Err(cannot("sharded topics"))
    }

    fn attachments(&self) -> Option<&dyn Attachments> {
        Some(self)
    }
}

/// What a notification cannot carry. Publishing and deleting share the queue and the connection of [`Topics`].
#[async_trait]
impl Attachments for PostgresManager {
    fn max_message_len(&self) -> usize {
        MAX_LEN
    }

    async fn publish_attached(&self, topic: &Topic, attachment: Attachment, message: Bytes) -> Result<(), Error> {
        check(topic)?;
        check_size(message.len(), &self.options.common)?;
        let table = Table::parse(&attachment.table)?;
        let Attachment { before, after, .. } = attachment;
        let order = Order::Attach { table, before, after };
        self.notices.publish_with_head(order.head(topic), message).await
    }

    async fn subscribe_attached(
        &self,
        topics: Vec<Topic>,
        table: Arc<str>,
        row_of: RowOf,
    ) -> Result<Subscription<Delivery>, Error> {
        let table = Table::parse(&table)?;
        self.follow(topics, Some(Attached::new(&table, row_of))).await
    }

    async fn delete_attached(&self, table: Arc<str>, age: Duration) -> Result<(), Error> {
        let table = Table::parse(&table)?;
        let head = Order::Delete { table, age }.head(&Topic::new(""));
        self.notices.publish_with_head(head, Bytes::new()).await
    }
}

impl PostgresManager {
    /// Subscribes to the notifications of topics, and to what they name in a table.
    ///
    /// # Errors
    ///
    /// Those of a topic that cannot be a channel, and of the first connection.
    async fn follow(&self, topics: Vec<Topic>, attached: Option<Attached>) -> Result<Subscription<Delivery>, Error> {
        if topics.is_empty() {
            return Err(bad("a subscription needs a topic"));
        }
        topics.iter().try_for_each(check)?;
        let names = topics.into_iter().map(|topic| topic.name).collect();
        let listener = NoticeListener::new(self.connector.clone(), &self.options, names, attached);
        self.listeners.subscribe(listener).await
    }
}

/// Refuses the name of a topic that cannot be a channel: `LISTEN` would cut it off, and `NOTIFY` refuse it.
fn check(topic: &Topic) -> Result<(), Error> {
    if topic.is_sharded {
        return Err(cannot("sharded topics"));
    }
    check_name("the topic is", &topic.name)
}

/// Returns the error of what PostgreSQL does not have.
fn cannot(what: &str) -> Error {
    bad(format!("PostgreSQL has no {what}"))
}
