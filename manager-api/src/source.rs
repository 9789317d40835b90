//! Sources of records: topics, queues and streams that a consumer group reads, and acknowledges record by record.
//!
//! A [`Source`] is the opposite of a subscription: the broker keeps a record until it is acknowledged, and hands it to
//! another member of the group if it is not. The crates of the brokers implement it with the connections that their
//! managers have; the crate `relay` emits what it reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use crate::Error;

/// The place of a record in its source, by which it is acknowledged.
///
/// `Display` names it for people: `topic "orders", partition 3, offset 42`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::exhaustive_structs, reason = "sources make it of its parts")]
pub struct Position {
    /// The name of the topic, queue, stream or table.
    pub name: Arc<str>,
    /// The place in it.
    pub place: Place,
}

/// The place of a record in a topic, a queue or a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// A line of a text, counted from 1.
    Line(u64),
    /// An entry of a stream of Redis, by its time and number.
    Entry {
        /// Its time in milliseconds.
        time: u64,
        /// Its number within that time.
        number: u64,
    },
    /// A record of a topic of Kafka.
    Offset {
        /// The partition.
        partition: i32,
        /// The offset in it.
        offset: i64,
    },
    /// A message of a queue of RabbitMQ, which has no place that outlives the connection.
    Delivery {
        /// The connection of this source, counted from 1.
        connection: u64,
        /// The delivery tag on it.
        tag: u64,
    },
    /// A row of a table of PostgreSQL, by its number.
    Row {
        /// The value of the column by which rows are known.
        id: i64,
    },
    /// A row of a table of PostgreSQL, by its UUID.
    UuidRow {
        /// The value of the column by which rows are known.
        id: u128,
    },
}

impl Position {
    /// Returns the part of the source within which records have an order: the partition of a topic, otherwise all.
    pub fn lane(&self) -> (Arc<str>, i32) {
        let partition = match self.place {
            Place::Offset { partition, .. } => partition,
            _ => 0,
        };
        (self.name.clone(), partition)
    }

    /// Returns text that names the record in every reading of it, by any member of the group; `None` where the source
    /// has no such name.
    pub fn stable_id(&self) -> Option<String> {
        let name = &self.name;
        match self.place {
            Place::Entry { time, number } => Some(format!("{name}/{time}-{number}")),
            Place::Offset { partition, offset } => Some(format!("{name}/{partition}/{offset}")),
            Place::Row { id } => Some(format!("{name}/{id}")),
            Place::UuidRow { id } => Some(format!("{name}/{}", Hyphenated(id))),
            Place::Line(_) | Place::Delivery { .. } => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &*self.name;
        match self.place {
            Place::Line(line) => write!(f, "{name}, line {line}"),
            Place::Entry { time, number } => write!(f, "stream {name:?}, entry {time}-{number}"),
            Place::Offset { partition, offset } => {
                write!(f, "topic {name:?}, partition {partition}, offset {offset}")
            }
            Place::Delivery { connection, tag } => {
                write!(f, "queue {name:?}, delivery {tag} of connection {connection}")
            }
            Place::Row { id } => write!(f, "table {name:?}, row {id}"),
            Place::UuidRow { id } => write!(f, "table {name:?}, row {}", Hyphenated(id)),
        }
    }
}

/// A UUID in its usual form.
struct Hyphenated(u128);

impl fmt::Display for Hyphenated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        f.write_str(&parts.join("-"))
    }
}

/// A record of a source. Cloning is cheap.
#[derive(Clone, Debug)]
#[allow(clippy::exhaustive_structs, reason = "sources make it of its parts")]
pub struct Record {
    /// Its place, by which it is acknowledged.
    pub position: Position,
    /// Its key, where the source has keys: that of a record of Kafka, the message id of RabbitMQ.
    pub key: Option<Bytes>,
    /// Its headers or fields, in their order.
    pub headers: Vec<(Arc<str>, Bytes)>,
    /// Its body.
    pub body: Bytes,
    /// Whether the source has handed it out before, as far as it says.
    pub is_redelivered: bool,
    /// Why it is not to be used, if so; it may have no body then.
    pub fault: Option<Fault>,
}

/// The reason why a record is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It has so many bytes, and is over the limit of the source.
    TooLarge(usize),
    /// It has no field with the name that the body is to have.
    BodyMissing,
}

impl Record {
    /// Creates a record of a body.
    pub fn new(position: Position, body: impl Into<Bytes>) -> Self {
        Self {
            position,
            key: None,
            headers: Vec::new(),
            body: body.into(),
            is_redelivered: false,
            fault: None,
        }
    }

    /// Returns a header; of several with that name the last.
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        let found = self.headers.iter().rev().find(|(each, _)| &**each == name);
        found.map(|(_, value)| value)
    }

    /// Returns text that names the record in every reading of it: its [place](Position::stable_id), or in a queue its
    /// message id; `None` if it has neither.
    pub fn lasting_id(&self) -> Option<String> {
        match (self.position.place, &self.key) {
            (Place::Delivery { .. }, Some(id)) => {
                let id = std::str::from_utf8(id).ok()?;
                Some(format!("{}/{id}", self.position.name))
            }
            _ => self.position.stable_id(),
        }
    }

    /// Returns the record and the reason why it became a dead letter as a JSON object, for sources whose dead letters
    /// are text: `position`, `reason`, `key` and `headers` if there are any, and `body`. Each of them that is not text
    /// stands in base64, under its name with `_base64`.
    pub fn dead_letter(&self, reason: &str) -> String {
        let mut object = Map::new();
        object.insert("position".to_owned(), self.position.to_string().into());
        object.insert("reason".to_owned(), reason.into());
        if let Some(key) = &self.key {
            insert(&mut object, "key", key);
        }
        if !self.headers.is_empty() {
            let mut headers = Map::new();
            for (name, value) in &self.headers {
                insert(&mut headers, name, value);
            }
            object.insert("headers".to_owned(), headers.into());
        }
        insert(&mut object, "body", &self.body);
        Value::Object(object).to_string()
    }

    /// Returns the bytes of body, key and headers.
    pub fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.body.len() + self.key.as_ref().map_or(0, Bytes::len) + headers.sum::<usize>()
    }
}

/// Inserts bytes as text, or in base64.
fn insert(object: &mut Map<String, Value>, name: &str, bytes: &Bytes) {
    match std::str::from_utf8(bytes) {
        Ok(text) => object.insert(name.to_owned(), text.into()),
        Err(_) => object.insert(format!("{name}_base64"), BASE64_STANDARD.encode(bytes).into()),
    };
}

/// What a source yields.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reading {
    /// Records, in the order of the source. Never empty.
    Records(Vec<Record>),
    /// So many records are gone although they were not acknowledged: the source was trimmed. Zero: an unknown number.
    Gap {
        /// The number, zero if it is unknown.
        num_records: u64,
        /// What happened.
        reason: String,
    },
    /// The source has ended.
    End,
}

/// The state of a source, for health checks and metrics.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SourceStatus {
    /// Whether it is connected and a member of its group, as far as is known.
    pub is_connected: bool,
    /// The number of records that wait in the source, where it says so: those not read, of all partitions of this
    /// member.
    pub lag: Option<u64>,
    /// The age of the oldest record in the source, where it says so; zero if there is none.
    pub oldest: Option<Duration>,
}

impl SourceStatus {
    /// Creates a status.
    pub fn new(is_connected: bool, lag: Option<u64>) -> Self {
        let oldest = None;
        Self {
            is_connected,
            lag,
            oldest,
        }
    }

    /// Adds the age of the oldest record.
    #[must_use]
    pub fn with_oldest(mut self, oldest: Option<Duration>) -> Self {
        self.oldest = oldest;
        self
    }
}

/// A source of records that keeps each until it is acknowledged.
///
/// One task calls [`next`](Self::next); the other methods may be called meanwhile, by another task. After a failure a
/// call may be repeated: the source connects anew. What it handed out and was not acknowledged it may hand out again.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Waits for records.
    ///
    /// # Errors
    ///
    /// [`Connect`](crate::ErrorKind::Connect) if the source is out of reach or refuses; a
    /// [refusal](Error::is_refusal) if the same call fails until something is changed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may lose the records that it was about to return: they count as handed out, and not
    /// acknowledged.
    async fn next(&self) -> Result<Reading, Error>;

    /// Acknowledges records, in the order in which they were handed out within each [lane](Position::lane). What
    /// belongs to another member of the group by now is passed over.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next). Records may have been acknowledged all the same.
    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error>;

    /// Stores a record that cannot be used where its owner finds it, with the reason. It is acknowledged after that.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next). The record may have been stored all the same.
    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error>;

    /// Leaves the group after what was acknowledged is stored, for at most `limit`. Further calls fail.
    ///
    /// # Errors
    ///
    /// If acknowledgements could not be stored: other members may receive these records again.
    async fn close(&self, limit: Duration) -> Result<(), Error>;

    /// Returns the state of the connections.
    fn status(&self) -> SourceStatus;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(name: &str, place: Place) -> Position {
        let name = name.into();
        Position { name, place }
    }

    #[test]
    fn a_position_names_what_an_operator_would_look_for() {
        let offset = at(
            "a",
            Place::Offset {
                partition: 3,
                offset: 42,
            },
        );
        assert_eq!(offset.to_string(), "topic \"a\", partition 3, offset 42");
        assert_eq!(offset.stable_id().as_deref(), Some("a/3/42"));
        assert_eq!(offset.lane(), ("a".into(), 3));
        let entry = at("s", Place::Entry { time: 7, number: 1 });
        assert_eq!(entry.to_string(), "stream \"s\", entry 7-1");
        assert_eq!(entry.stable_id().as_deref(), Some("s/7-1"));
        let row = at("t", Place::Row { id: -7 });
        assert_eq!(row.to_string(), "table \"t\", row -7");
        assert_eq!(row.stable_id().as_deref(), Some("t/-7"));
        let uuid = at("t", Place::UuidRow { id: 0xa1 << 120 | 0xb2 });
        assert_eq!(
            uuid.stable_id().as_deref(),
            Some("t/a1000000-0000-0000-0000-0000000000b2")
        );
        // A delivery tag means another message on the next connection.
        let delivery = at("q", Place::Delivery { connection: 1, tag: 5 });
        assert_eq!(delivery.stable_id(), None);
        let mut record = Record::new(delivery, "");
        assert_eq!(record.lasting_id(), None);
        record.key = Some("m7".into());
        assert_eq!(record.lasting_id().as_deref(), Some("q/m7"));
        let record = Record::new(entry, "");
        assert_eq!(record.lasting_id().as_deref(), Some("s/7-1"));
    }

    #[test]
    fn of_several_headers_of_a_name_the_last_counts() {
        let mut record = Record::new(at("s", Place::Line(1)), "body");
        record.headers = vec![("a".into(), "1".into()), ("a".into(), "2".into())];
        assert_eq!(record.header("a"), Some(&Bytes::from("2")));
        assert_eq!((record.header("b"), record.size()), (None, 8));
        record.headers = vec![("a".into(), Bytes::from_static(&[255]))];
        let letter = r#"{"body":"body","headers":{"a_base64":"/w=="},"position":"s, line 1","reason":"r"}"#;
        assert_eq!(record.dead_letter("r"), letter);
    }
}
