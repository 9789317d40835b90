//! One stream of a subscription: its entries, from the last one that was delivered on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::backend::{End, Feed};
use manager_api::topics::{Delivery, Entry};
use redis::{Cmd, FromRedisValue, cmd};
use tokio::time::timeout;

use super::reader::{Head, Reader};
use super::redirection::{MAX_REDIRECTIONS, Redirection};
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::error::Failure;
use crate::refusal::Asked;

/// The entries that one command reads.
const COUNT: usize = 100;
/// The longest that the server waits for an entry before it replies with none.
const MAX_BLOCK: Duration = Duration::from_secs(5);
/// The maximum number of fields and values of an entry.
const MAX_WORDS: usize = 16_384;
/// The maximum length, in bytes, of a name in a reply.
const MAX_NAME_LEN: usize = 64 << 10;

/// The id of an entry: a time in milliseconds, and a number.
type Id = (u64, u64);

/// One stream, and how far it was read.
#[derive(Debug)]
pub(super) struct StreamCursor {
    pub(super) name: Arc<str>,
    past: Duration,
    /// `None` until it was found for the first time.
    position: Option<Position>,
}

/// The last entry that was read.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Position {
    last: Id,
    /// The number of entries that were ever added up to it, as far as that is known.
    num_added: Option<u64>,
}

/// What the server knows of a stream.
#[derive(Debug, Default)]
struct Info {
    len: u64,
    last: Id,
    first: Option<Id>,
    /// Since Redis 7.
    num_added: Option<u64>,
}

impl StreamCursor {
    pub(super) fn new(name: Arc<str>, past: Duration) -> Self {
        Self {
            name,
            past,
            position: None,
        }
    }

    /// Connects to the stream's node and finds the position from which to read; returns the reason of a gap before it.
    pub(super) async fn open(
        &mut self,
        connector: &Connector,
        options: &Arc<RedisOptions>,
    ) -> Result<(Reader, Option<String>), Failure> {
        let mut connection = connector.connect(Purpose::Publishing).await?;
        for _ in 0..=MAX_REDIRECTIONS {
            let mut reader = Reader {
                connection,
                options: options.clone(),
                reply_limit: Some(options.connect_timeout),
            };
            match self.find(&mut reader).await? {
                Ok(gap) => {
                    reader.reply_limit = reply_limit(options);
                    return Ok((reader, gap));
                }
                Err(Redirection::Moved { to, .. } | Redirection::Ask { to }) => {
                    connection = connector.connect_to(&to, Purpose::Publishing).await?;
                }
                Err(Redirection::Later) => {
                    return Err(Failure::other(
                        &reader.connection.address,
                        "no node of Redis Cluster serves the stream",
                    ));
                }
            }
        }
        Err(Failure::other(
            connector.label(),
            "the nodes of Redis Cluster disagree about the stream",
        ))
    }

    /// Finds the position, or the node to be asked instead.
    async fn find(&mut self, reader: &mut Reader) -> Result<Result<Option<String>, Redirection>, Failure> {
        let info = match self.info(reader).await? {
            Ok(info) => info,
            Err(redirection) => return Ok(Err(redirection)),
        };
        if let Some(position) = self.position {
            if info.is_none() {
                // All entries of the next stream of this name are new.
                self.position = Some(Position::of(None));
            }
            let gap = position.is_missing(info.as_ref());
            return Ok(Ok(
                gap.map(|what| format!("{what} of {} may have been missed", self.name))
            ));
        }
        self.position = Some(match (info, self.past.is_zero()) {
            (Some(_), false) => {
                let now = now_of(&mut reader.connection).await?;
                let past = u64::try_from(self.past.as_millis()).unwrap_or(u64::MAX);
                let before = now.saturating_sub(past).saturating_sub(1);
                Position {
                    last: (before, u64::MAX),
                    num_added: None,
                }
            }
            (info, _) => Position::of(info.as_ref()),
        });
        Ok(Ok(None))
    }

    /// Requests what the server knows of the stream; `None` if there is none.
    async fn info(&self, reader: &mut Reader) -> Result<Result<Option<Info>, Redirection>, Failure> {
        send(reader, cmd("XINFO").arg("STREAM").arg(&*self.name)).await?;
        let num_words = match reader.head().await? {
            Head::List(len) => len,
            Head::Error(error) if error.detail().is_some_and(|detail| detail.contains("no such key")) => {
                return Ok(Ok(None));
            }
            Head::Error(error) => {
                let address = &reader.connection.address;
                return match Redirection::of(&error, address) {
                    Some(redirection) => Ok(Err(redirection)),
                    None => Err(Failure::server(address, self.asked("XINFO"), error)),
                };
            }
            _ => return Err(reader.connection.not_redis()),
        };
        let mut info = Info::default();
        for _ in 0..num_words / 2 {
            let field = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
            match &*field {
                b"length" => info.len = number(reader).await?,
                b"entries-added" => info.num_added = Some(number(reader).await?),
                b"last-generated-id" => {
                    let id = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
                    info.last = id_of(&id).ok_or_else(|| reader.connection.not_redis())?;
                }
                b"first-entry" => info.first = reader.skip().await?.and_then(|id| id_of(&id)),
                _ => {
                    reader.skip().await?;
                }
            }
        }
        Ok(Ok(Some(info)))
    }

    /// Delivers entries until the connection is lost, or the stream is moved to another node.
    pub(super) async fn read(
        &mut self,
        reader: &mut Reader,
        feed: &Feed<Delivery>,
    ) -> Result<Infallible, End<Failure>> {
        let block = block_of(&reader.options).as_millis();
        loop {
            check_role(reader).await?;
            let (time, number) = self.position.map(|position| position.last).unwrap_or_default();
            let mut command = cmd("XREAD");
            command.arg("BLOCK").arg(block.to_string()).arg("COUNT").arg(COUNT);
            command.arg("STREAMS").arg(&*self.name).arg(format!("{time}-{number}"));
            send(reader, &command).await?;
            match reader.head().await? {
                // None came within that time.
                Head::Nil => continue,
                Head::List(1) => {}
                Head::Error(error) => {
                    return Err(Failure::server(&reader.connection.address, self.asked("XREAD"), error).into());
                }
                _ => return Err(reader.connection.not_redis().into()),
            }
            expect_list(reader, 2).await?;
            let _name = reader.text(MAX_NAME_LEN).await?;
            let Head::List(num_entries) = reader.head().await? else {
                return Err(reader.connection.not_redis().into());
            };
            for _ in 0..num_entries {
                self.read_entry(reader, feed).await?;
            }
        }
    }

    /// Reads and delivers one entry.
    async fn read_entry(&mut self, reader: &mut Reader, feed: &Feed<Delivery>) -> Result<(), End<Failure>> {
        expect_list(reader, 2).await?;
        let id = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
        let id = id_of(&id).ok_or_else(|| reader.connection.not_redis())?;
        let num_words = match reader.head().await? {
            Head::List(len) => len,
            Head::Nil => 0,
            _ => return Err(reader.connection.not_redis().into()),
        };
        let mut words = Vec::new();
        let mut size = 0;
        for _ in 0..num_words {
            let Head::Text(len) = reader.head().await? else {
                return Err(reader.connection.not_redis().into());
            };
            size += len;
            match num_words <= MAX_WORDS && feed.accepts(size) {
                true => words.push(reader.bytes(len).await?),
                false => {
                    words.clear();
                    reader.discard(len).await?;
                }
            }
        }
        if let Some(position) = &mut self.position {
            position.last = id;
            position.num_added = position.num_added.map(|count| count + 1);
        }
        if num_words > MAX_WORDS || !feed.accepts(size) {
            return Ok(feed.skip(size)?);
        }
        let fields = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        let entry = Entry::from_iter(fields);
        let stream = self.name.clone();
        Ok(feed.message(Delivery::Entry { stream, entry }).await?)
    }

    fn asked(&self, command: &'static str) -> Asked<'_> {
        Asked::Topic {
            command,
            name: &self.name,
        }
    }
}

impl Position {
    /// Returns the end of a stream; the beginning if there is none.
    fn of(info: Option<&Info>) -> Self {
        let Some(info) = info else {
            return Self {
                last: Id::default(),
                num_added: Some(0),
            };
        };
        Self {
            last: info.last,
            num_added: info.num_added,
        }
    }

    /// Returns what is not in the stream any more although it was not read; `None` if that is nothing.
    fn is_missing(self, info: Option<&Info>) -> Option<&'static str> {
        let Some(info) = info else {
            return (self.last != Id::default()).then_some("the stream was deleted: entries");
        };
        if info.first.is_some_and(|first| first <= self.last) {
            return None;
        }
        // The last entry that was read is gone. Nothing else is if all up to it were removed, and no other.
        let num_removed = info.num_added.map(|num_added| num_added.saturating_sub(info.len));
        match num_removed.is_some() && num_removed == self.num_added {
            true => None,
            false => Some("the stream was trimmed: entries"),
        }
    }
}

/// Returns how long the server waits for an entry: shorter than the time after which it counts as dead.
fn block_of(options: &RedisOptions) -> Duration {
    let longest = (options.keepalive_timeout / 2).min(options.keepalive_interval);
    match options.keepalive_interval.is_zero() {
        true => MAX_BLOCK,
        false => longest.clamp(Duration::from_millis(1), MAX_BLOCK),
    }
}

/// Returns how long the reply may take.
fn reply_limit(options: &RedisOptions) -> Option<Duration> {
    match options.keepalive_interval.is_zero() {
        true => Some(Duration::from_secs(u64::from(u32::MAX))),
        false => Some(block_of(options).saturating_add(options.keepalive_timeout)),
    }
}

/// Requests the server's role if the last time is long ago, so that one that was demoted is left.
async fn check_role(reader: &mut Reader) -> Result<(), Failure> {
    let interval = reader.options.keepalive_interval;
    let connection = &mut reader.connection;
    if interval.is_zero() || connection.last_keepalive.elapsed() < interval {
        return Ok(());
    }
    let limit = reader.options.keepalive_timeout;
    let answered = async {
        connection.send_keepalive().await?;
        connection.reply().await
    };
    let answer = timeout(limit, answered).await;
    let answer = answer.unwrap_or_else(|_| Err(reader.connection.silent(limit)))?;
    reader.connection.check(answer)
}

/// Requests the server's time, in milliseconds.
async fn now_of(connection: &mut Connection) -> Result<u64, Failure> {
    let time = connection.request(&cmd("TIME")).await?;
    let asked = Asked::Topic {
        command: "TIME",
        name: "",
    };
    let time = time.map_err(|error| Failure::server(&connection.address, asked, error))?;
    let (seconds, micros) = <(u64, u64)>::from_redis_value(time).map_err(|_| connection.not_redis())?;
    Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
}

async fn send(reader: &mut Reader, command: &Cmd) -> Result<(), Failure> {
    reader.connection.send(&command.get_packed_command()).await
}

async fn number(reader: &mut Reader) -> Result<u64, Failure> {
    match reader.head().await? {
        Head::Number(number) => Ok(number),
        _ => Err(reader.connection.not_redis()),
    }
}

async fn expect_list(reader: &mut Reader, expected: usize) -> Result<(), Failure> {
    match reader.head().await? {
        Head::List(len) if len == expected => Ok(()),
        _ => Err(reader.connection.not_redis()),
    }
}

/// Reads the id of an entry.
fn id_of(text: &Bytes) -> Option<Id> {
    let (time, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_trimmed_unread_is_a_gap() {
        let info = |len, first: Option<u64>, num_added| Info {
            len,
            last: (100, 0),
            first: first.map(|time| (time, 0)),
            num_added,
        };
        let at = |last, num_added| Position {
            last: (last, 0),
            num_added,
        };
        for (position, info, is_gap) in [
            (at(5, Some(5)), Some(info(10, Some(5), Some(14))), false),
            (at(5, Some(5)), Some(info(10, Some(1), None)), false),
            (at(5, Some(5)), Some(info(10, Some(6), Some(15))), false),
            (at(5, Some(5)), Some(info(10, Some(7), Some(16))), true),
            // Another stream of the same name.
            (at(5, Some(5)), Some(info(1, Some(7), Some(1))), true),
            (at(5, Some(5)), Some(info(0, None, Some(5))), false),
            (at(5, Some(5)), Some(info(0, None, Some(6))), true),
            (at(5, None), Some(info(10, Some(6), Some(15))), true),
            (at(5, Some(5)), Some(info(10, Some(6), None)), true),
            (at(5, Some(5)), None, true),
            (at(0, Some(0)), None, false),
            (at(0, Some(0)), Some(info(3, Some(1), Some(3))), false),
        ] {
            let missing = position.is_missing(info.as_ref());
            assert_eq!(missing.is_some(), is_gap, "{position:?} {info:?}");
        }
    }

    #[test]
    fn the_server_waits_less_long_than_it_may_be_silent() {
        for (interval, limit) in [(10_000, 10_000), (20, 30), (1, 1), (10_000, 40)] {
            let options = RedisOptions {
                keepalive_interval: Duration::from_millis(interval),
                keepalive_timeout: Duration::from_millis(limit),
                ..RedisOptions::default()
            };
            let block = block_of(&options);
            assert!(!block.is_zero() && block <= options.keepalive_timeout.max(Duration::from_millis(1)));
        }
    }
}
