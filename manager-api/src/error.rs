//! The error type of this crate and of every manager.

use std::error::Error as StdError;
use std::fmt;

use crate::diagnosis::Code;

type Source = Box<dyn StdError + Send + Sync>;

/// The category of an [`Error`], as far as a caller would act on it.
///
/// Whether the message may be with the broker is a matter of its own, because an attempt may have been interrupted by
/// every kind of failure: [`Error::may_have_been_published`]. [`Error::is_retryable`] says whether the same call can
/// succeed later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller's input cannot be used: a bad URL, option, namespace, event name or payload.
    Config,
    /// The broker could not be reached, or refused the connection. Retryable unless it is a refusal.
    Connect,
    /// The connection broke while a message was in flight: the broker may or may not have accepted it. Or the broker
    /// refused the message: [`Error::is_refusal`] is true if a retry cannot succeed. Retryable otherwise.
    Publish,
    /// The deadline passed before the broker responded. Retryable.
    Timeout,
    /// The manager was closed. Not retryable.
    Closed,
    /// The bytes do not have the expected form.
    Malformed,
    /// The message is larger than a limit allows.
    TooLarge,
    /// No client with that id is connected to this server.
    NotFound,
    /// As many operations are in progress as a limit allows. Nothing was sent. Retryable.
    Busy,
}

/// The failure of an operation of a manager, an emitter or a hub.
///
/// `Display` names the attempted operation and the likely cause; [`source`](StdError::source) holds the error of the
/// client library, never flattened to text. Neither ever contains a password.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    is_refusal: bool,
    is_in_doubt: bool,
    cause: Option<Code>,
    message: String,
    source: Option<Source>,
}

impl Error {
    /// Creates an error of `kind` with the text `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            is_refusal: false,
            is_in_doubt: false,
            cause: None,
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

    /// Marks this as a [refusal](Self::is_refusal) if `is_refusal`.
    #[must_use]
    pub fn refused_if(self, is_refusal: bool) -> Self {
        if is_refusal { self.refused() } else { self }
    }

    /// Marks this as the failure of a message that [may have been published](Self::may_have_been_published).
    #[must_use]
    pub fn possibly_published(mut self) -> Self {
        self.is_in_doubt = true;
        self
    }

    /// Adds what a [diagnosis](crate::doctor) calls the cause, where it is known.
    #[must_use]
    pub fn with_cause(mut self, cause: impl Into<Option<Code>>) -> Self {
        self.cause = cause.into();
        self
    }

    /// Adds a remark to the text, after a semicolon.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.message.push_str("; ");
        self.message.push_str(note);
        self
    }

    /// Returns the category of the failure.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns whether the broker, or whichever server is at its address, refused: the login, a right, a certificate or
    /// the protocol is wrong. The same call fails again until one of them is changed.
    pub fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// Returns what a [diagnosis](crate::doctor) calls the cause; `None` where the manager does not know it.
    pub fn cause(&self) -> Option<Code> {
        self.cause
    }

    /// Returns whether the same call may succeed later without a change. False for every [refusal](Self::is_refusal).
    ///
    /// A retry delivers an event twice if it [may have been published](Self::may_have_been_published) and has no
    /// [key](crate::IdempotencyKey). With a key, every retryable call may be repeated; an emit does so by itself until the
    /// deadline.
    pub fn is_retryable(&self) -> bool {
        let is_transient = matches!(
            self.kind,
            ErrorKind::Connect | ErrorKind::Publish | ErrorKind::Timeout | ErrorKind::Busy
        );
        is_transient && !self.is_refusal
    }

    /// Returns whether the broker may have accepted the message although its confirmation was not received, so that
    /// clients may have the event. False if it is known that the broker does not have it: then a retry without a
    /// [key](crate::IdempotencyKey) does not deliver it twice.
    pub fn may_have_been_published(&self) -> bool {
        self.is_in_doubt
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
    fn a_refusal_of_any_kind_is_not_retryable() {
        for kind in [
            ErrorKind::Connect,
            ErrorKind::Publish,
            ErrorKind::Timeout,
            ErrorKind::Busy,
        ] {
            let error = Error::new(kind, "refused");
            assert_eq!((error.is_refusal(), error.is_retryable()), (false, true));
            let error = error.refused().with_note("a remark").with_source("cause");
            assert_eq!(
                (error.kind(), error.is_refusal(), error.is_retryable()),
                (kind, true, false)
            );
        }
    }
}
