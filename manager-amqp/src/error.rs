//! What can go wrong with RabbitMQ, and what the caller is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::ErrorKind as AmqpKind;
use manager_api::backend::{self, seconds};
use manager_api::{Error, ErrorKind};

/// AMQP reply codes: no login or no permission, no such thing, declared otherwise, no such virtual host.
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// One failed attempt to use a connection, shared by all whom it concerns.
#[derive(Debug)]
pub(crate) struct Failure {
    address: String,
    what: String,
    hope: Hope,
    source: Option<lapin::Error>,
}

/// Whether trying again soon may help.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Hope {
    Some,
    /// The login is wrong or not enough.
    Refused,
    /// Something exists already and is different.
    Mismatch,
    /// The broker takes no messages for now, from anybody.
    Blocked,
}

impl Failure {
    /// The client library says that something failed at `address`.
    pub(crate) fn amqp(address: &str, error: lapin::Error) -> Self {
        let code = reply_code(&error);
        let (hope, what) = match error.kind() {
            AmqpKind::ProtocolError(refusal) if code == Some(PRECONDITION_FAILED) => (
                Hope::Mismatch,
                format!("declared differently: {}", refusal.get_message()),
            ),
            AmqpKind::ProtocolError(refusal) if matches!(code, Some(ACCESS_REFUSED | NOT_ALLOWED)) => {
                (Hope::Refused, format!("refused: {}", refusal.get_message()))
            }
            AmqpKind::ProtocolError(refusal) => (Hope::Some, refusal.get_message().to_string()),
            AmqpKind::IOError(error) => (Hope::Some, io_text(error)),
            AmqpKind::MissingHeartbeatError => (Hope::Some, "no sign of life from the broker".to_owned()),
            _ => (Hope::Some, error.to_string()),
        };
        Self {
            address: address.to_owned(),
            what,
            hope,
            source: Some(error),
        }
    }

    /// Anything else that happened at `address`.
    pub(crate) fn other(address: &str, what: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            what: what.into(),
            hope: Hope::Some,
            source: None,
        }
    }

    /// The broker at `address` stopped taking messages.
    pub(crate) fn blocked(address: &str, reason: &str) -> Self {
        Self {
            hope: Hope::Blocked,
            ..Self::other(address, format!("it takes no messages ({reason})"))
        }
    }

    /// What a caller is told whose message was on its way when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        let text = format!(
            "the connection to RabbitMQ at {} was lost before it confirmed ({}); the message may or may not be published",
            self.address, self.what
        );
        Error::new(ErrorKind::Publish, text).with_source(self.clone())
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
            Hope::Some => (
                ErrorKind::Connect,
                format!("cannot reach RabbitMQ at {address} within {within}: {what}"),
            ),
            Hope::Refused => (ErrorKind::Connect, format!("cannot use RabbitMQ at {address}: {what}")),
            Hope::Mismatch => (ErrorKind::Config, format!("cannot use RabbitMQ at {address}: {what}")),
            Hope::Blocked => (
                ErrorKind::Timeout,
                format!("cannot publish to RabbitMQ at {address} within {within}: {what}"),
            ),
        };
        Error::new(kind, text).with_source(self.clone())
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

fn io_text(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
        std::io::ErrorKind::ConnectionAborted => "connection closed".to_owned(),
        _ => error.to_string(),
    }
}

fn reply_code(error: &lapin::Error) -> Option<u16> {
    match error.kind() {
        AmqpKind::ProtocolError(refusal) => Some(refusal.get_id()),
        _ => None,
    }
}

/// Tells whether what was asked for does not exist.
pub(crate) fn is_not_found(error: &lapin::Error) -> bool {
    reply_code(error) == Some(NOT_FOUND)
}

pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("RabbitMQ at {address} did not confirm within {within}");
    Error::new(ErrorKind::Timeout, text)
}

/// The broker took the message and could not keep it.
pub(crate) fn refused(address: &str) -> Error {
    let text = format!("RabbitMQ at {address} refused the message");
    Error::new(ErrorKind::Publish, text)
}
