//! One stream of a subscription: its entries, from the last one that was delivered on.
//!
//! `XREAD` with `$` would miss what is appended between two commands. The position is therefore an id from the beginning:
//! the last one that the server has generated when the subscription begins, or one made of the server's time.
//! A reply is read entry by entry, so that a hundred of the largest ones take the memory of one.

mod finding;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{End, Feed};
use manager_api::subscription::Measured;
use manager_api::topics::Entry;
use redis::{Cmd, FromRedisValue, cmd};
use tokio::time::{Instant, timeout};

use super::position::{Id, Position, id_of};
use super::reader::{Head, Reader};
use crate::config::RedisOptions;
use crate::connection::Connection;
use crate::error::Failure;
use crate::refusal::Asked;

/// The entries that one command reads.
const COUNT: usize = 100;
/// The time for which a subscriber may take no entry until the stream is looked at again.
const LONG: Duration = Duration::from_millis(100);
/// The longest that the server waits for an entry before it replies with none.
const MAX_BLOCK: Duration = Duration::from_secs(5);
/// The maximum number of fields and values of an entry.
const MAX_WORDS: usize = 16_384;
/// The maximum length, in bytes, of a name in a reply.
const MAX_NAME_LEN: usize = 64 << 10;

/// What is to be done from time to time on the connection that reads.
pub(crate) trait Tend: Send {
    /// Does it if it is time to.
    fn tend(&mut self, connection: &mut Connection) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Nothing is to be done.
impl Tend for () {
    async fn tend(&mut self, _: &mut Connection) -> Result<(), Failure> {
        Ok(())
    }
}

/// Where a cursor begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    /// At the entries of the last so-and-so long; at the next entry if that is zero.
    Past(Duration),
    /// Behind an entry.
    After(Id),
}

/// One stream, and how far it was read.
#[derive(Debug)]
pub(crate) struct StreamCursor {
    pub(crate) name: Arc<str>,
    beginning: Beginning,
    /// `None` until it was found for the first time.
    position: Option<Position>,
    /// The bytes of each entry that do not count against the limit of a message: the name of its field.
    num_free: usize,
    /// The last entry of the stream when the position was found for the first time.
    last_entry: Option<Id>,
    /// The number of entries that were removed before the first one that is there, as far as that is known.
    num_removed: Option<u64>,
    /// Why entries before the next one may be missing: kept until a subscriber is told.
    missed: Option<String>,
}

impl StreamCursor {
    /// Creates a cursor that begins there once it is opened.
    pub(crate) fn new(name: Arc<str>, beginning: Beginning) -> Self {
        Self {
            name,
            beginning,
            position: None,
            num_free: 0,
            last_entry: None,
            num_removed: None,
            missed: None,
        }
    }

    /// Creates a cursor of entries that have one field with this name: its length does not count.
    pub(crate) fn of_field(name: Arc<str>, field: &str, beginning: Beginning) -> Self {
        Self {
            num_free: field.len(),
            ..Self::new(name, beginning)
        }
    }

    /// Returns the last entry that is behind the position and not new; `None` if all are new.
    pub(crate) fn last_of_past(&self) -> Option<Id> {
        let position = self.position.unwrap_or_default();
        self.last_entry.filter(|last| *last > position.last)
    }

    /// Goes to the beginning of the stream, of which every entry is new.
    pub(crate) fn rewind(&mut self) {
        self.position = Some(Position {
            last: Id::default(),
            num_added: self.num_removed,
        });
    }

    /// Has the subscriber told that entries before the next one may be missing.
    pub(crate) fn miss(&mut self, why: String) {
        self.missed = Some(why);
    }

    /// Delivers what `place` makes of each entry, until the connection is lost or the stream is moved to another node.
    /// `tend` is called before each command.
    pub(crate) async fn read<M: Measured>(
        &mut self,
        reader: &mut Reader,
        feed: &Feed<M>,
        tend: &mut impl Tend,
        place: impl Fn(Id, Entry) -> Option<M> + Send + Sync,
    ) -> Result<Infallible, End<Failure>> {
        let block = block_of(&reader.options).as_millis();
        let (mut may_be_behind, mut has_looked) = (false, false);
        loop {
            check_role(reader).await?;
            limited(reader, async |connection| tend.tend(connection).await).await?;
            if may_be_behind {
                has_looked = true;
                self.look(reader).await?;
            }
            if let Some(reason) = self.missed.take() {
                feed.gap(reason)?;
            }
            let (time, number) = self.position.map(|position| position.last).unwrap_or_default();
            let mut command = cmd("XREAD");
            command.arg("BLOCK").arg(block.to_string()).arg("COUNT").arg(COUNT);
            command.arg("STREAMS").arg(&*self.name).arg(format!("{time}-{number}"));
            send(reader, &command).await?;
            match reader.head().await? {
                // None came within that time.
                Head::Nil => {
                    // At the end it finds out how many entries there were, if it began where that is not known.
                    may_be_behind = !has_looked && self.position.is_some_and(|position| position.num_added.is_none());
                    continue;
                }
                Head::List(1) => {}
                Head::Error(error) => {
                    return Err(Failure::server(&reader.connection.address, self.asked("XREAD"), error).into());
                }
                _ => return Err(reader.connection.not_redis().into()),
            }
            reader.expect_list(2).await?;
            let _name = reader.text(MAX_NAME_LEN).await?;
            let Head::List(num_entries) = reader.head().await? else {
                return Err(reader.connection.not_redis().into());
            };
            let since = Instant::now();
            for _ in 0..num_entries {
                self.read_entry(reader, feed, &place).await?;
            }
            // Others may trim what it has not read yet.
            may_be_behind = num_entries >= COUNT || since.elapsed() >= LONG;
        }
    }

    /// Reads and delivers one entry.
    async fn read_entry<M: Measured>(
        &mut self,
        reader: &mut Reader,
        feed: &Feed<M>,
        place: &(impl Fn(Id, Entry) -> Option<M> + Sync),
    ) -> Result<(), End<Failure>> {
        reader.expect_list(2).await?;
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
            let counted = size.saturating_sub(self.num_free);
            match num_words <= MAX_WORDS && feed.accepts(counted) {
                true => words.push(reader.bytes(len).await?),
                false => {
                    words.clear();
                    reader.discard(len).await?;
                }
            }
        }
        let counted = size.saturating_sub(self.num_free);
        if num_words > MAX_WORDS || !feed.accepts(counted) {
            feed.skip(counted)?;
        } else {
            let fields = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
            if let Some(message) = place(id, Entry::from_iter(fields)) {
                feed.message(message).await?;
            }
        }
        // Not before it is delivered: what is given up here is read again.
        if let Some(position) = &mut self.position {
            position.last = id;
            position.num_added = position.num_added.map(|count| count + 1);
        }
        Ok(())
    }

    /// Returns a command about this stream, for the explanation of its error.
    fn asked(&self, command: &'static str) -> Asked<'_> {
        Asked::Topic {
            command,
            name: &self.name,
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

/// Returns how long the reply may take; `None` without a limit.
fn reply_limit(options: &RedisOptions) -> Option<Duration> {
    let limit = block_of(options).saturating_add(options.keepalive_timeout);
    (!options.keepalive_interval.is_zero()).then_some(limit)
}

/// Reads an entry, of which only the id is kept; `None` if there is none.
async fn id_of_entry(reader: &mut Reader) -> Result<Option<Id>, Failure> {
    match reader.head().await? {
        Head::List(2) => {}
        Head::Nil => return Ok(None),
        _ => return Err(reader.connection.not_redis()),
    }
    let id = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
    reader.skip().await?;
    Ok(id_of(&id))
}

/// Requests the server's role if the last time is long ago, so that one that was demoted is left.
async fn check_role(reader: &mut Reader) -> Result<(), Failure> {
    let interval = reader.options.keepalive_interval;
    if interval.is_zero() || reader.connection.last_keepalive.elapsed() < interval {
        return Ok(());
    }
    let asked = async |connection: &mut Connection| {
        connection.send_keepalive().await?;
        connection.reply().await
    };
    let answer = limited(reader, asked).await?;
    reader.connection.check(answer)
}

/// Requests something, of which the reply may take as long as that to a keep-alive.
async fn limited<T>(
    reader: &mut Reader,
    ask: impl AsyncFnOnce(&mut Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let limit = reader.options.keepalive_timeout;
    let answer = timeout(limit, ask(&mut reader.connection)).await;
    answer.unwrap_or_else(|_| Err(reader.connection.silent(limit)))
}

/// Requests the server's time, in milliseconds.
pub(crate) async fn now_of(connection: &mut Connection) -> Result<u64, Failure> {
    let time = connection.request(&cmd("TIME")).await?;
    let asked = Asked::Topic {
        command: "TIME",
        name: "",
    };
    let time = time.map_err(|error| Failure::server(&connection.address, asked, error))?;
    let (seconds, micros) = <(u64, u64)>::from_redis_value(time).map_err(|_| connection.not_redis())?;
    Ok(seconds.saturating_mul(1000).saturating_add(micros / 1000))
}

/// Sends a command, of which the reply is read piece by piece.
async fn send(reader: &mut Reader, command: &Cmd) -> Result<(), Failure> {
    reader.connection.send(&command.get_packed_command()).await
}

#[cfg(test)]
mod tests {
    use super::*;

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
