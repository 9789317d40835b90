//! The error of a reader.

/// Refuses bytes that are not the MessagePack that was expected, or that exceed a limit.
///
/// A retry with the same bytes fails again.
///
/// ```
/// let error = msgpack::Error::new("the id is not a number");
/// assert_eq!(error.to_string(), "the id is not a number");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    message: &'static str,
}

impl Error {
    /// Creates an error that names the fault of the bytes.
    pub const fn new(message: &'static str) -> Self {
        Self { message }
    }

    /// Returns the fault. It quotes no byte of the input.
    pub const fn message(self) -> &'static str {
        self.message
    }
}
