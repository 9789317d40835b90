//! The listening side of a subscription to topics: one connection with `LISTEN` for each of them.
//!
//! The task of the connection puts each notification into a [queue](super::notices), and goes on reading. This listener
//! takes them out in their order. One that names a row is followed by a question for the row on the same connection, and
//! the next one waits for the answer: messages arrive in the order in which they were published, attachments or not.
//!
//! | failure | effect |
//! |---|---|
//! | of the connection | it is replaced, and a gap follows |
//! | of the question for a row, with an answer | a gap in place of the message |
//! | no answer within `keepalive_timeout` | as a lost connection |

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::Error;
use manager_api::backend::{End, Feed, ListenLink, Resumed};
use manager_api::topics::{Delivery, RowOf};
use tokio::time::{sleep, timeout};
use tokio_postgres::types::Type;

use super::notices::{Notice, Notices};
use super::table::Table;
use crate::config::{PostgresOptions, quoted};
use crate::connect::Connector;
use crate::error::{Failure, timed_out};
use crate::pooler;
use crate::refusal::Asked;
use crate::session::{Events, Session};

/// One subscription to topics.
pub(super) struct NoticeListener {
    /// Those of the manager.
    options: PostgresOptions,
    /// That of the manager.
    connector: Arc<Connector>,
    /// The channels.
    topics: Vec<Arc<str>>,
    /// The table that notices refer to, if they may.
    attached: Option<Attached>,
}

/// The table of attachments.
pub(super) struct Attached {
    /// Shows whether the table can be read.
    probe: String,
    /// Reads a row.
    read: String,
    /// Finds the number of the row in a notice.
    row_of: RowOf,
}

impl Attached {
    /// Prepares the statements.
    pub(super) fn new(table: &Table, row_of: RowOf) -> Self {
        Self {
            probe: format!("SELECT id, payload FROM {table} WHERE false"),
            read: format!(
                "SELECT octet_length(payload), CASE WHEN octet_length(payload) <= $2 THEN payload END FROM {table} WHERE id = $1"
            ),
            row_of,
        }
    }

    /// Reads the message that a notice stands for.
    ///
    /// # Errors
    ///
    /// The failure of the connection. What the server refuses is a missing message.
    async fn read(&self, id: i64, session: &Session, options: &PostgresOptions) -> Result<Read, Failure> {
        let max_len = i32::try_from(options.common.max_message_bytes).unwrap_or(i32::MAX);
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&id, Type::INT8), (&max_len, Type::INT4)];
        let rows = match session.rows(&self.read, &parameters, options.keepalive_timeout).await {
            Ok(rows) => rows,
            Err(failure) if failure.is_answer() && !session.client.is_closed() => {
                return Ok(Read::Missing(format!("an attachment cannot be read: {failure}")));
            }
            Err(failure) => return Err(failure),
        };
        let Some(row) = rows.first() else {
            return Ok(Read::Missing("an attachment was deleted before it was read".to_owned()));
        };
        let len: Option<i32> = row.try_get(0).unwrap_or_default();
        let payload: Option<&[u8]> = row.try_get(1).unwrap_or_default();
        Ok(match (payload, len) {
            (Some(payload), _) => Read::Message(Bytes::copy_from_slice(payload)),
            (None, Some(len)) => Read::TooLong(usize::try_from(len).unwrap_or(usize::MAX)),
            (None, None) => Read::Missing("an attachment is empty".to_owned()),
        })
    }
}

/// What a notice stands for.
enum Read {
    /// This message.
    Message(Bytes),
    /// One of so many bytes.
    TooLong(usize),
    /// Nothing, for this reason.
    Missing(String),
}

/// A connection that is notified.
pub(super) struct Following {
    /// The connection.
    session: Session,
    /// What has arrived on it.
    notices: Arc<Notices>,
}

impl ListenLink for NoticeListener {
    type Failure = Failure;
    type Connection = Following;
    type Message = Delivery;

    /// Connects and listens, within the connect timeout.
    async fn open(&mut self) -> Result<Following, Failure> {
        let limit = self.connector.connect_timeout;
        let opened = timeout(limit, self.open_once()).await;
        opened.unwrap_or_else(|_| Err(Failure::silent(self.connector.label(), limit)))
    }

    /// Delivers what arrives. After a time in which nothing has, a question shows whether the server is alive.
    async fn read(&mut self, following: &mut Following, feed: &Feed<Delivery>) -> Result<Infallible, End<Failure>> {
        let (idle, limit) = (self.options.idle(), self.options.keepalive_timeout);
        let Following { session, notices } = following;
        loop {
            self.deliver_all(notices, session, feed).await?;
            tokio::select! {
                () = session.woken() => {}
                failure = session.ended() => {
                    self.deliver_all(notices, session, feed).await?;
                    return Err(End::Lost(failure));
                }
                () = sleep(idle) => session.run("SELECT 1", limit).await?,
            }
        }
    }

    /// The server has kept nothing in between.
    fn resumed(&mut self, _: &mut Following, _: &Failure) -> Resumed {
        Resumed::Gap("the connection was lost, and notifications are kept for no one".to_owned())
    }

    fn address(&self, following: &Following) -> String {
        following.session.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}

impl NoticeListener {
    /// Creates a listener, which is not connected.
    pub(super) fn new(
        connector: Arc<Connector>,
        options: &PostgresOptions,
        topics: Vec<Arc<str>>,
        attached: Option<Attached>,
    ) -> Self {
        Self {
            options: options.clone(),
            connector,
            topics,
            attached,
        }
    }

    /// Makes one attempt to connect and listen. Whether the table can be read is found out before the first notice that
    /// names a row of it.
    async fn open_once(&self) -> Result<Following, Failure> {
        let notices = Arc::new(Notices::new(self.options.common.max_buffered_bytes));
        let received = notices.clone();
        let events = Events::new(move |notification| {
            received.push(notification.channel(), notification.payload());
            true
        });
        let session = self.connector.connect(Asked::Notices, events).await?;
        pooler::check(&self.connector, &session).await?;
        let limit = self.connector.connect_timeout;
        if let Some(attached) = &self.attached {
            session.run(&attached.probe, limit).await?;
        }
        let listens: Vec<_> = self
            .topics
            .iter()
            .map(|topic| format!("LISTEN {}", quoted(topic)))
            .collect();
        session.run(&listens.join("; "), limit).await?;
        Ok(Following { session, notices })
    }

    /// Delivers what has arrived, in its order.
    async fn deliver_all(
        &self,
        notices: &Notices,
        session: &Session,
        feed: &Feed<Delivery>,
    ) -> Result<(), End<Failure>> {
        while let Some(notice) = notices.pop() {
            match notice {
                Notice::Received(topic, text) => self.deliver(topic, text, session, feed).await?,
                Notice::Dropped(count) => {
                    feed.gap(format!(
                        "{count} notifications were dropped: the subscriber is too slow"
                    ))?;
                }
            }
        }
        Ok(())
    }

    /// Delivers a notification, or what it stands for.
    async fn deliver(
        &self,
        topic: Bytes,
        text: Bytes,
        session: &Session,
        feed: &Feed<Delivery>,
    ) -> Result<(), End<Failure>> {
        let row = self
            .attached
            .as_ref()
            .and_then(|attached| Some((attached, (attached.row_of)(&text)?)));
        let read = match row {
            Some((attached, id)) => attached.read(id, session, &self.options).await?,
            None if feed.accepts(text.len()) => Read::Message(text),
            None => Read::TooLong(text.len()),
        };
        match read {
            Read::Message(message) => feed.message(Delivery::Message { topic, message }).await?,
            Read::TooLong(len) => feed.skip(len)?,
            Read::Missing(reason) => feed.gap(reason)?,
        }
        Ok(())
    }
}
