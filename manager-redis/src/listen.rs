//! The listening side of a subscription: one connection that is subscribed to the channel.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::Error;
use manager_api::backend::{End, Feed, ListenLink, Resumed};
use redis::cmd;
use tokio::time::timeout;

use crate::alive::LINE_END;
use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::error::{Failure, timed_out};
use crate::refusal::Asked;
use crate::resp;

/// The maximum length, in bytes, of a reply that is not a message.
const MAX_REPLY_LEN: usize = 64 << 10;

/// One subscription to the channel.
pub(crate) struct RedisListener {
    options: RedisOptions,
    connector: Arc<Connector>,
    /// The beginning of each message, in the older protocol and in the newer.
    heads: [Vec<u8>; 2],
}

/// The first item of the input.
enum Received {
    Message(Bytes),
    /// A message over the limit, of which nothing was kept.
    TooLarge(usize),
    /// A reply to the sign of life that was asked for.
    Answer,
    /// An item that is not complete; at least this many bytes are needed.
    Incomplete(usize),
}

impl ListenLink for RedisListener {
    type Failure = Failure;
    type Connection = Connection;
    type Message = Bytes;

    /// Connects and subscribes.
    async fn open(&mut self) -> Result<Connection, Failure> {
        let mut connection = self.connector.connect(Purpose::Listening).await?;
        let subscribe = cmd("SUBSCRIBE").arg(&self.options.common.channel).to_owned();
        let limit = self.options.connect_timeout;
        let Ok(answer) = timeout(limit, connection.request(&subscribe)).await else {
            return Err(connection.silent(limit));
        };
        match answer? {
            Ok(_) => Ok(connection),
            Err(error) => {
                let asked = Asked::Subscribe(&self.options.common.channel);
                Err(Failure::server(&connection.address, asked, error))
            }
        }
    }

    async fn read(&mut self, connection: &mut Connection, feed: &Feed) -> Result<Infallible, End<Failure>> {
        loop {
            match self.take(connection)? {
                Received::Message(message) => feed.message(message).await?,
                Received::TooLarge(len) => {
                    feed.skip(len)?;
                    connection.discard(len + LINE_END, &self.options).await?;
                }
                Received::Answer => {}
                Received::Incomplete(needed) => {
                    connection.input.reserve(needed.saturating_sub(connection.input.len()));
                    connection.read_alive(&self.options).await?;
                }
            }
        }
    }

    /// Redis keeps nothing for a subscriber that is away.
    fn resumed(&mut self, _: &mut Connection, failure: &Failure) -> Resumed {
        Resumed::Gap(format!("the connection was lost and is back ({failure})"))
    }

    fn address(&self, connection: &Connection) -> String {
        connection.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}

/// Returns the beginning of every message on `channel`, up to its length; `kind` is the type of list in the protocol.
fn head_of_messages(kind: char, channel: &str) -> Vec<u8> {
    format!("{kind}3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$", channel.len()).into_bytes()
}

impl RedisListener {
    /// Creates a listener, which is not connected.
    pub(crate) fn new(connector: Arc<Connector>, options: &RedisOptions) -> Self {
        Self {
            heads: ['*', '>'].map(|kind| head_of_messages(kind, &options.common.channel)),
            options: options.clone(),
            connector,
        }
    }

    /// Takes from the input what it begins with.
    fn take(&self, connection: &mut Connection) -> Result<Received, Failure> {
        let head = &self.heads[usize::from(connection.is_resp3())];
        let input = &connection.input;
        if input.starts_with(head) {
            let length = resp::length_line(&input[head.len()..]);
            return match length.map_err(|_| connection.not_redis())? {
                Some((len, line)) => Ok(self.take_message(connection, head.len() + line, len)),
                None => Ok(Received::Incomplete(0)),
            };
        }
        match resp::reply_len(input, MAX_REPLY_LEN) {
            // The head of a message that is not all there yet is such a reply too.
            Ok(None) => Ok(Received::Incomplete(0)),
            Ok(Some(len)) => {
                let answer = resp::value(&connection.input.split_to(len));
                connection.check(answer).map(|()| Received::Answer)
            }
            Err(_) => Err(connection.not_redis()),
        }
    }

    /// Takes the message whose bytes begin at `begins_at`, if it is complete and not too large.
    fn take_message(&self, connection: &mut Connection, begins_at: usize, len: usize) -> Received {
        let ends_at = begins_at + len;
        if len > self.options.common.max_message_bytes {
            connection.consume(begins_at);
            return Received::TooLarge(len);
        }
        if connection.input.len() < ends_at + LINE_END {
            return Received::Incomplete(ends_at + LINE_END);
        }
        Received::Message(connection.take_message(begins_at, len))
    }
}
