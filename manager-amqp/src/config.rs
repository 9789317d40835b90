//! Options.

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use manager_api::backend::{TlsOptions, bad};
use manager_api::{Error, ManagerOptions};

/// How an [`AmqpManager`](crate::AmqpManager) connects, what it declares and what its limits are.
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// What every manager has: channel, deadline, limits, back-off.
    pub common: ManagerOptions,
    /// The longest that one attempt to connect may take, login and declarations included. Default 5 s.
    pub connect_timeout: Duration,
    /// How often either side gives a sign of life, in whole seconds; a side silent for twice as long counts as dead.
    /// Default 10 s; the broker may ask for less. Zero takes what the broker asks for.
    pub heartbeat: Duration,
    /// The name of the connections in RabbitMQ's lists; ` publish` or ` listen` is added. Default none: `sio` and the
    /// host id.
    pub connection_name: Option<String>,
    /// Messages that the broker sends ahead of their acknowledgement, at most. They are held in memory beside
    /// `max_buffered_bytes`, and are fewer as soon as larger messages come, so that they take no more than that either;
    /// but as many messages as were allowed before may be under way when that happens. Default 256; zero counts as one.
    pub prefetch: u16,
    /// A subscription that hears nothing for this long, or up to half as long again, proves that its queue is bound to
    /// the exchange still, which an operator or another program may have undone; if it was not, a `Gap` follows. On a
    /// channel where nothing is published it is a message of two bytes each time, sent by one of all who listen.
    /// Default 2 s; zero asks only after a connection was lost.
    pub check_interval: Duration,
    /// Messages sent and not yet confirmed. Default 4,096; zero counts as one.
    pub max_unconfirmed: usize,
    /// The exchange.
    pub exchange: ExchangeOptions,
    /// The queue of a subscription.
    pub queue: QueueOptions,
    /// TLS, for URLs that ask for it.
    pub tls: TlsOptions,
}

impl Default for AmqpOptions {
    fn default() -> Self {
        Self {
            common: ManagerOptions::default(),
            connect_timeout: Duration::from_secs(5),
            heartbeat: Duration::from_secs(10),
            connection_name: None,
            prefetch: 256,
            check_interval: Duration::from_secs(2),
            max_unconfirmed: 4096,
            exchange: ExchangeOptions::default(),
            queue: QueueOptions::default(),
            tls: TlsOptions::default(),
        }
    }
}

/// How the exchange is declared. Everybody on the channel must declare the same; python-socketio declares the defaults.
#[derive(Clone, Debug, Default)]
pub struct ExchangeOptions {
    /// Whether it survives a restart of the broker. Default no. Messages do so only where it does: otherwise nothing
    /// leads to a queue after a restart, and writing them down would slow every publish for nothing.
    pub is_durable: bool,
    /// Further arguments, such as `alternate-exchange`. Default none.
    pub arguments: Arguments,
}

/// How the queue of a subscription is declared. It concerns nobody else.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// What its name begins with; the host id follows. Default `sio.`.
    pub prefix: String,
    /// How long it lives. Default [`QueueKind::Auto`]; `?queue=` in the URL takes precedence.
    pub kind: QueueKind,
    /// How long it stays and collects messages while its server is away (`x-expires`). Default 300 s; at least 1 ms.
    pub expires: Duration,
    /// Further arguments, such as `x-max-length`; they take precedence over those that are set anyway. Default none.
    pub arguments: Arguments,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            prefix: "sio.".to_owned(),
            kind: QueueKind::Auto,
            expires: Duration::from_secs(300),
            arguments: Arguments::new(),
        }
    }
}

/// What a queue outlives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueKind {
    /// [`Transient`](Self::Transient) where the broker takes that, [`Durable`](Self::Durable) where it refuses, as
    /// RabbitMQ does from 4.3 on. Durable at once where the exchange is [durable](ExchangeOptions::is_durable), or
    /// [`arguments`](QueueOptions::arguments) have an `x-queue-type`.
    ///
    /// Neither loses anything silently; but a publisher that marks its messages as persistent, as python-socketio's
    /// aio_pika manager does, waits until they are on the disk of each durable queue.
    #[default]
    Auto,
    /// Outlives the connection: what is published while that is lost waits in the queue. Outlives the broker's restart
    /// as well; with a [durable exchange](ExchangeOptions::is_durable) messages do so, too, otherwise a restart is a
    /// `Gap`. Every version of RabbitMQ takes it.
    Durable,
    /// Outlives the connection, not the broker. RabbitMQ refuses it from 4.3 on, unless told otherwise.
    Transient,
    /// Ends with the connection, at once: leaves nothing behind, and every lost connection is a `Gap`.
    Exclusive,
    /// As [`Durable`](Self::Durable), kept by several nodes of a cluster; each message is written down by all of them.
    Quorum,
}

impl QueueKind {
    /// Reads the name that a URL has for it.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "auto" => Self::Auto,
            "durable" => Self::Durable,
            "transient" => Self::Transient,
            "exclusive" => Self::Exclusive,
            "quorum" => Self::Quorum,
            _ => return None,
        })
    }
}

/// Named arguments of an exchange or a queue.
pub type Arguments = BTreeMap<String, Argument>;

/// The value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Argument {
    /// A text.
    Text(String),
    /// A number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

/// AMQP writes a name's length into one byte.
const MAX_NAME_LEN: usize = 255;
/// What follows the prefix of a queue: a host id and a number.
const MAX_QUEUE_SUFFIX: usize = 64;

impl AmqpOptions {
    /// Refuses what the protocol has no room for.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let channel = &self.common.channel;
        if channel.is_empty() || channel.len() > MAX_NAME_LEN {
            return Err(bad("the channel names an exchange: 1 to 255 bytes"));
        }
        if self.queue.prefix.len() > MAX_NAME_LEN - MAX_QUEUE_SUFFIX {
            return Err(bad("the prefix of the queue's name is longer than 191 bytes"));
        }
        let arguments = self.exchange.arguments.keys().chain(self.queue.arguments.keys());
        match arguments.into_iter().all(|name| name.len() <= MAX_NAME_LEN) {
            true => Ok(()),
            false => Err(bad("the name of an argument is longer than 255 bytes")),
        }
    }
}

/// Picks the type of a queue, which may have no transient ones.
const QUEUE_TYPE: &str = "x-queue-type";

impl AmqpOptions {
    /// The kind of queue that is declared first, and whether a durable one follows if the broker refuses it.
    pub(crate) fn first_queue_kind(&self) -> (QueueKind, bool) {
        match self.queue.kind {
            QueueKind::Auto if self.exchange.is_durable || self.queue.arguments.contains_key(QUEUE_TYPE) => {
                (QueueKind::Durable, false)
            }
            QueueKind::Auto => (QueueKind::Transient, true),
            kind => (kind, false),
        }
    }
}

impl QueueOptions {
    /// Everything that the queue is declared with.
    pub(crate) fn table(&self) -> FieldTable {
        let mut arguments = Arguments::new();
        if self.kind != QueueKind::Exclusive {
            let milliseconds = i64::try_from(self.expires.as_millis()).unwrap_or(i64::MAX);
            // RabbitMQ keeps it in 32 bits.
            let milliseconds = milliseconds.clamp(1, i64::from(u32::MAX));
            arguments.insert("x-expires".to_owned(), Argument::Number(milliseconds));
            arguments.insert("x-single-active-consumer".to_owned(), Argument::Flag(true));
        }
        if self.kind == QueueKind::Quorum {
            arguments.insert(QUEUE_TYPE.to_owned(), Argument::Text("quorum".to_owned()));
        }
        arguments.extend(self.arguments.clone());
        table(&arguments)
    }
}

pub(crate) fn table(arguments: &Arguments) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        let value = match value {
            Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
            Argument::Number(number) => AMQPValue::LongLongInt(*number),
            Argument::Flag(flag) => AMQPValue::Boolean(*flag),
        };
        table.insert(name.as_str().into(), value);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_was_chosen_is_never_exchanged_for_another() {
        for kind in [
            QueueKind::Durable,
            QueueKind::Transient,
            QueueKind::Exclusive,
            QueueKind::Quorum,
        ] {
            let mut options = AmqpOptions::default();
            options.queue.kind = kind;
            assert_eq!(options.first_queue_kind(), (kind, false));
        }
    }

    #[test]
    fn the_default_is_transient_only_where_nothing_else_is_durable() {
        let mut options = AmqpOptions::default();
        assert_eq!(options.first_queue_kind(), (QueueKind::Transient, true));
        options.exchange.is_durable = true;
        assert_eq!(options.first_queue_kind(), (QueueKind::Durable, false));
        let mut options = AmqpOptions::default();
        let quorum = Argument::Text("quorum".to_owned());
        options.queue.arguments.insert(QUEUE_TYPE.to_owned(), quorum);
        assert_eq!(options.first_queue_kind(), (QueueKind::Durable, false));
    }
}
