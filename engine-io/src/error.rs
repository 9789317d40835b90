//! Errors of a protocol above Engine.IO, and of the bodies of requests.

use std::borrow::Cow;

/// An error of any type, as the bodies of requests have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Refuses a message; the connection closes with
/// [`CloseReason::ParseError`](crate::CloseReason::ParseError).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProtocolError {
    message: Cow<'static, str>,
    source: Option<BoxError>,
}

impl ProtocolError {
    /// Creates an error that names the fault of the message; it must quote no payload.
    pub fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            source: None,
        }
    }

    /// Adds the error that led to this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }
}
