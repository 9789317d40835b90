//! Errors of a protocol above Engine.IO, and of the bodies of requests.

use std::borrow::Cow;

/// An error of any type, as the bodies of requests have it.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Refuses a message; the connection closes with
/// [`CloseReason::ParseError`](crate::CloseReason::ParseError).
///
/// ```
/// use engine_io::ProtocolError;
///
/// let cause = "x".parse::<u32>().unwrap_err();
/// let error = ProtocolError::new("the id is not a number").with_source(cause);
/// assert_eq!(error.to_string(), "the id is not a number");
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ProtocolError {
    /// The violation, without any payload.
    message: Cow<'static, str>,
    /// The error that led to this one.
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
