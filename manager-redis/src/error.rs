//! The failures of connections to Redis, and the errors that callers receive.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{self, may_be_published, seconds, tls};
use manager_api::diagnosis::Code;
use manager_api::{Error, ErrorKind};
use redis::RedisError;

use crate::hello::Unsuited;
use crate::refusal::{Asked, cause_of, is_not_sentinel, judged, needed_version};
use crate::topics::head::command_and_name;

/// A failed attempt to use a connection, shared by all callers that it affects.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) address: String,
    what: String,
    is_refused: bool,
    /// Whether the server is not what the URL says, or is too old for what is asked of it.
    is_wrong_server: bool,
    /// Whether the server ended the connection.
    pub(crate) is_cut: bool,
    /// The cause as a diagnosis calls it.
    cause: Code,
    source: Option<RedisError>,
}

impl Failure {
    /// Creates the failure of a socket, of TLS or of a name look-up.
    pub(crate) fn io(address: &str, error: std::io::Error) -> Self {
        let (is_refused, what) = tls::explained(&error);
        Self {
            address: address.to_owned(),
            what,
            is_refused,
            is_wrong_server: false,
            is_cut: error.kind() == std::io::ErrorKind::ConnectionReset,
            // The refusals of sockets are those of TLS.
            cause: if is_refused { Code::Tls } else { Code::Unreachable },
            source: Some(error.into()),
        }
    }

    /// Creates the failure of a command that the server answered with an error.
    pub(crate) fn server(address: &str, asked: Asked<'_>, error: RedisError) -> Self {
        let (is_refused, what) = judged(asked, &error);
        Self {
            address: address.to_owned(),
            what,
            is_refused,
            is_wrong_server: is_not_sentinel(asked, &error) || needed_version(asked, &error).is_some(),
            is_cut: false,
            cause: cause_of(asked, &error),
            source: Some(error),
        }
    }

    /// Creates a refusal: the server responds, and will go on to respond the same.
    fn refusal(address: &str, cause: Code, what: impl Into<String>) -> Self {
        Self {
            is_refused: true,
            cause,
            ..Self::other(address, what)
        }
    }

    /// Creates the refusal of a host whose name no certificate can have.
    pub(crate) fn unnamable(address: &str, error: impl fmt::Display) -> Self {
        Self::refusal(
            address,
            Code::Tls,
            format!("not a name that a certificate can have: {error}"),
        )
    }

    /// Creates the refusal of a server that is not what the scheme of the URL says, and will not become it.
    fn wrong_url(address: &str, cause: Code, what: impl Into<String>) -> Self {
        Self {
            is_wrong_server: true,
            ..Self::refusal(address, cause, what)
        }
    }

    /// Creates the refusal of a server on which messages would not reach every subscriber.
    pub(crate) fn unsuited(address: &str, unsuited: Unsuited, master: Option<&str>) -> Self {
        match unsuited {
            Unsuited::Replica => {
                let whose = master.map(|master| format!(" of {master}")).unwrap_or_default();
                let text = format!(
                    "a replica{whose}, on which messages reach only those who listen there: name the master in the URL, or the sentinels \
                     (redis+sentinel://)"
                );
                Self::refusal(address, Code::Replica, text)
            }
            Unsuited::Sentinel => Self::wrong_url(
                address,
                Code::WrongService,
                "a sentinel: the URL begins with redis+sentinel://",
            ),
        }
    }

    /// Creates the failure of a server that was a master when the connection was opened.
    pub(crate) fn demoted(address: &str, unsuited: Unsuited) -> Self {
        match unsuited {
            Unsuited::Replica => Self::other(
                address,
                "the master was made a replica, on which messages reach only those who listen there",
            ),
            Unsuited::Sentinel => Self::unsuited(address, unsuited, None),
        }
    }

    /// Creates the failure of a connection that the server ended.
    pub(crate) fn closed(address: &str) -> Self {
        Self {
            is_cut: true,
            ..Self::other(address, "the server closed the connection")
        }
    }

    /// Creates the refusal of a server that expects TLS.
    pub(crate) fn with_tls(address: &str) -> Self {
        Self::wrong_url(
            address,
            Code::Tls,
            "this port speaks TLS: connect by rediss:// instead of redis://",
        )
    }

    /// Creates the refusal of a server without TLS.
    pub(crate) fn without_tls(address: &str) -> Self {
        Self::wrong_url(
            address,
            Code::Tls,
            "this port speaks no TLS: connect by redis:// instead of rediss://, or to the TLS port",
        )
    }

    /// Creates the refusal of a server that sent `input` instead of its first reply: another service
    /// listens there.
    pub(crate) fn another_service(address: &str, input: &[u8], has_tls: bool) -> Self {
        match !has_tls && tls::is_tls_alert(input) {
            true => Self::with_tls(address),
            false => Self::wrong_url(
                address,
                Code::WrongService,
                "the answer is not in Redis' protocol: another service listens at this port",
            ),
        }
    }

    /// Creates the failure of a connection on which a server that replied before sent something else; the
    /// next connection may be usable.
    pub(crate) fn not_redis(address: &str) -> Self {
        Self::other(address, "the answer is not in Redis' protocol")
    }

    /// Creates any other failure at `address`; another attempt may succeed.
    pub(crate) fn other(address: &str, what: impl Into<String>) -> Self {
        Self {
            address: address.to_owned(),
            what: what.into(),
            is_refused: false,
            is_wrong_server: false,
            is_cut: false,
            cause: Code::Unreachable,
            source: None,
        }
    }

    /// Returns whether a consumer group exists already.
    pub(crate) fn is_busy_group(&self) -> bool {
        self.source.as_ref().and_then(RedisError::code) == Some("BUSYGROUP")
    }

    /// Returns the error of a publish that was in flight when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        let text = format!(
            "the connection to Redis at {} was lost before it answered ({})",
            self.address, self.what
        );
        may_be_published(Error::new(ErrorKind::Publish, text).with_source(self.clone())).with_cause(self.cause)
    }
}

impl backend::Failure for Failure {
    fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error {
        let text = match self.is_refused {
            true => format!("the broker refuses: {self}"),
            false => format!("cannot reach the broker within {}: {self}", seconds(deadline)),
        };
        let kind = match self.is_wrong_server {
            true => ErrorKind::Config,
            false => ErrorKind::Connect,
        };
        Error::new(kind, text)
            .with_source(self.clone())
            .with_cause(self.cause)
            .refused_if(self.is_refused)
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

/// Returns the error of a call whose deadline passed without a failure.
pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("Redis at {address} did not answer within {within}");
    Error::new(ErrorKind::Timeout, text)
}

/// Returns the error of a message that the server at `address` refused: for a topic if it has a `head`, for `channel`
/// otherwise.
pub(crate) fn refused(address: &str, channel: &str, head: &[u8], error: RedisError) -> Error {
    let asked = match command_and_name(head) {
        Some((command, name)) => Asked::Topic { command, name },
        None => Asked::Publish(channel),
    };
    let (is_refusal, what) = judged(asked, &error);
    let text = format!("Redis at {address} refused the message: {what}");
    let cause = cause_of(asked, &error);
    let kind = match needed_version(asked, &error) {
        Some(_) => ErrorKind::Config,
        None => ErrorKind::Publish,
    };
    Error::new(kind, text)
        .with_cause(cause)
        .with_source(error)
        .refused_if(is_refusal)
}
