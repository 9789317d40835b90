//! The failures of connections to PostgreSQL, and the errors that callers receive.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::{self, may_be_published, seconds, tls};
use manager_api::diagnosis::Code;
use manager_api::{Error, ErrorKind};
use tokio_postgres::error::Severity;

use crate::refusal::{Asked, judged};

/// A failed attempt to use a connection, shared by all callers that it affects.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The server, human-readable.
    pub(crate) address: String,
    /// The cause and, where there is one, the remedy; without the address.
    what: String,
    /// Whether another attempt is pointless until something is changed.
    is_refused: bool,
    /// Whether the server is not what the URL says, or lacks our objects.
    is_wrong_server: bool,
    /// Whether the server ended the connection without a word.
    pub(crate) is_cut: bool,
    /// The cause as a diagnosis calls it.
    cause: Code,
    /// The error of the client library, if it is one.
    source: Option<Arc<tokio_postgres::Error>>,
}

impl Failure {
    /// Creates the failure of a socket or of a name look-up.
    pub(crate) fn io(address: &str, error: &std::io::Error) -> Self {
        let (is_refused, what) = tls::explained(error);
        Self {
            is_refused,
            cause: if is_refused { Code::Tls } else { Code::Unreachable },
            ..Self::other(address, what)
        }
    }

    /// Returns whether the server has answered a statement with an error, and the connection can be used on.
    pub(crate) fn is_of_statement(&self) -> bool {
        let answer = self.source.as_ref().and_then(|error| error.as_db_error());
        answer.is_some_and(|answer| answer.parsed_severity() == Some(Severity::Error))
    }

    /// Creates the failure of a statement or a login.
    pub(crate) fn client(address: &str, schema: &str, asked: Asked, error: Arc<tokio_postgres::Error>) -> Self {
        let mut failure = match error.as_db_error() {
            Some(answer) => {
                let verdict = judged(asked, answer, schema);
                Self {
                    is_refused: verdict.is_refused,
                    is_wrong_server: verdict.is_wrong_server,
                    cause: verdict.cause,
                    ..Self::other(address, verdict.what)
                }
            }
            None => Self::without_answer(address, asked, &error),
        };
        failure.source = Some(error);
        failure
    }

    /// Explains an error that is not an answer of the server: of TLS, of the socket, of the protocol.
    fn without_answer(address: &str, asked: Asked, error: &tokio_postgres::Error) -> Self {
        if let Some(what) = tls::refusal(error) {
            return Self::refusal(address, Code::Tls, what);
        }
        let text = error.to_string();
        let cause = StdError::source(error).map(ToString::to_string).unwrap_or_default();
        if cause.contains("does not support TLS") {
            let what = "this server speaks no TLS: leave sslmode out of the URL, or enable ssl on the server";
            return Self::wrong_url(address, Code::Tls, what);
        }
        // The client library tells these apart by their texts alone.
        let is_of_login = text.starts_with("authentication error") || text.starts_with("invalid configuration");
        if asked == Asked::Login && is_of_login {
            return Self::refusal(address, Code::Login, format!("authentication failed: {cause}"));
        }
        let is_foreign = text.starts_with("unexpected message") || text.starts_with("error parsing response");
        if asked == Asked::Login && is_foreign {
            return Self::another_service(address);
        }
        let what = match error.is_closed() {
            true => "the server closed the connection".to_owned(),
            false if cause.is_empty() => text,
            false => format!("{text}: {cause}"),
        };
        Self {
            is_cut: true,
            ..Self::other(address, what)
        }
    }

    /// Creates the refusal of a service that is not PostgreSQL.
    pub(crate) fn another_service(address: &str) -> Self {
        let what = "the answer is not in PostgreSQL's protocol: another service listens at this port";
        Self::wrong_url(address, Code::WrongService, what)
    }

    /// Creates a refusal: the server responds, and will go on to respond the same.
    pub(crate) fn refusal(address: &str, cause: Code, what: impl Into<String>) -> Self {
        Self {
            is_refused: true,
            cause,
            ..Self::other(address, what)
        }
    }

    /// Creates the refusal of a server that is not what the URL says, and will not become it.
    pub(crate) fn wrong_url(address: &str, cause: Code, what: impl Into<String>) -> Self {
        Self {
            is_wrong_server: true,
            ..Self::refusal(address, cause, what)
        }
    }

    /// Creates the failure of a server that did not answer in time.
    pub(crate) fn silent(address: &str, limit: Duration) -> Self {
        Self::other(address, format!("no answer within {}", seconds(limit)))
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

    /// Returns this failure as one that another attempt may overcome.
    pub(crate) fn transient(mut self) -> Self {
        (self.is_refused, self.is_wrong_server) = (false, false);
        self
    }

    /// Returns whether the server has answered, by an error.
    pub(crate) fn is_answer(&self) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.as_db_error().is_some())
    }

    /// Returns the error of publishes whose transaction the server refused: none of them was published.
    pub(crate) fn refused(self: &Arc<Self>) -> Error {
        let text = format!("PostgreSQL at {} refused the message: {}", self.address, self.what);
        let kind = match self.is_wrong_server {
            true => ErrorKind::Config,
            false => ErrorKind::Publish,
        };
        self.error(kind, text)
    }

    /// Returns the error of a publish that was in flight when the connection was lost.
    pub(crate) fn lost(self: &Arc<Self>) -> Error {
        let text = format!(
            "the connection to PostgreSQL at {} was lost before the commit was confirmed ({})",
            self.address, self.what
        );
        may_be_published(Error::new(ErrorKind::Publish, text).with_source(self.clone())).with_cause(self.cause)
    }

    /// Creates the error of a caller, with all that this failure knows.
    fn error(self: &Arc<Self>, kind: ErrorKind, text: String) -> Error {
        Error::new(kind, text)
            .with_source(self.clone())
            .with_cause(self.cause)
            .refused_if(self.is_refused)
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
        self.error(kind, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgreSQL at {}: {}", self.address, self.what)
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

/// Returns the error of a call whose deadline passed without a failure.
pub(crate) fn timed_out(address: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    Error::new(
        ErrorKind::Timeout,
        format!("PostgreSQL at {address} did not answer within {within}"),
    )
}
