//! A subscription: one connection, and another one whenever it breaks.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use manager_api::backend::{Attempts, Connected, Reconnect, Role, Status, seconds};
use manager_api::subscription::{SubscriptionSender, Unsubscribed};
use manager_api::{Error, Subscription, deadline};
use redis::cmd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::RedisOptions;
use crate::connect::Connector;
use crate::connection::{Connection, Purpose};
use crate::error::{Asked, Failure, timed_out};
use crate::resp;

/// A longer message is taken out of the read buffer instead of being copied; a shorter one must not keep that buffer alive.
const MIN_SHARED: usize = 32 << 10;
/// The longest answer that is not a message.
const MAX_REPLY_LEN: usize = 64 << 10;
/// The bytes that end a line, and a message.
const LINE_END: usize = 2;

/// Subscribes and hands the connection to a task of its own.
pub(crate) async fn subscribe(
    connector: Arc<Connector>,
    status: Arc<Status>,
    options: &RedisOptions,
    is_closed: watch::Receiver<bool>,
) -> Result<Subscription, Error> {
    let listener = Listener {
        heads: ['*', '>'].map(|kind| head_of_messages(kind, &options.common.channel)),
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

/// How every message on `channel` begins, up to its length; what `kind` of list it is depends on the protocol.
fn head_of_messages(kind: char, channel: &str) -> Vec<u8> {
    format!("{kind}3\r\n$7\r\nmessage\r\n${}\r\n{channel}\r\n$", channel.len()).into_bytes()
}

struct Listener {
    options: RedisOptions,
    connector: Arc<Connector>,
    status: Arc<Status>,
    /// How messages begin in the older protocol and in the newer.
    heads: [Vec<u8>; 2],
}

/// What the first bytes of the input are.
enum Received {
    Message(Bytes),
    /// A message over the limit, of which nothing was kept.
    TooLarge(usize),
    /// An answer to what the server was asked.
    Answer,
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
        let mut connection = self.connector.connect(Purpose::Listening).await?;
        let subscribe = cmd("SUBSCRIBE").arg(&self.options.common.channel).to_owned();
        let limit = self.options.connect_timeout;
        let Ok(answer) = timeout(limit, connection.request(&subscribe)).await else {
            let text = format!("no answer within {}", seconds(limit));
            return Err(Failure::other(&connection.address, text));
        };
        match answer? {
            Ok(_) => Ok(connection),
            Err(error) => {
                let asked = Asked::Subscribe(&self.options.common.channel);
                Err(Failure::server(&connection.address, asked, error))
            }
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
        let mut reconnect = Reconnect::from_options(&self.options.common);
        loop {
            let since = Instant::now();
            let failure = self.read_until_lost(&mut connection, sender).await?;
            drop(up);
            self.status.lost(&failure);
            sleep(reconnect.after_connection(since.elapsed())).await;
            connection = self.reopen(&mut reconnect).await;
            up = self.status.connected(Role::Listening, &connection.address);
            let reason = format!("the connection was lost and is back ({failure})");
            self.status.gap(&reason);
            sender.gap(reason)?;
        }
    }

    /// Connects again, for ever: what was refused may be permitted again.
    async fn reopen(&self, reconnect: &mut Reconnect) -> Connection {
        loop {
            match self.open().await {
                Ok(connection) => return connection,
                Err(failure) => self.status.lost(&failure),
            }
            sleep(reconnect.after_failure()).await;
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
                Ok(Received::Answer) => continue,
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

    /// Reads something; asks for a sign of life when nothing comes, and gives up when even that does not come. Asks a server that is busy, too,
    /// so that one that was demoted is left.
    async fn read(&self, connection: &mut Connection) -> Result<(), Failure> {
        let interval = self.options.keepalive_interval;
        if interval.is_zero() {
            return connection.read().await;
        }
        let is_due = connection.knows_role() && connection.last_asked.elapsed() >= interval;
        if !is_due && let Ok(read) = timeout(interval, connection.read()).await {
            return read;
        }
        let until = deadline::after(self.options.keepalive_timeout);
        let answered = async {
            connection.ask().await?;
            connection.read().await
        };
        let answered = timeout_at(until, answered).await;
        answered.unwrap_or_else(|_| {
            let text = format!("no answer within {}", seconds(self.options.keepalive_timeout));
            Err(Failure::other(&connection.address, text))
        })
    }
}
