//! Failures of connections, attempts to connect, and the errors that callers receive.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::deadline;
use crate::{Backoff, Error, ErrorKind, ManagerOptions};

/// A failed attempt to use a connection, shared by all callers that it affects. `Display` names the place and the
/// cause, never a secret.
pub trait Failure: Debug + Display + Send + Sync + 'static {
    /// Returns whether retrying soon is pointless, because the login, a right, a certificate or a declaration is wrong.
    fn is_refused(&self) -> bool;

    /// Returns the error of a call that was refused, or whose `deadline` passed while there was no connection.
    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error;
}

/// Attempts to open a connection, with back-off, until one succeeds, is refused, or the deadline passes.
///
/// ```
/// # use manager_api::{Error, ManagerOptions, backend::Attempts};
/// # use tokio::time::{sleep, timeout_at};
/// # async fn open_within_deadline<T>(
/// #     options: &ManagerOptions, open: impl AsyncFn() -> Result<T, Error>, timed_out: impl Fn(std::time::Duration) -> Error,
/// # ) -> Result<T, Error> {
/// let mut attempts = Attempts::new(options);
/// loop {
///     let Ok(outcome) = timeout_at(attempts.until(), open()).await else {
///         return Err(attempts.overdue(timed_out));
///     };
///     match outcome {
///         Ok(opened) => return Ok(opened),
///         Err(error) => sleep(attempts.failed(error)?).await,
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Attempts {
    deadline: Duration,
    until: Instant,
    backoff: Backoff,
    last: Option<Error>,
}

impl Attempts {
    /// Starts the deadline now.
    pub fn new(options: &ManagerOptions) -> Self {
        Self {
            deadline: options.deadline,
            until: deadline::after(options.deadline),
            backoff: Backoff::from_options(options),
            last: None,
        }
    }

    /// Returns when the deadline passes.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Returns the pause after an attempt that failed with `error`, that of the caller if it is the last one.
    ///
    /// # Errors
    ///
    /// `error` if it is a refusal: another attempt is pointless.
    pub fn failed(&mut self, error: Error) -> Result<Duration, Error> {
        if error.is_refusal() {
            return Err(error);
        }
        self.last = Some(error);
        Ok(shortened(self.backoff.next_delay(), self.deadline))
    }

    /// Returns the error of the caller once the deadline has passed: that of the latest attempt that failed, or
    /// `timed_out` if none did.
    pub fn overdue(self, timed_out: impl FnOnce(Duration) -> Error) -> Error {
        self.last.unwrap_or_else(|| timed_out(self.deadline))
    }
}

/// Limits a pause so that several attempts fit into the deadline of a caller, however long the outage has been.
pub(super) fn shortened(pause: Duration, deadline: Duration) -> Duration {
    pause.min(deadline / 4)
}

/// Adds to the error of a sent but unconfirmed message that it may have been published.
#[must_use]
pub fn may_be_published(error: Error) -> Error {
    error
        .possibly_published()
        .with_note("the message may have been published")
}

/// Returns the error of a closed manager.
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the manager is closed")
}

/// Returns the error of a `close` that lost `num_lost` messages, or was not complete at the `deadline`.
pub fn not_flushed(num_lost: u64, place: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("{num_lost} messages could not be flushed to {place} within {within}");
    Error::new(ErrorKind::Timeout, text)
}

/// Returns the error of an unusable option or URL.
pub fn bad(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}

/// Checks that a message is not larger than the options allow.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`] with both numbers.
pub fn check_len(message: &[u8], options: &ManagerOptions) -> Result<(), Error> {
    check_size(message.len(), options)
}

/// Checks that a message of `len` bytes is not larger than the options allow.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`] with both numbers.
pub fn check_size(len: usize, options: &ManagerOptions) -> Result<(), Error> {
    let limit = options.max_message_bytes;
    if len > limit {
        let text = format!("a message of {len} bytes is over the limit of {limit}");
        return Err(Error::new(ErrorKind::TooLarge, text));
    }
    Ok(())
}

/// Formats a duration, human-readable: `2.5 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
