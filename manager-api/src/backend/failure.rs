//! Failures of connections, attempts to connect, and the errors that callers receive.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Status;
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
/// # use manager_api::{Error, backend::{Attempts, Failure, Status}};
/// # async fn open_within_deadline<T, F: Failure>(
/// #     status: &Status, open: impl AsyncFn() -> Result<T, F>, timed_out: impl Fn(std::time::Duration) -> Error,
/// # ) -> Result<T, Error> {
/// let mut attempts = Attempts::new(&Default::default(), status);
/// loop {
///     if let Some(outcome) = attempts.attempt(open(), &timed_out).await {
///         return outcome;
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Attempts<'a, F> {
    status: &'a Status,
    deadline: Duration,
    until: Instant,
    backoff: Backoff,
    last: Option<Arc<F>>,
}

impl<'a, F: Failure> Attempts<'a, F> {
    /// Starts the deadline now. Failures are recorded in `status`.
    pub fn new(options: &ManagerOptions, status: &'a Status) -> Self {
        Self {
            status,
            deadline: options.deadline,
            until: deadline::after(options.deadline),
            backoff: Backoff::from_options(options),
            last: None,
        }
    }

    /// Makes one attempt. Returns `None` after a failure and the wait that follows it; otherwise the final outcome for
    /// the caller. The error is that of `timed_out` if the deadline passes during the first attempt.
    ///
    /// # Cancel safety
    ///
    /// As that of `open`.
    pub async fn attempt<T>(
        &mut self,
        open: impl Future<Output = Result<T, F>>,
        timed_out: impl FnOnce(Duration) -> Error,
    ) -> Option<Result<T, Error>> {
        let failure = match timeout_at(self.until, open).await {
            Ok(Ok(opened)) => return Some(Ok(opened)),
            Ok(Err(failure)) => Arc::new(failure),
            Err(_) => {
                let last = self.last.as_ref().map(|failure| failure.unreachable(self.deadline));
                return Some(Err(last.unwrap_or_else(|| timed_out(self.deadline))));
            }
        };
        self.status.lost(&*failure);
        let error = failure.unreachable(self.deadline);
        if failure.is_refused() {
            return Some(Err(error));
        }
        self.last = Some(failure);
        let delay = shortened(self.backoff.next_delay(), self.deadline);
        match timeout_at(self.until, sleep(delay)).await {
            Ok(()) => None,
            Err(_) => Some(Err(error)),
        }
    }
}

/// Limits a pause so that several attempts fit into the deadline of a caller, however long the outage has been.
pub(super) fn shortened(pause: Duration, deadline: Duration) -> Duration {
    pause.min(deadline / 4)
}

/// Adds to the error of a sent but unconfirmed message that it may have been published.
#[must_use]
pub fn may_be_published(error: Error) -> Error {
    error.with_note("the message may have been published")
}

/// Returns the error of a closed manager.
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the manager is closed")
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
    let (len, limit) = (message.len(), options.max_message_bytes);
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
