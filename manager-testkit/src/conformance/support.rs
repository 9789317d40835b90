//! What the cases share: options, numbered messages, and receiving with a limit.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use manager_api::{ClientManager, HostId, Incoming, ManagerOptions, Subscription};
use tokio::time::{Instant, sleep, timeout};

use super::Backend;

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after a deadline its passing may be noticed on a machine that does much else; hanging for ever is told from it.
pub(crate) const SLACK: Duration = Duration::from_secs(10);

/// Options on a channel of the test's own, with waits short enough for a test.
pub(crate) fn options() -> ManagerOptions {
    ManagerOptions {
        channel: format!("sio-test-{}", HostId::random()),
        backoff_base: Duration::from_millis(20),
        backoff_cap: Duration::from_millis(200),
        ..ManagerOptions::default()
    }
}

/// The same with a short deadline, for cases in which it passes.
///
/// The channel has carried a message: the first one on a broker that has just started may take longer than this deadline.
pub(crate) async fn hasty_options(backend: &dyn Backend) -> ManagerOptions {
    let patient = options();
    let manager = backend.manager(patient.clone()).await;
    soon("a first message", publish_until_accepted(&*manager, 0)).await;
    // Whatever can go wrong at the end of this manager is another case's matter.
    let _ = manager.close().await;
    ManagerOptions {
        deadline: Duration::from_secs(1),
        ..patient
    }
}

pub(crate) async fn publish_until_accepted(manager: &dyn ClientManager, number: usize) {
    while let Err(error) = manager.publish(numbered(number)).await {
        assert!(error.is_retryable(), "{error:?}");
    }
}

pub(crate) fn numbered(number: usize) -> Bytes {
    Bytes::from(number.to_string())
}

/// A numbered message of `len` bytes.
pub(crate) fn padded(number: usize, len: usize) -> Bytes {
    let mut text = number.to_string().into_bytes();
    text.resize(len, b' ');
    Bytes::from(text)
}

pub(crate) fn number_of(message: &Bytes) -> usize {
    let text = std::str::from_utf8(message).expect("a numbered message is text");
    text.trim_end().parse().expect("a numbered message is a number")
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: nothing within {PATIENCE:?}"),
    }
}

pub(crate) async fn next(subscription: &mut Subscription) -> Incoming {
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

/// Receives `0..count` in order, nothing else in between.
pub(crate) async fn expect_numbers(subscription: &mut Subscription, count: usize) {
    for expected in 0..count {
        assert_eq!(number_of(&next_message(subscription).await), expected);
    }
}

pub(crate) async fn until_gap(subscription: &mut Subscription) {
    while !matches!(next(subscription).await, Incoming::Gap { .. }) {}
}

/// Waits until `condition` holds: the broker's own bookkeeping sends no event to wait for.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Asserts that `received` goes up, and that wherever one of `accepted` is missing there is a gap.
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
