//! The member of a consumer group: its own pending entries, those of members that are gone, then new ones.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use std::time::Duration;

use manager_api::lock::Unpoisoned;
use manager_api::source::{Reading, Record};
use redis::{Cmd, Value, cmd};
use tokio::time::Instant;

use super::entries::{Entry, read_all};
use super::link::Link;
use super::{Shared, StreamStart, UNKNOWN, entry_of};
use crate::error::Failure;
use crate::hello::{elements, text};
use crate::refusal::Asked;
use crate::topics::position::{Id, id_of};
use crate::topics::reader::{Head, Reader};

/// The longest that the server waits for an entry before it replies with none.
const MAX_BLOCK: Duration = Duration::from_secs(2);
/// The interval at which the group is examined: for entries of members that are gone, trimmed ones, and the lag.
const EXAMINE: Duration = Duration::from_secs(5);
/// The maximum length, in bytes, of a name in a reply.
const MAX_NAME_LEN: usize = 64 << 10;

/// A member of the group.
pub(super) struct Member {
    shared: Arc<Shared>,
    link: Link,
    reader: Option<Reader>,
    /// The last of its own pending entries that was read since it has connected; `None` once all were.
    own: Option<Id>,
    /// From where the pending entries of others are claimed next; empty if not now.
    claim_from: String,
    examined: Option<Instant>,
    /// How many entries had been removed from the stream when that was last reported.
    num_removed: u64,
    had_group: bool,
    stash: VecDeque<Reading>,
}

impl Member {
    /// Creates a member that is not connected.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            link: Link::new(shared.clone()),
            shared,
            reader: None,
            own: None,
            claim_from: String::new(),
            examined: None,
            num_removed: 0,
            had_group: false,
            stash: VecDeque::new(),
        }
    }

    /// Drops the connections.
    pub(super) fn disconnect(&mut self) {
        self.reader = None;
        self.link.disconnect();
    }

    /// Returns the next reading; an empty one if nothing came for a while.
    pub(super) async fn next(&mut self) -> Result<Reading, Failure> {
        if let Some(reading) = self.stash.pop_front() {
            return Ok(reading);
        }
        // Taken, so that a call that is given up leaves no reply behind that the next one would take for its own.
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => self.open().await?,
        };
        self.shared.is_connected.store(true, Ordering::Relaxed);
        self.examine(&mut reader).await?;
        let entries = if let Some(last) = self.own {
            let (time, number) = last;
            let entries = self.read(&mut reader, &format!("{time}-{number}"), None).await?;
            self.own = entries
                .iter()
                .filter_map(id_of_entry)
                .max()
                .filter(|_| !entries.is_empty());
            (entries, true)
        } else if !self.claim_from.is_empty() {
            (self.claim(&mut reader).await?, true)
        } else {
            (self.read(&mut reader, ">", Some(self.block())).await?, false)
        };
        self.reader = Some(reader);
        self.hand_out(entries.0, entries.1).await
    }

    /// Connects, and creates the group if there is none.
    async fn open(&mut self) -> Result<Reader, Failure> {
        let options = &self.shared.options;
        let start = match options.start {
            StreamStart::Beginning => "0",
            StreamStart::End => "$",
        };
        let mut create = cmd("XGROUP");
        create
            .arg("CREATE")
            .arg(&options.stream)
            .arg(&options.group)
            .arg(start)
            .arg("MKSTREAM");
        match self.link.request("XGROUP", &options.stream, &create).await {
            Ok(_) if self.had_group => self.stash.push_back(Reading::Gap {
                num_records: 0,
                reason: format!("the group {:?} was gone, and was created anew", options.group),
            }),
            Ok(_) => {}
            Err(failure) if failure.is_busy_group() => {}
            Err(failure) => return Err(failure),
        }
        self.had_group = true;
        self.own = Some((0, 0));
        self.examined = None;
        let mut redis = options.redis.clone();
        redis.keepalive_interval = Duration::ZERO;
        let reader = Reader {
            connection: self.link.take().await?,
            options: Arc::new(redis),
            reply_limit: Some(self.block().saturating_add(options.redis.keepalive_timeout)),
        };
        Ok(reader)
    }

    /// Returns how long the server may wait for an entry.
    fn block(&self) -> Duration {
        let half = self.shared.options.redis.keepalive_timeout / 2;
        half.clamp(Duration::from_millis(1), MAX_BLOCK)
    }

    /// Reads entries behind an id of its own pending ones, or new ones.
    async fn read(&mut self, reader: &mut Reader, from: &str, block: Option<Duration>) -> Result<Vec<Entry>, Failure> {
        let shared = self.shared.clone();
        let options = &shared.options;
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&options.group).arg(&options.consumer);
        command.arg("COUNT").arg(options.max_batch.max(1));
        if let Some(block) = block {
            command.arg("BLOCK").arg(block.as_millis().to_string());
        }
        command.arg("STREAMS").arg(&options.stream).arg(from);
        match self.head(reader, "XREADGROUP", &command).await? {
            Head::Nil => return Ok(Vec::new()),
            Head::List(1) => {}
            _ => return Err(reader.connection.not_redis()),
        }
        let Head::List(2) = reader.head().await? else {
            return Err(reader.connection.not_redis());
        };
        let _name = reader.text(MAX_NAME_LEN).await?;
        self.entries(reader).await
    }

    /// Claims entries of members that are gone.
    async fn claim(&mut self, reader: &mut Reader) -> Result<Vec<Entry>, Failure> {
        let shared = self.shared.clone();
        let options = &shared.options;
        let mut command = cmd("XAUTOCLAIM");
        command.arg(&options.stream).arg(&options.group).arg(&options.consumer);
        command
            .arg(options.claim_after.as_millis().to_string())
            .arg(&self.claim_from);
        command.arg("COUNT").arg(options.max_batch.max(1));
        let Head::List(num_parts @ 2..) = self.head(reader, "XAUTOCLAIM", &command).await? else {
            return Err(reader.connection.not_redis());
        };
        let next = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
        self.claim_from = match &*next {
            b"0-0" => String::new(),
            next => String::from_utf8_lossy(next).into_owned(),
        };
        let mut entries = self.entries(reader).await?;
        // Since Redis 7: the ids of those that were gone, and are not pending any more.
        for _ in 2..num_parts {
            let Head::List(num_gone) = reader.head().await? else {
                return Err(reader.connection.not_redis());
            };
            for _ in 0..num_gone {
                reader.skip().await?;
                entries.push(Entry::Gone(None));
            }
        }
        Ok(entries)
    }

    /// Sends a command, and reads the first line of its reply. An error is a failure, and so is a redirection: the next
    /// connection finds the node.
    async fn head(&mut self, reader: &mut Reader, verb: &str, command: &Cmd) -> Result<Head, Failure> {
        reader.connection.send(&command.get_packed_command()).await?;
        match reader.head().await? {
            Head::Error(error) => {
                let name = &self.shared.options.stream;
                let asked = Asked::Topic { command: verb, name };
                Err(Failure::server(&reader.connection.address, asked, error))
            }
            head => Ok(head),
        }
    }

    /// Reads the list of entries at the end of a reply.
    async fn entries(&mut self, reader: &mut Reader) -> Result<Vec<Entry>, Failure> {
        let Head::List(num_entries) = reader.head().await? else {
            return Err(reader.connection.not_redis());
        };
        let field = self.shared.options.body_field.as_deref();
        read_all(reader, num_entries, &self.shared.name, field).await
    }

    /// Makes readings of entries: those that are still under way are left out, those that are gone make a gap.
    async fn hand_out(&mut self, entries: Vec<Entry>, is_redelivered: bool) -> Result<Reading, Failure> {
        let mut records: Vec<Record> = Vec::new();
        let (mut num_gone, mut gone) = (0, Vec::new());
        for entry in entries {
            match entry {
                Entry::Record(record) => records.push(record),
                Entry::Gone(id) => {
                    num_gone += 1;
                    gone.extend(id);
                }
            }
        }
        {
            let mut in_flight = self.shared.in_flight.lock().unpoisoned();
            records.retain(|record| entry_of(&record.position).is_none_or(|id| in_flight.insert(id)));
        }
        for record in &mut records {
            record.is_redelivered = is_redelivered;
        }
        if num_gone == 0 {
            return Ok(Reading::Records(records));
        }
        self.stash.push_back(Reading::Records(records));
        self.forget(&gone).await?;
        Ok(Reading::Gap {
            num_records: num_gone,
            reason: format!(
                "entries of the stream {:?} were removed while they were pending",
                self.shared.name
            ),
        })
    }

    /// Acknowledges pending entries that are gone.
    async fn forget(&mut self, gone: &[Id]) -> Result<(), Failure> {
        if gone.is_empty() {
            return Ok(());
        }
        let options = &self.shared.options;
        let mut command = cmd("XACK");
        command.arg(&options.stream).arg(&options.group);
        for (time, number) in gone {
            command.arg(format!("{time}-{number}"));
        }
        self.link.request("XACK", &options.stream, &command).await.map(drop)
    }

    /// Looks at the group from time to time, and begins to claim.
    async fn examine(&mut self, reader: &mut Reader) -> Result<(), Failure> {
        let interval = EXAMINE.min(self.shared.options.claim_after);
        if self.examined.is_some_and(|then| then.elapsed() < interval) {
            return Ok(());
        }
        self.examined = Some(Instant::now());
        if self.claim_from.is_empty() {
            "0-0".clone_into(&mut self.claim_from);
        }
        let options = &self.shared.options;
        let (stream, group) = (options.stream.clone(), options.group.clone());
        let groups = self
            .link
            .request("XINFO", &stream, cmd("XINFO").arg("GROUPS").arg(&stream))
            .await?;
        let Some(group) = elements(&groups)
            .iter()
            .find(|each| field(each, b"name").and_then(text) == Some(group.as_bytes()))
        else {
            return Ok(());
        };
        let lag = field(group, b"lag").and_then(number).unwrap_or(UNKNOWN);
        self.shared.lag.store(lag, Ordering::Relaxed);
        let read_up_to = field(group, b"last-delivered-id").and_then(text).and_then(id_of);
        let num_read = field(group, b"entries-read").and_then(number);
        let held = self.held(reader).await?;
        self.note_trimmed(&held, read_up_to.unwrap_or_default(), num_read);
        Ok(())
    }

    /// Asks what the stream holds. The reply has the first and the last entry, however large: nothing of them is kept.
    async fn held(&mut self, reader: &mut Reader) -> Result<Held, Failure> {
        let mut command = cmd("XINFO");
        command.arg("STREAM").arg(&self.shared.options.stream);
        let Head::List(len) = self.head(reader, "XINFO", &command).await? else {
            return Err(reader.connection.not_redis());
        };
        let mut held = Held::default();
        for _ in 0..len / 2 {
            let name = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
            match &*name {
                b"entries-added" => held.num_added = Some(reader.number().await?),
                b"length" => held.len = Some(reader.number().await?),
                b"first-entry" => held.first = first_id(reader).await?,
                _ => reader.skip().await?,
            }
        }
        Ok(held)
    }

    /// Reports entries that were removed before any member has read them, where Redis counts them: since version 7.
    fn note_trimmed(&mut self, held: &Held, read_up_to: Id, num_read: Option<u64>) {
        let (Some(num_read), Some(num_added), Some(len)) = (num_read, held.num_added, held.len) else {
            return;
        };
        if held.first.is_some_and(|first| first <= read_up_to) {
            return;
        }
        let num_removed = num_added.saturating_sub(len);
        let num_missed = num_removed.saturating_sub(num_read.max(self.num_removed));
        if num_missed > 0 {
            self.num_removed = num_removed;
            let stream = &self.shared.name;
            self.stash.push_back(Reading::Gap {
                num_records: num_missed,
                reason: format!("the stream {stream:?} was trimmed before its entries were read"),
            });
        }
    }
}

/// What a stream holds, as far as the server says.
#[derive(Default)]
struct Held {
    /// The number of entries that were ever added: since Redis 7.
    num_added: Option<u64>,
    len: Option<u64>,
    /// The id of the first entry.
    first: Option<Id>,
}

/// Reads the id of an entry, and passes over the rest; `None` if there is no entry.
async fn first_id(reader: &mut Reader) -> Result<Option<Id>, Failure> {
    let Head::List(len @ 1..) = reader.head().await? else {
        return Ok(None);
    };
    let id = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
    for _ in 1..len {
        reader.skip().await?;
    }
    Ok(id_of(&id))
}

/// Returns the id of an entry, if it has one.
fn id_of_entry(entry: &Entry) -> Option<Id> {
    match entry {
        Entry::Record(record) => entry_of(&record.position),
        Entry::Gone(id) => *id,
    }
}

/// Returns a field of a reply that is a list of names and values.
fn field<'a>(reply: &'a Value, name: &[u8]) -> Option<&'a Value> {
    let pairs = elements(reply).chunks_exact(2);
    pairs
        .filter(|pair| text(&pair[0]) == Some(name))
        .map(|pair| &pair[1])
        .next()
}

/// Returns a number that is not negative.
fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}
