//! The options of an [`AmqpManager`](crate::AmqpManager).

use std::collections::BTreeMap;
use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use manager_api::backend::{TlsOptions, bad};
use manager_api::{Error, ManagerOptions};

/// The options of an [`AmqpManager`](crate::AmqpManager): connections, declarations, limits.
#[derive(Clone, Debug)]
pub struct AmqpOptions {
    /// The options of every manager: channel, deadline, limits, back-off.
    pub common: ManagerOptions,
    /// The limit of one attempt to connect, login and declarations included. Default 5 s.
    pub connect_timeout: Duration,
    /// The interval at which either side sends a heartbeat, in whole seconds; a side that is silent for twice
    /// as long counts as dead. Default 10 s; the broker may request a shorter one. Zero takes the broker's.
    pub heartbeat: Duration,
    /// The name of the connections in RabbitMQ's lists; ` publish`, ` listen`, ` check` or ` examine` is
    /// appended. Default none: `sio` and the host id.
    pub connection_name: Option<String>,
    /// The maximum number of messages that the broker sends ahead of their acknowledgement. They are held in
    /// memory in addition to `max_buffered_bytes`. The number shrinks when larger messages arrive, so that they
    /// take no more than as many bytes again; as many messages as were allowed before may be in flight when
    /// that happens. Default 256; zero counts as one.
    pub prefetch: u16,
    /// The time without a message, extended at random by up to a half, after which a subscription proves that
    /// its queue is still bound to the exchange; an operator or another program may have removed the binding.
    /// If it was not bound, a `Gap` follows. On an idle channel the proof costs one message of two bytes each
    /// time, sent by one of all subscribers. Default 2 s; zero proves it only after a connection was lost.
    pub check_interval: Duration,
    /// The maximum number of messages sent and not yet confirmed. Default 4,096; zero counts as one.
    pub max_unconfirmed: usize,
    /// The declaration of the exchange.
    pub exchange: ExchangeOptions,
    /// The declaration of a subscription's queue.
    pub queue: QueueOptions,
    /// The files of TLS, for URLs with TLS.
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

/// The declaration of the exchange. Every process on the channel must declare the same; python-socketio
/// declares the defaults.
#[derive(Clone, Debug, Default)]
pub struct ExchangeOptions {
    /// Whether it survives a restart of the broker. Default no. Only then do messages survive it as well:
    /// otherwise no queue is bound after a restart, and storing messages would slow every publish in vain.
    pub is_durable: bool,
    /// Further arguments, such as `alternate-exchange`. Default none.
    pub arguments: Arguments,
}

/// The declaration of a subscription's queue, which affects no other process.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// The prefix of its name; the host id follows. Default `sio.`.
    pub prefix: String,
    /// Its lifetime. Default [`QueueKind::Auto`]; `?queue=` in the URL takes precedence.
    pub kind: QueueKind,
    /// The time for which it remains and collects messages without a consumer (`x-expires`). Default 300 s; at
    /// least 1 ms.
    pub expires: Duration,
    /// Further arguments, such as `x-max-length`, which take precedence over the arguments set otherwise.
    /// Default none.
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

/// The lifetime of a queue: what it outlives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueKind {
    /// [`Transient`](Self::Transient) where the broker accepts that, [`Durable`](Self::Durable) where it
    /// refuses, as RabbitMQ does from 4.3 on. Durable at once if the exchange is
    /// [durable](ExchangeOptions::is_durable) or the [`arguments`](QueueOptions::arguments) have an
    /// `x-queue-type`.
    ///
    /// Neither loses anything silently; but a publisher that marks its messages as persistent, as python-socketio's
    /// aio_pika manager does, waits until they are on the disk of each durable queue.
    #[default]
    Auto,
    /// Outlives the connection: messages published while it is lost wait in the queue. Outlives the broker's
    /// restart as well; messages do so with a [durable exchange](ExchangeOptions::is_durable), otherwise a
    /// restart is a `Gap`. Accepted by every version of RabbitMQ.
    Durable,
    /// Outlives the connection, not the broker. Refused by RabbitMQ from 4.3 on unless configured otherwise.
    Transient,
    /// Ends with the connection: leaves nothing behind, and every lost connection is a `Gap`.
    Exclusive,
    /// As [`Durable`](Self::Durable), replicated to several nodes of a RabbitMQ cluster, all of which store each
    /// message.
    Quorum,
}

impl QueueKind {
    /// Returns the kind with this name in a URL.
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

/// The maximum length of a name in AMQP, in bytes.
const MAX_NAME_LEN: usize = 255;
/// The maximum length of what follows the prefix of a queue's name, a host id and a number, in bytes.
const MAX_QUEUE_SUFFIX: usize = 64;

impl AmqpOptions {
    /// Refuses names that are too long for the protocol.
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

/// The argument for the type of a queue; some types have no transient queues.
const QUEUE_TYPE: &str = "x-queue-type";

impl AmqpOptions {
    /// Returns the kind of queue that is declared first, and whether a durable one follows if the broker refuses
    /// it.
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
    /// Returns the arguments of the queue's declaration.
    pub(crate) fn table(&self) -> FieldTable {
        let mut arguments = Arguments::new();
        if self.kind != QueueKind::Exclusive {
            let milliseconds = i64::try_from(self.expires.as_millis()).unwrap_or(i64::MAX);
            // RabbitMQ stores it in 32 bits.
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

/// Converts arguments to the client library's type.
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
