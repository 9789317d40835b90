//! The failures of connections to RabbitMQ, and the errors that callers receive.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::ErrorKind as AmqpKind;
use manager_api::backend::{self, may_be_published, seconds};
use manager_api::diagnosis::Code;
use manager_api::{Error, ErrorKind};

use crate::refusal::{Hope, NOT_FOUND, cause_of, explained, is_unsupported};

/// A failed attempt to use a connection, shared by all callers that it affects.
#[derive(Debug)]
pub(crate) struct Failure {
    address: String,
    what: String,
    hope: Hope,
    /// The cause as a diagnosis calls it.
    cause: Code,
    source: Option<lapin::Error>,
}

/// The operation that was attempted, for the text of a refusal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Opening the connection: login and virtual host.
    Login,
    /// An operation that needs no right.
    Use,
    Declare(Thing),
    Bind {
        queue: String,
        exchange: String,
    },
    Consume(String),
    Publish(String),
}

/// The object of a declaration.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Thing {
    Exchange(String),
    Queue(String),
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange(name) => write!(f, "the exchange {name:?}"),
            Self::Queue(name) => write!(f, "the queue {name:?}"),
        }
    }
}

/// An error of the client library, and the step at which it occurred.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) step: Box<Step>,
    pub(crate) error: lapin::Error,
}

impl Trouble {
    /// Returns whether the object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        is_not_found(&self.error)
    }

    /// Returns whether this version of the broker does not support it.
    pub(crate) fn is_unsupported(&self) -> bool {
        match self.error.kind() {
            AmqpKind::ProtocolError(refusal) => is_unsupported(refusal.get_id(), refusal.get_message().as_str()),
            _ => false,
        }
    }
}

impl From<lapin::Error> for Trouble {
    fn from(error: lapin::Error) -> Self {
        Self {
            step: Box::new(Step::Use),
            error,
        }
    }
}

/// Adds the step to an error of the client library.
pub(crate) trait During<T> {
    /// Adds `step`.
    fn during(self, step: impl FnOnce() -> Step) -> Result<T, Trouble>;
}

impl<T> During<T> for lapin::Result<T> {
    fn during(self, step: impl FnOnce() -> Step) -> Result<T, Trouble> {
        self.map_err(|error| Trouble {
            step: Box::new(step()),
            error,
        })
    }
}

impl Failure {
    /// Creates the failure that the client library reports for `address`.
    pub(crate) fn amqp(address: &str, trouble: impl Into<Trouble>) -> Self {
        let Trouble { step, error } = trouble.into();
        let cause = match error.kind() {
            AmqpKind::ProtocolError(refusal) => cause_of(&step, refusal.get_id(), refusal.get_message().as_str()),
            // The refusals of sockets are those of TLS.
            AmqpKind::IOError(error) if crate::refusal::of_io(error).0 == Hope::Refused => Code::Tls,
            AmqpKind::ParsingError(_) | AmqpKind::InvalidProtocolVersion(_) => Code::WrongService,
            _ => Code::Unreachable,
        };
        let (hope, what) = match error.kind() {
            AmqpKind::ProtocolError(refusal) => explained(&step, refusal.get_id(), refusal.get_message().as_str()),
            AmqpKind::IOError(error) => crate::refusal::of_io(error),
            AmqpKind::MissingHeartbeatError => (Hope::Some, "no sign of life from the broker".to_owned()),
            AmqpKind::ParsingError(_) => (
                Hope::Mismatch,
                "the answer is not in AMQP 0-9-1: another service listens at this port, or it speaks TLS, which takes amqps://"
                    .to_owned(),
            ),
            AmqpKind::InvalidProtocolVersion(version) => {
                (Hope::Mismatch, format!("it speaks AMQP {version} only; 0-9-1 is needed"))
            }
            _ => (Hope::Some, error.to_string()),
        };
        Self {
            address: address.to_owned(),
            what,
            hope,
            cause,
            source: Some(error),
        }
    }

    /// Creates any other failure at `address`; another attempt may succeed.
    pub(crate) fn other(address: &str, what: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            what: what.into(),
            hope: Hope::Some,
            cause: Code::Unreachable,
            source: None,
        }
    }

    /// Creates the failure of a broker that stopped accepting messages.
    pub(crate) fn blocked(address: &str, reason: &str) -> Self {
        Self {
            hope: Hope::Blocked,
            cause: Code::BrokerAlarm,
            ..Self::other(address, format!("it takes no messages ({reason})"))
        }
    }

    /// Returns whether the object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        self.source.as_ref().is_some_and(is_not_found)
    }

    /// Returns the error of a publish that was in flight when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        if backend::Failure::is_refused(&**self) {
            // The refusal may have been for another message.
            return self.refused().possibly_published();
        }
        let text = format!(
            "the connection to RabbitMQ at {} was lost before it confirmed ({})",
            self.address, self.what
        );
        may_be_published(Error::new(ErrorKind::Publish, text))
            .with_source(self.clone())
            .with_cause(self.cause)
    }

    /// Returns the error of a call that the broker refused.
    fn refused(self: &Arc<Self>) -> Error {
        let kind = match self.hope {
            Hope::Mismatch => ErrorKind::Config,
            _ => ErrorKind::Connect,
        };
        let text = format!("cannot use RabbitMQ at {}: {}", self.address, self.what);
        Error::new(kind, text)
            .with_source(self.clone())
            .with_cause(self.cause)
            .refused()
    }
}

impl backend::Failure for Failure {
    fn is_refused(&self) -> bool {
        matches!(self.hope, Hope::Refused | Hope::Mismatch)
    }

    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error {
        let Self { address, what, .. } = &**self;
        let within = seconds(deadline);
        let (kind, text) = match self.hope {
            Hope::Refused | Hope::Mismatch => return self.refused(),
            Hope::Some => (
                ErrorKind::Connect,
                format!("cannot reach RabbitMQ at {address} within {within}: {what}"),
            ),
            Hope::Blocked => (
                ErrorKind::Timeout,
                format!("cannot publish to RabbitMQ at {address} within {within}: {what}"),
            ),
        };
        Error::new(kind, text).with_source(self.clone()).with_cause(self.cause)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitMQ at {}: {}", self.address, self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Returns the broker's reply code, if the error is a reply.
fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        AmqpKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}

/// Returns whether an error means that the object does not exist.
fn is_not_found(error: &lapin::Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

/// Returns the error of a call whose deadline passed before anything was sent.
pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("RabbitMQ at {address} did not answer within {within}; nothing was sent");
    Error::new(ErrorKind::Timeout, text)
}

/// Returns the error of a publish whose deadline passed before the broker's confirm. `blocked` is why the broker accepts
/// no messages, if it says so.
pub(crate) fn unconfirmed(address: &str, deadline: Duration, blocked: Option<&str>) -> Error {
    let within = seconds(deadline);
    let reason = blocked.map(|reason| format!(": it takes no messages ({reason})"));
    let reason = reason.unwrap_or_default();
    let text = format!("RabbitMQ at {address} did not confirm within {within}{reason}");
    may_be_published(Error::new(ErrorKind::Timeout, text)).with_cause(blocked.map(|_| Code::BrokerAlarm))
}

/// Returns the error of a message that the broker could not store.
pub(crate) fn refused(address: &str) -> Error {
    let text = format!(
        "RabbitMQ at {address} refused the message for a queue, whose length may be limited; other queues may have it"
    );
    Error::new(ErrorKind::Publish, text).possibly_published()
}
