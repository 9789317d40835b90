//! The subscriptions of one connection to topics and patterns.
//!
//! The server sends a message once for the name and once for each pattern that it matches; all but one are left out. Its
//! replies to commands come among the messages, in the order of the commands, keep-alives included.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::BytesMut;
use manager_api::backend::url::Address;
use manager_api::backend::{End, Feed};
use manager_api::deadline;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::subscription::Measured;
use manager_api::topics::Delivery;
use redis::{RedisError, Value};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::changing::Changing;
use super::head::put_word;
use super::names::Names;
use super::notice::notice;
use super::reader::{Event, Reader};
use super::redirection::Redirection;
use super::wanted::{Command, Wanted};
use crate::error::Failure;
use crate::refusal::Asked;

/// Commands that are sent before their replies are read: each reply takes memory on the server.
const COMMANDS_AT_ONCE: usize = 1_024;

/// A command that was sent, and whose reply has not come yet.
enum Sent {
    Keepalive,
    Command(Command),
}

/// A command, and whether the server has done it.
type Outcome = (Command, Result<(), RedisError>);

/// A connection that is subscribed.
pub(super) struct Subscriber {
    /// The node that another one named; `None` for any.
    pub(super) node: Option<Address>,
    /// Its number in the table.
    pub(super) number: usize,
    reader: Reader,
    names: Names,
    /// The number of names that the server has confirmed.
    pub(super) num_subscribed: usize,
    /// The commands that it has not replied to, and until when it has to reply to one of them.
    sent: VecDeque<Sent>,
    reply_until: Instant,
    /// Keep-alives that are in `sent`, or were.
    num_keepalives: u64,
    /// Messages that arrived while the server confirmed others of the subscriptions.
    early: VecDeque<Delivery>,
    early_bytes: usize,
    /// The reason why some of those were not kept.
    early_gap: Option<String>,
}

impl Subscriber {
    /// Takes a connection on which nothing is subscribed.
    pub(super) fn new(node: Option<Address>, number: usize, reader: Reader) -> Self {
        Self {
            node,
            number,
            num_keepalives: reader.connection.num_keepalives,
            reader,
            names: Names::default(),
            num_subscribed: 0,
            sent: VecDeque::new(),
            reply_until: Instant::now(),
            early: VecDeque::new(),
            early_bytes: 0,
            early_gap: None,
        }
    }

    /// Subscribes, and returns once the server has confirmed each name, or has named the node that it belongs to.
    pub(super) async fn subscribe(
        &mut self,
        wanted: &[Wanted],
        changing: &Changing,
    ) -> Result<Vec<(Address, Wanted)>, Failure> {
        let limit = self.reader.options.connect_timeout;
        let mut moved = Vec::new();
        for wanted in wanted.chunks(COMMANDS_AT_ONCE) {
            let commands = wanted.iter().map(|wanted| Command {
                wanted: wanted.clone(),
                begins: true,
            });
            let confirmed = timeout(limit, self.confirmed(commands.collect(), &mut moved, changing)).await;
            confirmed.unwrap_or_else(|_| Err(self.reader.connection.silent(limit)))?;
        }
        Ok(moved)
    }

    async fn confirmed(
        &mut self,
        commands: Vec<Command>,
        moved: &mut Vec<(Address, Wanted)>,
        changing: &Changing,
    ) -> Result<(), Failure> {
        self.send(commands).await?;
        while !self.sent.is_empty() {
            let reply = match self.reader.event().await? {
                Event::Reply(reply) => reply,
                event => {
                    self.keep(event);
                    continue;
                }
            };
            let Some((Command { wanted, .. }, reply)) = self.replied(reply)? else {
                continue;
            };
            match reply {
                Ok(()) => {
                    self.subscribed(&wanted);
                    changing.table().opened(&wanted, self.number);
                }
                Err(error) => match Redirection::of(&error, self.address()) {
                    Some(Redirection::Moved { to, .. }) => moved.push((to, wanted)),
                    _ => return Err(self.refused(&wanted, error)),
                },
            }
        }
        Ok(())
    }

    /// Sends commands: each has one reply.
    async fn send(&mut self, commands: Vec<Command>) -> Result<(), Failure> {
        self.note_keepalives();
        let mut bytes = BytesMut::new();
        for command in commands {
            let word = match command.begins {
                true => command.wanted.command,
                false => command.wanted.ending(),
            };
            bytes.extend_from_slice(b"*2\r\n");
            put_word(&mut bytes, word.as_bytes());
            put_word(&mut bytes, command.wanted.name.as_bytes());
            self.sent.push_back(Sent::Command(command));
        }
        self.reply_until = deadline::after(self.reader.options.connect_timeout);
        self.reader.connection.send(&bytes).await
    }

    /// Records the keep-alives that were sent since the last command.
    fn note_keepalives(&mut self) {
        while self.num_keepalives < self.reader.connection.num_keepalives {
            self.num_keepalives += 1;
            self.sent.push_back(Sent::Keepalive);
        }
    }

    /// Returns the command that a reply is to, and its outcome; `None` if that was a keep-alive.
    fn replied(&mut self, reply: Result<Value, RedisError>) -> Result<Option<Outcome>, Failure> {
        self.note_keepalives();
        if let Ok(reply) = &reply
            && let Some((kind, name)) = notice(reply)
        {
            return match self.sent.front() {
                Some(Sent::Command(command)) if command.is_confirmed_by(kind, name) => Ok(self.next_sent(Ok(()))),
                _ if kind == b"sunsubscribe" => {
                    let text = "the slot of a topic was moved to another node";
                    Err(Failure::other(self.address(), text))
                }
                _ => Err(self.reader.connection.not_redis()),
            };
        }
        match (self.sent.front(), reply) {
            (Some(Sent::Command(_)), Err(error)) => Ok(self.next_sent(Err(error))),
            (_, reply) => {
                self.reader.connection.check(reply)?;
                if matches!(self.sent.front(), Some(Sent::Keepalive)) {
                    self.sent.pop_front();
                }
                Ok(None)
            }
        }
    }

    fn next_sent(&mut self, outcome: Result<(), RedisError>) -> Option<Outcome> {
        self.reply_until = deadline::after(self.reader.options.connect_timeout);
        match self.sent.pop_front() {
            Some(Sent::Command(command)) => Some((command, outcome)),
            _ => None,
        }
    }

    fn subscribed(&mut self, wanted: &Wanted) {
        self.num_subscribed += 1;
        self.names.insert(wanted);
    }

    fn refused(&self, wanted: &Wanted, error: RedisError) -> Failure {
        let (command, name) = (wanted.command, &*wanted.name);
        Failure::server(self.address(), Asked::Topic { command, name }, error)
    }

    /// Keeps a message until the subscription is complete.
    fn keep(&mut self, event: Event) {
        match self.delivery(event) {
            Ok(Some(delivery)) => {
                self.early_bytes += delivery.size();
                self.early.push_back(delivery);
            }
            Ok(None) => {}
            Err(len) => self.early_gap = Some(format!("a message of {len} bytes was skipped, which is over the limit")),
        }
        while self.early_bytes > self.reader.options.common.max_buffered_bytes
            && let Some(oldest) = self.early.pop_front()
        {
            self.early_bytes -= oldest.size();
            self.early_gap = Some("too many messages came while subscribing".to_owned());
        }
    }

    /// Delivers messages and follows the changes of the subscription, until the connection is lost.
    pub(super) async fn read(
        &mut self,
        feed: &Feed<Delivery>,
        changing: &Changing,
    ) -> Result<Infallible, End<Failure>> {
        if let Some(reason) = self.early_gap.take() {
            feed.gap(reason)?;
        }
        while let Some(early) = self.early.pop_front() {
            feed.message(early).await?;
        }
        let has_commands = changing.table().has_commands(self.number);
        let mut num_read = 0_usize;
        loop {
            // Messages may never cease.
            num_read += 1;
            let is_idle = self.reader.connection.input.is_empty();
            if is_idle || num_read.is_multiple_of(COMMANDS_AT_ONCE) {
                self.send_commands(changing).await?;
            }
            if is_idle && !self.readable(&has_commands).await? {
                continue;
            }
            match self.reader.event().await? {
                Event::Reply(reply) => self.follow(reply, feed, changing)?,
                event => match self.delivery(event) {
                    Ok(Some(delivery)) => feed.message(delivery).await?,
                    Ok(None) => {}
                    Err(len) => feed.skip(len)?,
                },
            }
        }
    }

    /// Sends what the table has for this connection.
    async fn send_commands(&mut self, changing: &Changing) -> Result<(), Failure> {
        let max = COMMANDS_AT_ONCE.saturating_sub(self.sent.len());
        let commands = changing.table().take_commands(self.number, max);
        match commands.is_empty() {
            true => Ok(()),
            false => self.send(commands).await,
        }
    }

    /// Waits until something was read; returns false if there are commands to be sent first.
    async fn readable(&mut self, has_commands: &Notify) -> Result<bool, Failure> {
        let may_send = self.sent.len() < COMMANDS_AT_ONCE;
        let (awaits_reply, reply_until) = (!self.sent.is_empty(), self.reply_until);
        tokio::select! {
            biased;
            read = self.reader.read_more() => return read.map(|()| true),
            () = has_commands.notified(), if may_send => return Ok(false),
            () = sleep_until(reply_until), if awaits_reply => {}
        }
        Err(self.reader.connection.silent(self.reader.options.connect_timeout))
    }

    /// Tells the table what the server has replied.
    fn follow(
        &mut self,
        reply: Result<Value, RedisError>,
        feed: &Feed<Delivery>,
        changing: &Changing,
    ) -> Result<(), End<Failure>> {
        let Some((Command { wanted, begins }, outcome)) = self.replied(reply)? else {
            return Ok(());
        };
        let mut table = changing.table();
        match outcome {
            Ok(()) if begins => {
                self.subscribed(&wanted);
                if table.subscribed(&wanted) {
                    feed.gap(format!("topic {} could not be subscribed to before", wanted.name))?;
                }
            }
            Err(error) if begins => match Redirection::of(&error, self.address()) {
                Some(Redirection::Moved { to, .. }) => table.moved(&wanted, &to),
                _ => table.failed(&wanted, &Arc::new(self.refused(&wanted, error))),
            },
            // Also where the topic was moved to another node, which has ended the subscription.
            outcome => {
                if let Err(error) = outcome
                    && Redirection::of(&error, self.address()).is_none()
                {
                    let (command, name) = (wanted.ending(), &*wanted.name);
                    note_kept(
                        name,
                        &Failure::server(self.address(), Asked::Topic { command, name }, error),
                    );
                }
                self.num_subscribed = self.num_subscribed.saturating_sub(1);
                self.names.remove(&wanted);
                table.unsubscribed(&wanted);
            }
        }
        Ok(())
    }

    /// Returns what a message is to its subscriber: nothing if it comes otherwise; the length of one that was skipped.
    fn delivery(&self, event: Event) -> Result<Option<Delivery>, usize> {
        match event {
            Event::Message {
                pattern,
                topic,
                message,
            } => {
                let comes_otherwise = pattern.is_some_and(|pattern| self.names.comes_otherwise(&topic, &pattern));
                Ok((!comes_otherwise).then_some(Delivery::Message { topic, message }))
            }
            Event::Skipped(len) => Err(len),
            Event::Reply(_) => Ok(None),
        }
    }

    /// Returns the address of the server.
    pub(super) fn address(&self) -> &str {
        &self.reader.connection.address
    }
}

fn note_kept(name: &str, failure: &Failure) {
    static KEPT: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = KEPT.pass() {
        let (topic, error) = (Escaped(name), Escaped(failure));
        let text = "cannot unsubscribe from a topic: its messages arrive until the connection is replaced";
        quietly(|| tracing::error!(suppressed, ?topic, ?error, "{text}"));
    }
}
