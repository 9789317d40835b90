//! One stream of a subscription: its entries, from the last one that was delivered on.
//!
//! `XREAD` with `$` would miss what is appended between two commands. The position is therefore an id from the beginning:
//! the last one that the server has generated when the subscription begins, or one made of the server's time.
//! A reply is read entry by entry, so that a hundred of the largest ones take the memory of one.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{End, Feed};
use manager_api::subscription::Measured;
use manager_api::topics::Entry;
use redis::{Cmd, FromRedisValue, cmd};
use tokio::time::timeout;

use super::position::{Id, Info, Position, id_of};
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
        self.position = Some(Position::default());
    }

    /// Connects to the stream's node and finds the position from which to read; returns the reason of a gap before it.
    pub(crate) async fn open(
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
        match self.position {
            Some(position) => Ok(Ok(self.resume(position, info))),
            None => self.begin(reader, info).await.map(Ok),
        }
    }

    /// Goes on where another connection has ended; returns the reason of a gap.
    fn resume(&mut self, position: Position, info: Option<Info>) -> Option<String> {
        let missing = position.is_missing(info.as_ref());
        match info {
            // All entries of the next stream of this name are new.
            None => self.rewind(),
            // Those of this stream were read before others of them were lost, or are none of those that were read.
            Some(info) if info.last < position.last => self.position = Some(Position::of(Some(&info))),
            Some(_) => {}
        }
        missing.map(|what| self.missed(what))
    }

    /// Finds the position for the first time; returns the reason of a gap.
    async fn begin(&mut self, reader: &mut Reader, info: Option<Info>) -> Result<Option<String>, Failure> {
        let mut missing = None;
        let position = match (self.beginning, &info) {
            (Beginning::Past(past), Some(_)) if !past.is_zero() => {
                let now = now_of(&mut reader.connection).await?;
                let past = u64::try_from(past.as_millis()).unwrap_or(u64::MAX);
                Position {
                    last: (now.saturating_sub(past).saturating_sub(1), u64::MAX),
                    num_added: None,
                }
            }
            (Beginning::Past(_), info) => Position::of(info.as_ref()),
            (Beginning::After(last), info) => {
                let position = Position { last, num_added: None };
                missing = position.is_missing(info.as_ref());
                let is_reached = info.as_ref().is_some_and(|info| info.last >= last);
                if is_reached { position } else { Position::default() }
            }
        };
        self.last_entry = info.and_then(|info| info.last_entry);
        self.position = Some(position);
        Ok(missing.map(|what| self.missed(what)))
    }

    fn missed(&self, what: &str) -> String {
        format!("{what} of {} may have been missed", self.name)
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
                b"length" => info.len = reader.number().await?,
                b"entries-added" => info.num_added = Some(reader.number().await?),
                b"last-generated-id" => {
                    let id = reader.text(MAX_NAME_LEN).await?.unwrap_or_default();
                    info.last = id_of(&id).ok_or_else(|| reader.connection.not_redis())?;
                }
                b"first-entry" => info.first = id_of_entry(reader).await?,
                b"last-entry" => info.last_entry = id_of_entry(reader).await?,
                _ => reader.skip().await?,
            }
        }
        Ok(Ok(Some(info)))
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
        loop {
            check_role(reader).await?;
            tend.tend(&mut reader.connection).await?;
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
            reader.expect_list(2).await?;
            let _name = reader.text(MAX_NAME_LEN).await?;
            let Head::List(num_entries) = reader.head().await? else {
                return Err(reader.connection.not_redis().into());
            };
            for _ in 0..num_entries {
                self.read_entry(reader, feed, &place).await?;
            }
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
        if let Some(position) = &mut self.position {
            position.last = id;
            position.num_added = position.num_added.map(|count| count + 1);
        }
        let counted = size.saturating_sub(self.num_free);
        if num_words > MAX_WORDS || !feed.accepts(counted) {
            return Ok(feed.skip(counted)?);
        }
        let fields = words.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        match place(id, Entry::from_iter(fields)) {
            Some(message) => Ok(feed.message(message).await?),
            None => Ok(()),
        }
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
