//! The reader of a listening connection: replies and messages, piece by piece, so that none has to fit into memory.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{RedisError, Value};
use tokio::time::timeout;

use crate::alive::LINE_END;
use crate::config::RedisOptions;
use crate::connection::Connection;
use crate::error::Failure;
use crate::resp;

/// The maximum length, in bytes, of a reply that is not a message.
const MAX_REPLY_LEN: usize = 64 << 10;
/// The maximum length, in bytes, of the name of a topic that matches a pattern.
const MAX_NAME_LEN: usize = 64 << 10;

/// A connection, and how long its server may be silent.
pub(crate) struct Reader {
    pub(crate) connection: Connection,
    pub(crate) options: Arc<RedisOptions>,
    /// The limit of one reply; `None` where messages come at any time, and keep-alives tell whether the server lives.
    pub(crate) reply_limit: Option<Duration>,
}

/// An item that arrives while subscribed.
pub(super) enum Event {
    Message {
        /// The pattern that the topic matches, if it came by one.
        pattern: Option<Bytes>,
        topic: Bytes,
        message: Bytes,
    },
    /// A message, or the name of its topic, was over the limit; it has so many bytes.
    Skipped(usize),
    /// The reply to a command, or a notice of the server.
    Reply(Result<Value, RedisError>),
}

/// The first line of a reply, or of an element of one.
pub(crate) enum Head {
    /// A list of so many elements.
    List(usize),
    /// A string of so many bytes, which follow.
    Text(usize),
    /// A number that is not negative.
    Number(u64),
    /// Nothing: an absent string or list.
    Nil,
    /// The error with which the server refused the command.
    Error(RedisError),
    /// Anything else, which has no further lines.
    Other,
}

impl Reader {
    /// Reads at least one byte.
    pub(super) async fn read_more(&mut self) -> Result<(), Failure> {
        match self.reply_limit {
            None => self.connection.read_alive(&self.options).await,
            Some(limit) => {
                let read = timeout(limit, self.connection.read()).await;
                read.unwrap_or_else(|_| Err(self.connection.silent(limit)))
            }
        }
    }

    /// Reads a message, or the reply to a command.
    pub(super) async fn event(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some((len, has_pattern)) = head_of_message(&self.connection.input) {
                self.connection.consume(len);
                return self.message(has_pattern).await;
            }
            match resp::reply_len(&self.connection.input, MAX_REPLY_LEN) {
                Ok(Some(len)) => {
                    let reply = self.connection.input.split_to(len);
                    return Ok(Event::Reply(resp::value(&reply)));
                }
                Ok(None) => self.read_more().await?,
                Err(_) => return Err(self.connection.not_redis()),
            }
        }
    }

    /// Reads the rest of a message: the pattern if there is one, the topic, and the message itself.
    async fn message(&mut self, has_pattern: bool) -> Result<Event, Failure> {
        let pattern = match has_pattern {
            true => Some(self.text(MAX_NAME_LEN).await?),
            false => None,
        };
        let topic = self.text(MAX_NAME_LEN).await?;
        let message = self.text(self.options.common.max_message_bytes).await?;
        Ok(match (pattern.transpose(), topic, message) {
            (Ok(pattern), Ok(topic), Ok(message)) => Event::Message {
                pattern,
                topic,
                message,
            },
            (Err(len), _, _) | (_, Err(len), _) | (_, _, Err(len)) => Event::Skipped(len),
        })
    }

    /// Reads the first line of a reply or of an element.
    pub(crate) async fn head(&mut self) -> Result<Head, Failure> {
        loop {
            let line = resp::line(&self.connection.input, 0);
            match line.map_err(|_| self.connection.not_redis())? {
                Some((line, next)) => {
                    let head = read_head(line).ok_or_else(|| self.connection.not_redis())?;
                    self.connection.consume(next);
                    return Ok(head);
                }
                None => self.read_more().await?,
            }
        }
    }

    /// Reads a string of at most `max_len` bytes; a longer one is discarded, of which the length is returned.
    pub(crate) async fn text(&mut self, max_len: usize) -> Result<Result<Bytes, usize>, Failure> {
        match self.head().await? {
            Head::Text(len) if len <= max_len => Ok(Ok(self.bytes(len).await?)),
            Head::Text(len) => {
                self.discard(len).await?;
                Ok(Err(len))
            }
            _ => Err(self.connection.not_redis()),
        }
    }

    /// Reads a string of `len` bytes, whose head was read.
    pub(super) async fn bytes(&mut self, len: usize) -> Result<Bytes, Failure> {
        while self.connection.input.len() < len + LINE_END {
            let missing = len + LINE_END - self.connection.input.len();
            self.connection.input.reserve(missing);
            self.read_more().await?;
        }
        Ok(self.connection.take_message(0, len))
    }

    /// Reads and discards a string of `len` bytes, whose head was read.
    pub(super) async fn discard(&mut self, len: usize) -> Result<(), Failure> {
        let mut left = self.connection.discard_input(len + LINE_END);
        while left > 0 {
            self.read_more().await?;
            left = self.connection.discard_input(left);
        }
        Ok(())
    }

    /// Reads and discards a value of any kind, with all its elements.
    pub(crate) async fn skip(&mut self) -> Result<(), Failure> {
        let mut num_pending = 1_usize;
        while num_pending > 0 {
            num_pending -= 1;
            match self.head().await? {
                Head::List(len) => num_pending = num_pending.saturating_add(len),
                Head::Text(len) => self.discard(len).await?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the head of a list of `expected` elements.
    pub(super) async fn expect_list(&mut self, expected: usize) -> Result<(), Failure> {
        match self.head().await? {
            Head::List(len) if len == expected => Ok(()),
            _ => Err(self.connection.not_redis()),
        }
    }

    /// Reads a number.
    pub(crate) async fn number(&mut self) -> Result<u64, Failure> {
        match self.head().await? {
            Head::Number(number) => Ok(number),
            _ => Err(self.connection.not_redis()),
        }
    }
}

/// Returns the length of the beginning of a message if the input has one, and whether a pattern comes before its topic.
fn head_of_message(input: &[u8]) -> Option<(usize, bool)> {
    const HEADS: [(&[u8], bool); 3] = [
        (b"3\r\n$7\r\nmessage\r\n", false),
        (b"3\r\n$8\r\nsmessage\r\n", false),
        (b"4\r\n$8\r\npmessage\r\n", true),
    ];
    let (b'*' | b'>', rest) = input.split_first()? else {
        return None;
    };
    let (head, has_pattern) = HEADS.into_iter().find(|(head, _)| rest.starts_with(head))?;
    Some((1 + head.len(), has_pattern))
}

/// Reads the first line of a reply; `None` if it is none.
fn read_head(line: &[u8]) -> Option<Head> {
    let (kind, rest) = line.split_first()?;
    let length = || resp::number(rest).ok();
    Some(match kind {
        b'*' | b'~' | b'>' => length()?.map_or(Head::Nil, Head::List),
        b'%' => length()?.map_or(Head::Nil, |len| Head::List(len.saturating_mul(2))),
        b'$' | b'=' => length()?.map_or(Head::Nil, Head::Text),
        b'_' => Head::Nil,
        b':' => std::str::from_utf8(rest)
            .ok()?
            .parse()
            .map_or(Head::Other, Head::Number),
        b'-' => Head::Error(resp::error(&[line, b"\r\n"].concat())),
        b'+' | b'#' | b',' | b'(' => Head::Other,
        _ => return None,
    })
}
