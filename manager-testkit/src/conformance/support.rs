//! The common parts of the cases: options, numbered messages, and receiving with a limit.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use manager_api::{ClientManager, HostId, Incoming, ManagerOptions, Subscription};
use tokio::time::{Instant, sleep, timeout};

use super::{Backend, Fault};

/// The limit for anything that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The time after a deadline within which it is noticed even on a busy machine; longer means that it never is.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

/// Returns options with a channel of the test's own, and pauses short enough for a test.
pub(crate) fn options() -> ManagerOptions {
    ManagerOptions {
        channel: format!("sio-test-{}", HostId::random()),
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        ..ManagerOptions::default()
    }
}

/// Returns such options with a short deadline, for cases in which it passes.
///
/// The channel has carried a message: the first one on a broker that has just started may take longer than this deadline.
pub(crate) async fn hasty_options(backend: &dyn Backend) -> ManagerOptions {
    let patient = options();
    let manager = backend.manager(patient.clone()).await;
    soon("a first message", publish_until_accepted(&*manager, 0)).await;
    // Failures of closing this manager are the subject of other cases.
    let _ = manager.close().await;
    ManagerOptions {
        deadline: Duration::from_secs(1),
        ..patient
    }
}

/// Publishes a numbered message until the broker accepts it.
pub(crate) async fn publish_until_accepted(manager: &dyn ClientManager, number: usize) {
    while let Err(error) = manager.publish(numbered(number)).await {
        assert!(error.is_retryable(), "{error:?}");
    }
}

/// Returns the message with this number.
pub(crate) fn numbered(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

/// Returns a numbered message of `len` bytes.
pub(crate) fn padded(number: usize, len: usize) -> Bytes {
    let mut text = number.to_string().into_bytes();
    text.resize(len, b' ');
    Bytes::from(text)
}

/// Returns the number of a message.
pub(crate) fn number_of(message: &Bytes) -> usize {
    let text = std::str::from_utf8(message).expect("a numbered message is text");
    text.trim_end().parse().expect("a numbered message is a number")
}

/// Completes `future` within the limit; otherwise the test fails with `what`.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

/// Receives the next item.
pub(crate) async fn next<M>(subscription: &mut Subscription<M>) -> Incoming<M> {
    let incoming = soon("receive", subscription.recv()).await;
    incoming.expect("the subscription goes on")
}

/// Receives a message where a gap would be a failure.
pub(crate) async fn next_message(subscription: &mut Subscription) -> Bytes {
    match next(subscription).await {
        Incoming::Message(message) => message,
        other => panic!("expected a message, got {other:?}"),
    }
}

/// Receives `0..count` in order, and nothing else.
pub(crate) async fn expect_numbers(subscription: &mut Subscription, count: usize) {
    for expected in 0..count {
        assert_eq!(number_of(&next_message(subscription).await), expected);
    }
}

/// Receives up to and including a gap.
pub(crate) async fn until_gap(subscription: &mut Subscription) {
    while !matches!(next(subscription).await, Incoming::Gap { .. }) {}
}

/// Waits until `condition` holds, by polling: the broker sends no event for it.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Returns whether the backend supports the fault. It must name a reason if it does not, and only then.
pub(crate) fn is_supported(backend: &dyn Backend, fault: Fault, is_there: bool) -> bool {
    match (is_there, backend.lacks(fault)) {
        (true, None) => true,
        (false, Some(why)) => {
            eprintln!("this case shows nothing, because {fault:?} is not supported: {why}");
            false
        }
        (true, Some(why)) => panic!("{fault:?} is supported, although the backend names a reason why not: {why}"),
        (false, None) => panic!("{fault:?} is not supported, and the backend names no reason"),
    }
}

/// Asserts that the numbers in `received` increase, and that there is a gap wherever one of `accepted` is missing.
pub(crate) fn assert_no_silent_loss(received: &[Incoming], accepted: &[usize]) {
    let mut last = None;
    let mut admitted = false;
    let mut accepted = accepted.iter().copied().peekable();
    for incoming in received {
        let Incoming::Message(message) = incoming else {
            admitted = true;
            continue;
        };
        let number = number_of(message);
        assert!(last < Some(number), "{number} came after {last:?}");
        while let Some(missing) = accepted.next_if(|&a| a < number) {
            assert!(
                admitted,
                "{missing} was accepted, never came before {number}, and no gap was admitted"
            );
        }
        accepted.next_if_eq(&number);
        last = Some(number);
        admitted = false;
    }
    assert!(
        admitted || accepted.peek().is_none(),
        "lost without a gap: {:?}",
        accepted.peek()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(text: &str) -> Vec<Incoming> {
        let gap = Incoming::Gap { reason: String::new() };
        let incoming = |word: &str| match word {
            "gap" => gap.clone(),
            number => Incoming::Message(Bytes::from(number.to_owned())),
        };
        text.split_whitespace().map(incoming).collect()
    }

    #[test]
    fn an_admitted_loss_passes() {
        assert_no_silent_loss(&stream("1 2 gap 5 6 gap"), &[1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    #[should_panic(expected = "3 was accepted")]
    fn a_silent_loss_is_seen() {
        assert_no_silent_loss(&stream("1 gap 2 4"), &[1, 2, 3, 4]);
    }

    #[test]
    #[should_panic(expected = "lost without a gap")]
    fn a_silent_loss_at_the_end_is_seen() {
        assert_no_silent_loss(&stream("1 2"), &[1, 2, 3]);
    }

    #[test]
    #[should_panic(expected = "2 came after")]
    fn a_duplicate_is_seen() {
        assert_no_silent_loss(&stream("1 2 2"), &[1, 2]);
    }
}
