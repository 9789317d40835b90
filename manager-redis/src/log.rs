//! The log of a channel: a stream that carries the messages in place of publish/subscribe.
//!
//! | part | what it is |
//! |---|---|
//! | the stream | named as the channel; each entry has one field, the message |
//! | `{channel}.epoch` | a key with the epoch of the stream: a random number, set by the first that reads |
//! | a [`Position`] | the epoch and the id of the entry: a time in milliseconds, and a number |
//!
//! The epoch is compared when a reader connects, and every few seconds: what is read between the deletion of a stream and the
//! gap that tells it has the old one.
//!
//! Each publish trims the stream by its length. Readers trim it by its age, with the clock of the server: publishers do not
//! know it.

mod care;
mod epoch;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use manager_api::backend::{End, Feed, ListenLink, Resumed, Status, bad};
use manager_api::replay::{Epoch, Placed, Position, Replay, Replayed, Start};
use manager_api::subscription::Measured;
use manager_api::topics::{Entry, Stream};
use manager_api::{Error, Subscription};
use redis::cmd;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::RedisManager;
use crate::config::{RedisOptions, StreamLog};
use crate::connect::Connector;
use crate::connection::Connection;
use crate::error::{Failure, timed_out};
use crate::topics::head;
use crate::topics::position::Id;
use crate::topics::reader::Reader;
use crate::topics::stream::{Beginning, StreamCursor};
use care::Care;

/// The field of an entry that has the message.
const FIELD: &str = "message";

/// The part of a manager that only a log needs.
#[derive(Debug)]
pub(crate) struct LogState {
    /// How much of it is kept.
    pub(crate) limits: StreamLog,
    /// The command that appends a message, up to its length.
    head: Bytes,
}

impl LogState {
    /// Creates it if the options or the URL name a stream.
    pub(crate) fn new(connector: &Connector, options: &RedisOptions) -> Result<Option<Self>, Error> {
        let parameters = connector.stream();
        if parameters.is_none() && options.log.is_none() {
            return Ok(None);
        }
        let number = connector.database();
        if number != 0 {
            return Err(bad(format!(
                "streams are in database 0, and the URL names {number}: leave the number out, also for the other servers"
            )));
        }
        let mut limits = options.log.clone().unwrap_or_default();
        let parameters = parameters.cloned().unwrap_or_default();
        limits.max_len = parameters.max_len.unwrap_or(limits.max_len).max(1);
        limits.max_age = parameters.max_age.unwrap_or(limits.max_age);
        let stream = Stream {
            name: options.common.channel.as_str().into(),
            max_len: limits.max_len,
        };
        let (head, _) = head::of_append(&stream, Entry::from_iter([(FIELD, "")]));
        Ok(Some(Self { limits, head }))
    }

    /// Returns the command that appends a message, up to its length.
    pub(crate) fn head(&self) -> Bytes {
        self.head.clone()
    }
}

/// One reader of the log: the listening side of a subscription.
pub(crate) struct LogListener<M> {
    options: Arc<RedisOptions>,
    connector: Arc<Connector>,
    /// Counts the entries of other programs.
    status: Arc<Status>,
    /// Where the reader was asked to begin.
    start: Start,
    /// Where it is.
    cursor: StreamCursor,
    /// What is to be done for the stream meanwhile.
    care: Care,
    /// The epoch that the connection before has found.
    epoch: Option<Epoch>,
    /// Receives the last message of the past once the beginning was found.
    begun: Option<oneshot::Sender<Option<Position>>>,
    /// Makes what is delivered of a message and its position.
    place: fn(Position, Bytes) -> M,
}

/// A connection that reads the stream.
pub(crate) struct Reading {
    reader: Reader,
}

impl<M> LogListener<M> {
    /// Creates a listener, which is not connected.
    fn new(manager: &RedisManager, log: &LogState, start: Start, place: fn(Position, Bytes) -> M) -> Self {
        let beginning = match start {
            Start::After(Position { offset, .. }) => Beginning::After((offset.major, offset.minor)),
            Start::Past(past) => Beginning::Past(past),
            // Nothing else is known here.
            _ => Beginning::Past(Duration::ZERO),
        };
        let stream: Arc<str> = manager.options.common.channel.as_str().into();
        Self {
            options: Arc::new(manager.options.clone()),
            connector: manager.connector.clone(),
            status: manager.status.clone(),
            start,
            care: Care::new(stream.clone(), &log.limits),
            cursor: StreamCursor::of_field(stream, FIELD, beginning),
            epoch: None,
            begun: None,
            place,
        }
    }

    /// Compares the epoch of the log with that of the connection before, or else of the beginning. If it is another one,
    /// messages may be missing.
    fn follow(&mut self, epoch: Epoch) {
        self.care.epoch = epoch;
        let before = self.epoch.replace(epoch);
        let expected = match (before, self.start) {
            (None, Start::After(position)) => Some(position.epoch),
            (before, _) => before,
        };
        if expected.is_none_or(|expected| expected == epoch) {
            return;
        }
        if before.is_none() {
            // The beginning is nowhere in it. Otherwise no id comes twice, and what follows the last one is new.
            self.cursor.rewind();
        }
        let stream = &self.cursor.name;
        self.cursor.miss(format!(
            "{stream} is another stream, and messages of the old one may have been missed"
        ));
    }
}

impl<M: Measured + Send + 'static> ListenLink for LogListener<M> {
    type Failure = Failure;
    type Connection = Reading;
    type Message = M;

    /// Connects to the node of the stream, and finds the place in it.
    async fn open(&mut self) -> Result<Reading, Failure> {
        let mut reader = self.cursor.open(&self.connector, &self.options).await?;
        let limit = self.options.connect_timeout;
        let (connection, stream) = (&mut reader.connection, &*self.cursor.name);
        let known = timeout(limit, async {
            name_connection(connection, stream).await?;
            epoch::epoch_of(connection, stream).await
        });
        let Ok(epoch) = known.await else {
            return Err(reader.connection.silent(limit));
        };
        let epoch = epoch?;
        self.follow(epoch);
        if let Some(begun) = self.begun.take() {
            let last = self.cursor.last_of_past().map(|id| position(epoch, id));
            // The caller may have given up.
            let _ = begun.send(last);
        }
        Ok(Reading { reader })
    }

    async fn read(&mut self, reading: &mut Reading, feed: &Feed<M>) -> Result<Infallible, End<Failure>> {
        let (place, status, epoch) = (self.place, self.status.clone(), self.care.epoch);
        let placed = move |id: Id, entry: Entry| {
            let message = entry.get(FIELD).cloned();
            if message.is_none() {
                // Another program has appended it.
                status.foreign();
            }
            Some(place(position(epoch, id), message?))
        };
        let Self { cursor, care, .. } = self;
        cursor.read(&mut reading.reader, feed, care, placed).await
    }

    /// What may be missing is told when the stream is read.
    fn resumed(&mut self, _: &mut Reading, _: &Failure) -> Resumed {
        Resumed::Continues
    }

    fn address(&self, reading: &Reading) -> String {
        reading.reader.connection.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}

/// Names the connection, so that an operator finds in `CLIENT LIST` who reads the stream. Without the right it has no name.
async fn name_connection(connection: &mut Connection, stream: &str) -> Result<(), Failure> {
    let printable = |c: char| if c.is_ascii_graphic() { c } else { '_' };
    let name: String = "sio-reads-".chars().chain(stream.chars().map(printable)).collect();
    let _refused = connection.request(cmd("CLIENT").arg("SETNAME").arg(name)).await?;
    Ok(())
}

/// Returns the position of an entry: its time and its number, in the log of that epoch.
fn position(epoch: Epoch, (time, number): Id) -> Position {
    Position::new(epoch, time, number)
}

impl RedisManager {
    /// Subscribes to the stream that carries the messages.
    pub(crate) async fn subscribe_to_log(&self, log: &LogState) -> Result<Subscription, Error> {
        let new = Start::Past(Duration::ZERO);
        let listener = LogListener::new(self, log, new, |_, message| message);
        self.listeners.subscribe(listener).await
    }
}

#[async_trait]
impl Replay for RedisManager {
    async fn read_from(&self, start: Start) -> Result<Replayed, Error> {
        let Some(log) = &self.log else {
            return Err(bad("publish/subscribe keeps no messages: redis+stream:// does"));
        };
        let place = |position, message| Placed { position, message };
        let mut listener = LogListener::new(self, log, start, place);
        let (begun, last) = oneshot::channel();
        listener.begun = Some(begun);
        let messages = self.listeners.subscribe(listener).await?;
        // It was sent before the subscription was.
        let last = last.await.unwrap_or_default();
        Ok(Replayed::new(messages, last))
    }
}
