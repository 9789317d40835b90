//! The one error of this crate and of every manager.

use std::error::Error as StdError;
use std::fmt;

type Source = Box<dyn StdError + Send + Sync>;

/// What went wrong, as far as a caller would act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input cannot be used: a bad URL, option, namespace, event name or payload.
    Config,
    /// The broker could not be reached, or refused the connection.
    Connect,
    /// The connection broke while a message was on its way: the broker may or may not have taken it. Or the broker refused the message:
    /// where that is for ever, [`Error::is_refusal`] tells.
    Publish,
    /// The deadline passed before the broker answered.
    Timeout,
    /// The manager was closed.
    Closed,
    /// Bytes that are not what they should be.
    Malformed,
    /// The message is larger than a limit allows.
    TooLarge,
    /// Nobody with that id is connected here.
    NotFound,
    /// As much is under way as a limit allows.
    Busy,
}

/// Why an operation of a manager, an emitter or a hub failed.
///
/// `Display` names what was attempted and the likely cause; [`source`](StdError::source) holds the error of the client
/// library, never flattened to text. No password is ever part of either.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    is_refusal: bool,
    message: String,
    source: Option<Source>,
}

impl Error {
    /// Makes an error of `kind` that says `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            is_refusal: false,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that caused this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Marks this as a [refusal](Self::is_refusal).
    #[must_use]
    pub fn refused(mut self) -> Self {
        self.is_refusal = true;
        self
    }

    /// Adds a remark to the text, after a semicolon.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(note);
        self
    }

    /// Returns what kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Tells whether the broker, or what answers in its place, said no: the login, a right, a certificate or the protocol is wrong. The same
    /// call fails again until one of them is changed.
    pub fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// Tells whether the same call may succeed later by itself, which no [refusal](Self::is_refusal) does.
    ///
    /// A retry after [`ErrorKind::Publish`] or [`ErrorKind::Timeout`] may deliver the message twice: the broker may have taken it
    /// although its answer never came.
    pub fn is_retryable(&self) -> bool {
        let may_pass = matches!(
            self.kind,
            ErrorKind::Connect | ErrorKind::Publish | ErrorKind::Timeout | ErrorKind::Busy
        );
        may_pass && !self.is_refusal
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_not_worth_a_retry_whatever_its_kind() {
        for kind in [
            ErrorKind::Connect,
            ErrorKind::Publish,
            ErrorKind::Timeout,
            ErrorKind::Busy,
        ] {
            let error = Error::new(kind, "no");
            assert_eq!((error.is_refusal(), error.is_retryable()), (false, true));
            let error = error.refused().with_note("it said so").with_source("why");
            assert_eq!(
                (error.kind(), error.is_refusal(), error.is_retryable()),
                (kind, true, false)
            );
        }
    }
}
