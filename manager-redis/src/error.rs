//! What can go wrong with Redis, and what the caller is told.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{self, seconds};
use manager_api::{Error, ErrorKind};
use redis::RedisError;

/// One failed attempt to use a connection, shared by all whom it concerns.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) address: String,
    what: String,
    is_refused: bool,
    source: Option<RedisError>,
}

impl Failure {
    /// The socket, TLS or the name look-up failed.
    pub(crate) fn io(address: &str, error: std::io::Error) -> Self {
        let what = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
            std::io::ErrorKind::ConnectionReset => "connection reset".to_owned(),
            _ => error.to_string(),
        };
        Self {
            address: address.to_owned(),
            what,
            is_refused: false,
            source: Some(error.into()),
        }
    }

    /// The server answered with an error.
    pub(crate) fn server(address: &str, error: RedisError) -> Self {
        let is_forbidden = matches!(error.code(), Some("NOPERM" | "DENIED"));
        let is_login = matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
            || error.kind() == redis::ErrorKind::AuthenticationFailed
            || error.detail().is_some_and(|detail| detail.contains("AUTH"));
        let what = match (is_login, is_forbidden) {
            (true, _) => format!("authentication failed: {error}"),
            (_, true) => format!("not permitted: {error}"),
            _ => format!("the server refused: {error}"),
        };
        Self {
            address: address.to_owned(),
            what,
            is_refused: is_login || is_forbidden,
            source: Some(error),
        }
    }

    /// Anything else that happened at `address`.
    pub(crate) fn other(address: &str, what: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            what: what.into(),
            is_refused: false,
            source: None,
        }
    }

    /// What a caller is told whose message was on its way when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        let text = format!(
            "the connection to Redis at {} was lost before it answered ({}); the message may or may not be published",
            self.address, self.what
        );
        Error::new(ErrorKind::Publish, text).with_source(self.clone())
    }
}

impl backend::Failure for Failure {
    /// The login is wrong or not enough.
    fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error {
        let text = match self.is_refused {
            true => format!("the broker refuses: {self}"),
            false => format!("cannot reach the broker within {}: {self}", seconds(deadline)),
        };
        Error::new(ErrorKind::Connect, text).with_source(self.clone())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis at {}: {}", self.address, self.what)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("Redis at {address} did not answer within {within}");
    Error::new(ErrorKind::Timeout, text)
}

/// The server took the message and refused it.
pub(crate) fn refused(address: &str, error: RedisError) -> Error {
    let text = format!("Redis at {address} refused the message: {error}");
    Error::new(ErrorKind::Publish, text).with_source(error)
}
