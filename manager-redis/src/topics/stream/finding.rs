//! The position of a cursor in its stream: found when it begins, and again with each connection and whenever others may have
//! trimmed what it has not read.

use std::sync::Arc;

use redis::cmd;

use super::{Beginning, MAX_NAME_LEN, StreamCursor, id_of_entry, limited, now_of, reply_limit, send};
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::Purpose;
use crate::error::Failure;
use crate::topics::position::{Id, Info, Position, id_of, num_removed};
use crate::topics::reader::{Head, Reader};
use crate::topics::redirection::{MAX_REDIRECTIONS, Redirection};

impl StreamCursor {
    /// Connects to the stream's node and finds the position from which to read.
    pub(crate) async fn open(&mut self, connector: &Connector, options: &Arc<RedisOptions>) -> Result<Reader, Failure> {
        let mut connection = connector.connect(Purpose::Publishing).await?;
        for _ in 0..=MAX_REDIRECTIONS {
            let mut reader = Reader {
                connection,
                options: options.clone(),
                reply_limit: Some(options.connect_timeout),
            };
            match self.find(&mut reader).await? {
                Ok(()) => {
                    reader.reply_limit = reply_limit(options);
                    return Ok(reader);
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
    async fn find(&mut self, reader: &mut Reader) -> Result<Result<(), Redirection>, Failure> {
        let info = match self.info(reader).await? {
            Ok(info) => info,
            Err(redirection) => return Ok(Err(redirection)),
        };
        match self.position {
            Some(position) => self.resume(reader, position, info).await?,
            None => self.begin(reader, info).await?,
        }
        Ok(Ok(()))
    }

    /// Looks at the stream while it is read: what is to be read next may have been trimmed.
    pub(super) async fn look(&mut self, reader: &mut Reader) -> Result<(), Failure> {
        let Ok(info) = self.info(reader).await? else {
            return Err(Failure::other(
                &reader.connection.address,
                "the stream was moved to another node",
            ));
        };
        let position = self.position.unwrap_or_default();
        self.resume(reader, position, info).await
    }

    /// Goes on behind what was read last, as far as that is still there. An entry that was read and is not there, although
    /// earlier ones are, was lost by the server: a replica that had not received it has become the master, or the file of one
    /// that was restarted does not have it.
    async fn resume(&mut self, reader: &mut Reader, position: Position, info: Option<Info>) -> Result<(), Failure> {
        let mut missing = position.is_missing(info.as_ref());
        self.num_removed = num_removed(info.as_ref());
        let resumed = match &info {
            // All entries of the next stream of this name are new.
            None => Position::of(None),
            // Those of this stream were read before others of them were lost, or are none of those that were read.
            Some(info) if info.last < position.last => Position::of(Some(info)),
            Some(info) if info.last == position.last => Position::of(Some(info)),
            Some(info) if info.first.is_none_or(|first| first > position.last) => Position {
                num_added: self.num_removed,
                ..position
            },
            Some(_) => {
                // A time in the past, at which it began, is not an entry.
                let was_read = position.last != Id::default() && position.last.1 != u64::MAX;
                if missing.is_none() && was_read && !self.has(reader, position.last).await? {
                    missing = Some("the stream has lost an entry that was read last, and others with it: entries");
                }
                position
            }
        };
        self.position = Some(resumed);
        self.note_missing(missing);
        Ok(())
    }

    /// Finds the position for the first time. It also finds out how many entries were removed before it, where that can be
    /// known: so that what is trimmed later is told from what was read.
    async fn begin(&mut self, reader: &mut Reader, info: Option<Info>) -> Result<(), Failure> {
        self.num_removed = num_removed(info.as_ref());
        self.last_entry = info.as_ref().and_then(|info| info.last_entry);
        let (position, missing) = match (self.beginning, &info) {
            (Beginning::Past(past), Some(info)) if !past.is_zero() => {
                let now = limited(reader, async |connection| now_of(connection).await).await?;
                let past = u64::try_from(past.as_millis()).unwrap_or(u64::MAX);
                let last = (now.saturating_sub(past).saturating_sub(1), u64::MAX);
                let is_before_all = info.first.is_none_or(|first| first > last);
                let position = Position {
                    last,
                    num_added: self.num_removed.filter(|_| is_before_all),
                };
                let is_at_end = last >= info.last;
                (if is_at_end { Position::of(Some(info)) } else { position }, None)
            }
            (Beginning::Past(_), info) => (Position::of(info.as_ref()), None),
            (Beginning::After(last), info) => {
                let position = Position { last, num_added: None };
                let missing = position.is_missing(info.as_ref());
                match info.as_ref().is_some_and(|info| info.last >= last) {
                    true => (position, missing),
                    false => {
                        let num_added = self.num_removed;
                        (
                            Position {
                                last: Id::default(),
                                num_added,
                            },
                            missing,
                        )
                    }
                }
            }
        };
        self.position = Some(position);
        self.note_missing(missing);
        Ok(())
    }

    /// Has the subscriber told what is missing, if anything is.
    fn note_missing(&mut self, what: Option<&str>) {
        if let Some(what) = what {
            self.miss(format!("{what} of {} may have been missed", self.name));
        }
    }

    /// Returns whether the stream has an entry: by reading behind the id before it, for which no further right is needed.
    async fn has(&self, reader: &mut Reader, entry: Id) -> Result<bool, Failure> {
        let (time, number) = match entry {
            (time, 0) => (time.saturating_sub(1), u64::MAX),
            (time, number) => (time, number - 1),
        };
        let mut command = cmd("XREAD");
        command
            .arg("COUNT")
            .arg(1)
            .arg("STREAMS")
            .arg(&*self.name)
            .arg(format!("{time}-{number}"));
        send(reader, &command).await?;
        match reader.head().await? {
            Head::Nil => return Ok(false),
            Head::List(1) => {}
            Head::Error(error) => {
                return Err(Failure::server(&reader.connection.address, self.asked("XREAD"), error));
            }
            _ => return Err(reader.connection.not_redis()),
        }
        reader.expect_list(2).await?;
        let _name = reader.text(MAX_NAME_LEN).await?;
        reader.expect_list(1).await?;
        Ok(id_of_entry(reader).await? == Some(entry))
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
}
