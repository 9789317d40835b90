//! Publishing the messages of a process: once, or with a key until the outcome is known.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout_at};

use super::Messenger;
use crate::log::{Escaped, quietly};
use crate::message::{Emit, Message};
use crate::{Backoff, Error, deadline};

/// The first pause before a message is published again, and the longest. Short, because a manager without a connection
/// waits for it in the attempt itself.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Publishes a message of this process, stamped with the time. It is encoded before the future is returned.
///
/// # Behaviour
///
/// An event with a [key](crate::IdempotencyKey) is published again after every error that is
/// [retryable](Error::is_retryable), until the [deadline](crate::ClientManager::deadline) of the manager has passed
/// since the first poll. Every other message is published once.
///
/// # Errors
///
/// Those of [`Messenger::publish`]: that of the last attempt. It [may have been
/// published](Error::may_have_been_published) if that is so after any of the attempts.
///
/// # Cancel safety
///
/// As [`ClientManager::publish`](crate::ClientManager::publish): no further attempt is made.
pub fn publish(messenger: &Arc<dyn Messenger>, message: Message) -> BoxFuture<'static, Result<(), Error>> {
    let message = message.stamped();
    match &message {
        Message::Emit(Emit { key: Some(_), .. }) => {
            let first = messenger.publish(message.clone());
            let messenger = messenger.clone();
            let limit = messenger.manager().deadline();
            async move { retrying(limit, first, || messenger.publish(message.clone())).await }.boxed()
        }
        _ => messenger.publish(message),
    }
}

/// Makes attempts until one succeeds, fails for good, or no time is left. The first one has the manager's own limit.
async fn retrying<F: Future<Output = Result<(), Error>>>(
    limit: Duration,
    first: F,
    mut again: impl FnMut() -> F,
) -> Result<(), Error> {
    let until = deadline::after(limit);
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    let mut outcome = first.await;
    let mut is_in_doubt = false;
    loop {
        let Err(error) = outcome else { return Ok(()) };
        is_in_doubt |= error.may_have_been_published();
        let pause = backoff.next_delay();
        if !error.is_retryable() || Instant::now() + pause >= until {
            return Err(doubted(error, is_in_doubt));
        }
        quietly(|| tracing::debug!(error = ?Escaped(&error), ?pause, "publishing an event with a key again"));
        sleep(pause).await;
        outcome = match timeout_at(until, again()).await {
            Ok(outcome) => outcome,
            // The message may be on its way.
            Err(_) => return Err(doubted(error, true)),
        };
    }
}

/// Adds what an earlier attempt left open.
fn doubted(error: Error, is_in_doubt: bool) -> Error {
    match is_in_doubt && !error.may_have_been_published() {
        true => crate::backend::may_be_published(error),
        false => error,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::{Ready, ready};

    use super::*;
    use crate::ErrorKind;
    use crate::backend::{closed, may_be_published};

    const LIMIT: Duration = Duration::from_secs(10);

    /// Runs attempts with these outcomes; returns the last one, and how many were not made.
    async fn run(outcomes: impl IntoIterator<Item = Result<(), Error>>) -> (Result<(), Error>, usize) {
        let mut outcomes: VecDeque<_> = outcomes.into_iter().map(ready).collect();
        let first: Ready<_> = outcomes.pop_front().unwrap();
        let outcome = retrying(LIMIT, first, || outcomes.pop_front().expect("an attempt too many")).await;
        (outcome, outcomes.len())
    }

    fn lost() -> Error {
        may_be_published(Error::new(ErrorKind::Publish, "lost"))
    }

    fn unreachable() -> Error {
        Error::new(ErrorKind::Connect, "unreachable")
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_failed_for_a_while_is_repeated_and_one_that_succeeded_is_not() {
        let (outcome, left) = run([Err(lost()), Err(unreachable()), Ok(()), Ok(())]).await;
        outcome.unwrap();
        assert_eq!(left, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_or_cannot_be_used_is_not_repeated() {
        for error in [
            unreachable().refused(),
            Error::new(ErrorKind::Publish, "no right").refused(),
            Error::new(ErrorKind::Config, "unusable"),
            Error::new(ErrorKind::TooLarge, "large"),
            closed(),
        ] {
            let kind = error.kind();
            let (outcome, left) = run([Err(error), Ok(())]).await;
            let error = outcome.unwrap_err();
            assert_eq!((error.kind(), error.may_have_been_published(), left), (kind, false, 1));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_after_an_attempt_of_unknown_outcome_says_that_the_event_may_have_been_published() {
        let (outcome, _) = run([Err(lost()), Err(closed())]).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed);
        assert!(error.may_have_been_published());
        assert!(error.to_string().ends_with("the message may have been published"));
        let (outcome, _) = run([Err(lost()), Err(lost()), Err(lost().refused())]).await;
        assert_eq!(outcome.unwrap_err().to_string().matches("may have been").count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_end_at_the_limit() {
        let start = Instant::now();
        let (outcome, _) = run((0..1_000).map(|_| Err(unreachable()))).await;
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Connect);
        assert!(start.elapsed() <= LIMIT && start.elapsed() >= LIMIT - LONGEST_PAUSE);
        // One that hangs is cut off.
        let start = Instant::now();
        let (first, hangs) = (ready(Err(unreachable())).boxed(), || std::future::pending().boxed());
        let error = retrying(LIMIT, first, hangs).await.unwrap_err();
        assert_eq!((error.kind(), start.elapsed()), (ErrorKind::Connect, LIMIT));
        assert!(error.may_have_been_published(), "it may be on its way");
    }
}
