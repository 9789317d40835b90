//! A subscription: one connection, and another one whenever it breaks.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use manager_api::backend::{Attempts, Connected, Role, Status, deadline, seconds};
use manager_api::{Backoff, Error, Subscription, SubscriptionSender, Unsubscribed};
use redis::cmd;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::RedisOptions;
use crate::connect::{Connection, Connector};
use crate::error::{Failure, timed_out};
use crate::resp;

/// A longer message is taken out of the read buffer instead of being copied; a shorter one must not keep that buffer alive.
const MIN_SHARED: usize = 32 << 10;
/// The longest answer that is not a message.
const MAX_REPLY_LEN: usize = 64 << 10;
/// The bytes that end a line, and a message.
const LINE_END: usize = 2;
const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

/// Subscribes and hands the connection to a task of its own.
pub(crate) async fn subscribe(
    connector: Arc<Connector>,
    status: Arc<Status>,
    options: &RedisOptions,
    is_closed: watch::Receiver<bool>,
) -> Result<Subscription, Error> {
    let listener = Listener {
        head: head_of_messages(&options.common.channel),
        options: options.clone(),
        connector,
        status,
    };
    let connection = listener.open_within_deadline().await?;
    let up = listener.status.connected(Role::Listening, &connection.address);
    let (sender, subscription) = Subscription::channel(options.common.max_buffered_bytes);
    tokio::spawn(listener.run(connection, up, sender, is_closed));
    Ok(subscription)
}

/// How every message on `channel` begins, up to its length.
fn head_of_messages(channel: &str) -> Vec<u8> {
    format!("*3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$", channel.len()).into_bytes()
}

struct Listener {
    options: RedisOptions,
    connector: Arc<Connector>,
    status: Arc<Status>,
    head: Vec<u8>,
}

/// What the first bytes of the input are.
enum Received {
    Message(Bytes),
    /// A message over the limit, of which nothing was kept.
    TooLarge(usize),
    Pong,
    /// Not all of it is there yet; this many bytes are needed at least.
    Incomplete(usize),
}

impl Listener {
    async fn open_within_deadline(&self) -> Result<Connection, Error> {
        let mut attempts = Attempts::new(&self.options.common, &self.status);
        loop {
            let timed_out = |deadline| timed_out(self.connector.label(), deadline);
            if let Some(outcome) = attempts.attempt(self.open(), timed_out).await {
                return outcome;
            }
        }
    }

    /// Connects and subscribes; messages published from now on will be seen.
    async fn open(&self) -> Result<Connection, Failure> {
        let mut connection = self.connector.connect().await?;
        let subscribe = cmd("SUBSCRIBE").arg(&self.options.common.channel).to_owned();
        let limit = self.options.connect_timeout;
        let Ok(answer) = timeout(limit, connection.request(&subscribe)).await else {
            let text = format!("no answer within {}", seconds(limit));
            return Err(Failure::other(&connection.address, text));
        };
        match answer? {
            Ok(_) => Ok(connection),
            Err(error) => Err(Failure::server(&connection.address, error)),
        }
    }

    async fn run(
        self,
        connection: Connection,
        up: Connected,
        sender: SubscriptionSender,
        mut is_closed: watch::Receiver<bool>,
    ) {
        tokio::select! {
            // Also when the manager is dropped.
            _ = is_closed.wait_for(|is_closed| *is_closed) => {}
            () = sender.closed() => {}
            _ = self.listen_for_ever(connection, up, &sender) => {}
        }
    }

    async fn listen_for_ever(
        &self,
        mut connection: Connection,
        mut up: Connected,
        sender: &SubscriptionSender,
    ) -> Result<Infallible, Unsubscribed> {
        let mut backoff = Backoff::from_options(&self.options.common);
        loop {
            let since = Instant::now();
            let failure = self.read_until_lost(&mut connection, sender).await?;
            drop(up);
            self.status.failed(&failure);
            if since.elapsed() > self.options.common.backoff_base {
                backoff.reset();
            } else {
                // A server that closes what it accepted is not asked again and again.
                sleep(backoff.next_delay()).await;
            }
            connection = self.reopen(&mut backoff).await;
            up = self.status.connected(Role::Listening, &connection.address);
            let reason = format!("the connection was lost and is back ({failure})");
            self.status.gap(&reason);
            sender.gap(reason)?;
        }
    }

    async fn reopen(&self, backoff: &mut Backoff) -> Connection {
        loop {
            match self.open().await {
                Ok(connection) => return connection,
                Err(failure) => self.status.failed(&failure),
            }
            sleep(backoff.next_delay()).await;
        }
    }

    /// Hands over messages until the connection is of no use any more; says why.
    async fn read_until_lost(
        &self,
        connection: &mut Connection,
        sender: &SubscriptionSender,
    ) -> Result<Failure, Unsubscribed> {
        loop {
            let needed = match self.take(connection) {
                Ok(Received::Message(message)) => {
                    self.status.received();
                    sender.message(message).await?;
                    continue;
                }
                Ok(Received::TooLarge(len)) => {
                    self.admit_too_large(len, sender)?;
                    match self.discard(connection, len + LINE_END).await {
                        Ok(()) => continue,
                        Err(failure) => return Ok(failure),
                    }
                }
                Ok(Received::Pong) => continue,
                Ok(Received::Incomplete(needed)) => needed,
                Err(failure) => return Ok(failure),
            };
            connection.input.reserve(needed.saturating_sub(connection.input.len()));
            if let Err(failure) = self.read(connection).await {
                return Ok(failure);
            }
        }
    }

    /// Takes what the input begins with.
    fn take(&self, connection: &mut Connection) -> Result<Received, Failure> {
        let input = &connection.input;
        if input.starts_with(&self.head) {
            let length = resp::length_line(&input[self.head.len()..]);
            return match length.map_err(|_| connection.not_redis())? {
                Some((len, line)) => Ok(self.take_message(connection, self.head.len() + line, len)),
                None => Ok(Received::Incomplete(0)),
            };
        }
        match resp::reply_len(input, MAX_REPLY_LEN) {
            // The head of a message that is not all there yet is such a reply too.
            Ok(None) => Ok(Received::Incomplete(0)),
            Ok(Some(len)) => match resp::value(&connection.input.split_to(len)) {
                Ok(_) => Ok(Received::Pong),
                Err(error) => Err(Failure::server(&connection.address, error)),
            },
            Err(_) => Err(connection.not_redis()),
        }
    }

    fn take_message(&self, connection: &mut Connection, begins_at: usize, len: usize) -> Received {
        let ends_at = begins_at + len;
        if len > self.options.common.max_message_bytes {
            connection.consume(begins_at);
            return Received::TooLarge(len);
        }
        if connection.input.len() < ends_at + LINE_END {
            return Received::Incomplete(ends_at + LINE_END);
        }
        let message = match len >= MIN_SHARED {
            true => connection.input.split_to(ends_at).freeze().slice(begins_at..),
            false => {
                let message = Bytes::copy_from_slice(&connection.input[begins_at..ends_at]);
                connection.consume(ends_at);
                message
            }
        };
        connection.consume(LINE_END);
        Received::Message(message)
    }

    fn admit_too_large(&self, len: usize, sender: &SubscriptionSender) -> Result<(), Unsubscribed> {
        let limit = self.options.common.max_message_bytes;
        let reason = format!("a message of {len} bytes was skipped, which is over the limit of {limit}");
        self.status.gap(&reason);
        sender.gap(reason)
    }

    async fn discard(&self, connection: &mut Connection, mut len: usize) -> Result<(), Failure> {
        loop {
            let now = len.min(connection.input.len());
            connection.consume(now);
            len -= now;
            if len == 0 {
                return Ok(());
            }
            self.read(connection).await?;
        }
    }

    /// Reads something; asks for a sign of life when nothing comes, and gives up when even that does not come.
    async fn read(&self, connection: &mut Connection) -> Result<(), Failure> {
        let interval = self.options.keepalive_interval;
        if interval.is_zero() {
            return connection.read().await;
        }
        if let Ok(read) = timeout(interval, connection.read()).await {
            return read;
        }
        let until = deadline::after(self.options.keepalive_timeout);
        let answered = async {
            let written = connection.stream.write_all(PING).await;
            written.map_err(|error| Failure::io(&connection.address, error))?;
            let flushed = connection.stream.flush().await;
            flushed.map_err(|error| Failure::io(&connection.address, error))?;
            connection.read().await
        };
        let answered = timeout_at(until, answered).await;
        answered.unwrap_or_else(|_| {
            let text = format!("no answer within {}", seconds(self.options.keepalive_timeout));
            Err(Failure::other(&connection.address, text))
        })
    }
}
