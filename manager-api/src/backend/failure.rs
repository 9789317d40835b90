//! Why there is no connection, and what callers are told.

use std::fmt::{Debug, Display};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::Status;
use crate::deadline;
use crate::{Backoff, Error, ErrorKind, ManagerOptions};

/// One failed attempt to use a connection, shared by all whom it concerns. `Display` names the place and the cause, no secret.
pub trait Failure: Debug + Display + Send + Sync + 'static {
    /// Tells whether trying again soon is pointless, because the login, a right, a certificate or a declaration is wrong.
    fn is_refused(&self) -> bool;

    /// What a caller is told whose `deadline` passed while there was no connection, or who was refused.
    fn unreachable(self: &Arc<Self>, deadline: Duration) -> Error;
}

/// Attempts to open something, with back-off, until one succeeds, is refused, or the deadline passes.
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
    /// Begins now. Failures will be noted in `status`.
    pub fn new(options: &ManagerOptions, status: &'a Status) -> Self {
        Self {
            status,
            deadline: options.deadline,
            until: deadline::after(options.deadline),
            backoff: Backoff::from_options(options),
            last: None,
        }
    }

    /// Makes one attempt, and waits before the next if it fails: `None`. Otherwise it is over, with what was opened or what the caller is to
    /// be told; by `timed_out`, where the deadline passes in the very first attempt.
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
        let told = failure.unreachable(self.deadline);
        if failure.is_refused() {
            return Some(Err(told));
        }
        self.last = Some(failure);
        let delay = shortened(self.backoff.next_delay(), self.deadline);
        match timeout_at(self.until, sleep(delay)).await {
            Ok(()) => None,
            Err(_) => Some(Err(told)),
        }
    }
}

/// Several attempts fit into the deadline of whoever waits, however long the outage has been.
pub(super) fn shortened(pause: Duration, deadline: Duration) -> Duration {
    pause.min(deadline / 4)
}

/// Adds that the message may have been published to what is told to a caller whose message was sent and whose answer never came.
#[must_use]
pub fn may_be_published(error: Error) -> Error {
    error.with_note("the message may have been published")
}

/// Says that the manager is closed.
pub fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the manager is closed")
}

/// Says that an option or URL cannot be used.
pub fn bad(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Config, text)
}

/// Refuses a message that is larger than the options allow.
///
/// # Errors
///
/// [`ErrorKind::TooLarge`] with both numbers.
pub fn check_len(message: &[u8], options: &ManagerOptions) -> Result<(), Error> {
    let (len, limit) = (message.len(), options.max_message_bytes);
    match len > limit {
        true => {
            let text = format!("a message of {len} bytes is over the limit of {limit}");
            Err(Error::new(ErrorKind::TooLarge, text))
        }
        false => Ok(()),
    }
}

/// A duration for people: `2.5 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
