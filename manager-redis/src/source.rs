//! A stream as a source of records: read by a member of a consumer group, acknowledged entry by entry.
//!
//! Entries that were handed to a member and not acknowledged stay in its list of pending entries. A member begins with
//! its own, after each connect; those of members that are gone it claims once they were idle for a while.

mod entries;
mod group;
mod link;

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use async_trait::async_trait;
use manager_api::Error;
use manager_api::backend::{Failure as _, bad, closed};
use manager_api::lock::Unpoisoned;
use manager_api::source::{Place, Position, Reading, Record, Source, SourceStatus};
use redis::cmd;
use tokio::sync::Mutex;

use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::error::Failure;
use crate::topics::position::Id;
use group::Member;
use link::Link;

/// The longest name of a stream, a group or a consumer, in bytes.
const MAX_NAME_BYTES: usize = 512;
/// The value of [`StreamSource::lag`] for a lag that is not known.
const UNKNOWN: u64 = u64::MAX;

/// Where a consumer group begins that does not exist yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamStart {
    /// At the oldest entry of the stream.
    #[default]
    Beginning,
    /// Behind the entries that the stream has when the group is created.
    End,
}

/// The options of a [`StreamSource`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamSourceOptions {
    /// The options of connections. The limit of one field or value is
    /// [`max_message_bytes`](manager_api::ManagerOptions::max_message_bytes).
    pub redis: RedisOptions,
    /// The stream. It is created if it does not exist.
    pub stream: String,
    /// The consumer group. It is created if it does not exist.
    pub group: String,
    /// The name of this member of the group. One that begins again under the same name has its pending entries at once.
    pub consumer: String,
    /// Where a new group begins. Default at the beginning.
    pub start: StreamStart,
    /// The field that holds the body. Default none: the value of an entry with one field, otherwise an object of all
    /// fields whose names and values are text.
    pub body_field: Option<String>,
    /// The most entries of one reading. Default 100; zero counts as one.
    pub max_batch: usize,
    /// How long an entry must have been pending with another member before it is claimed. Default 30 s.
    pub claim_after: Duration,
    /// The stream of dead letters. Default the name of the stream with `.dead`. In a Redis Cluster it may be on another
    /// node.
    pub dead_letters: String,
}

impl StreamSourceOptions {
    /// Reads `stream` as `consumer` of `group`, with defaults.
    pub fn new(stream: impl Into<String>, group: impl Into<String>, consumer: impl Into<String>) -> Self {
        let stream = stream.into();
        Self {
            redis: RedisOptions::default(),
            dead_letters: format!("{stream}.dead"),
            stream,
            group: group.into(),
            consumer: consumer.into(),
            start: StreamStart::default(),
            body_field: None,
            max_batch: 100,
            claim_after: Duration::from_secs(30),
        }
    }

    fn check(&self) -> Result<(), Error> {
        for (what, name) in [
            ("stream", &self.stream),
            ("group", &self.group),
            ("consumer", &self.consumer),
            ("stream of dead letters", &self.dead_letters),
        ] {
            match name.len() {
                0 => return Err(bad(format!("the name of the {what} is empty"))),
                len if len > MAX_NAME_BYTES => {
                    return Err(bad(format!(
                        "the name of the {what} has more than {MAX_NAME_BYTES} bytes"
                    )));
                }
                _ => {}
            }
        }
        match self.dead_letters == self.stream {
            true => Err(bad("the stream of dead letters is the stream itself")),
            false => Ok(()),
        }
    }
}

/// A stream of Redis as a source of records.
///
/// The entries' fields are the headers of a record. Dead letters are entries of another stream: the fields of the
/// record, and `sio-position` and `sio-reason`.
pub struct StreamSource {
    shared: Arc<Shared>,
    member: Mutex<Member>,
    /// The connection that acknowledges.
    writer: Mutex<Link>,
}

/// What the connections of a source share.
struct Shared {
    options: StreamSourceOptions,
    connector: Connector,
    name: Arc<str>,
    /// Entries that were handed out and are not acknowledged.
    in_flight: StdMutex<HashSet<Id>>,
    is_connected: AtomicBool,
    is_closed: AtomicBool,
    lag: AtomicU64,
}

impl StreamSource {
    /// Creates a source, which connects on first use. The URL is that of a [`RedisManager`](crate::RedisManager), and
    /// its number of a database counts.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL, a name or an option that cannot be used. The
    /// text never contains a password.
    pub fn new(url: &str, options: StreamSourceOptions) -> Result<Self, Error> {
        options.check()?;
        let shared = Arc::new(Shared {
            connector: Connector::new(url, &options.redis)?,
            name: options.stream.as_str().into(),
            options,
            in_flight: StdMutex::default(),
            is_connected: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lag: AtomicU64::new(UNKNOWN),
        });
        Ok(Self {
            member: Mutex::new(Member::new(shared.clone())),
            writer: Mutex::new(Link::new(shared.clone())),
            shared,
        })
    }
}

impl Shared {
    /// Returns the error of a call.
    fn error(&self, failure: Failure) -> Error {
        Arc::new(failure).unreachable(self.options.redis.connect_timeout)
    }

    /// Fails once the source is closed.
    fn check_open(&self) -> Result<(), Error> {
        match self.is_closed.load(Ordering::Relaxed) {
            true => Err(closed()),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Source for StreamSource {
    async fn next(&self) -> Result<Reading, Error> {
        self.shared.check_open()?;
        let mut member = self.member.lock().await;
        let reading = member.next().await;
        self.shared.is_connected.store(reading.is_ok(), Ordering::Relaxed);
        reading.map_err(|failure| self.shared.error(failure))
    }

    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error> {
        let options = &self.shared.options;
        let mut command = cmd("XACK");
        command.arg(&options.stream).arg(&options.group);
        let ids: Vec<_> = positions.iter().filter_map(entry_of).collect();
        for (time, number) in &ids {
            command.arg(format!("{time}-{number}"));
        }
        let mut writer = self.writer.lock().await;
        let acknowledged = writer.request("XACK", &options.stream, &command).await;
        acknowledged.map_err(|failure| self.shared.error(failure))?;
        let mut in_flight = self.shared.in_flight.lock().unpoisoned();
        for id in ids {
            in_flight.remove(&id);
        }
        Ok(())
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        let stream = &self.shared.options.dead_letters;
        let mut command = cmd("XADD");
        command.arg(stream).arg("*");
        for (name, value) in &record.headers {
            command.arg(name.as_bytes()).arg(&value[..]);
        }
        command.arg("sio-position").arg(record.position.to_string());
        command.arg("sio-reason").arg(reason);
        let mut writer = self.writer.lock().await;
        let stored = writer.request("XADD", stream, &command).await;
        stored.map(drop).map_err(|failure| self.shared.error(failure))
    }

    async fn close(&self, _limit: Duration) -> Result<(), Error> {
        // Its name stays in the group, with what is pending: to remove a member is to forget its pending entries, and one
        // may just be on its way here.
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.shared.is_connected.store(false, Ordering::Relaxed);
        self.writer.lock().await.disconnect();
        if let Ok(mut member) = self.member.try_lock() {
            member.disconnect();
        }
        Ok(())
    }

    fn status(&self) -> SourceStatus {
        let lag = self.shared.lag.load(Ordering::Relaxed);
        let is_connected = self.shared.is_connected.load(Ordering::Relaxed);
        SourceStatus::new(is_connected, (lag != UNKNOWN).then_some(lag))
    }
}

impl fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamSource")
            .field("connector", &self.shared.connector)
            .field("stream", &self.shared.options.stream)
            .field("group", &self.shared.options.group)
            .finish_non_exhaustive()
    }
}

/// Returns the id of an entry by its position.
fn entry_of(position: &Position) -> Option<Id> {
    match position.place {
        Place::Entry { time, number } => Some((time, number)),
        _ => None,
    }
}
