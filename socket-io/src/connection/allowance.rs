//! The events a second of one connection: beyond them reading pauses.

use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time that a number of events is allowed for.
const WINDOW: Duration = Duration::from_secs(1);

/// How many events a connection may still send before the clock is looked at.
///
/// An event costs a subtraction; the clock is read once for each allowance that is used up. Windows begin when the one before is used up and
/// over, so that a connection that was silent may send two allowances in a row. Each connection has one, so it is small: two words.
#[derive(Default)]
pub(super) struct Allowance {
    /// Events that are left of the window; 0 before the first event, and while reading pauses.
    left: u32,
    /// When the window began, in milliseconds of [`clock`].
    since: u32,
    /// Ends when reading may go on.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    /// Takes one event of those that are allowed in a second, at least one; returns whether a pause begins with it.
    pub(super) fn take(&mut self, limit: u32) -> bool {
        if self.pause.is_some() {
            return false;
        }
        if self.left == 0 {
            self.renew(limit, Instant::now());
        }
        self.left -= 1;
        if self.left > 0 {
            return false;
        }
        let now = Instant::now();
        let passed = Duration::from_millis(clock(now).wrapping_sub(self.since).into());
        if passed >= WINDOW {
            self.renew(limit, now);
            return false;
        }
        self.pause = Some(Box::pin(sleep_until(now + (WINDOW - passed))));
        true
    }

    /// Returns whether reading pauses.
    pub(super) fn is_used_up(&self) -> bool {
        self.pause.is_some()
    }

    /// Pending while reading pauses.
    pub(super) fn poll_renewed(&mut self, limit: u32, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.renew(limit, Instant::now());
        }
        Poll::Ready(())
    }

    /// Waits for nothing any more: the connection is closed.
    pub(super) fn end(&mut self) {
        self.pause = None;
        self.left = u32::MAX;
    }

    fn renew(&mut self, limit: u32, now: Instant) {
        self.pause = None;
        self.left = limit.max(1);
        self.since = clock(now);
    }
}

/// Returns a time as milliseconds since another that is the same for all; they begin anew after seven weeks. A connection that was
/// silent for exactly as long pauses for a second at most.
fn clock(now: Instant) -> u32 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    let base = *BASE.get_or_init(Instant::now);
    // The clock of a test may be behind that of another.
    match now.checked_duration_since(base) {
        Some(after) => after.as_millis() as u32,
        None => (base.saturating_duration_since(now).as_millis() as u32).wrapping_neg(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of so many events were taken before a pause began.
    fn taken(allowance: &mut Allowance, events: usize) -> usize {
        (1..=events).find(|_| allowance.take(10)).unwrap_or(events)
    }

    async fn renewed(allowance: &mut Allowance) {
        std::future::poll_fn(|cx| allowance.poll_renewed(10, cx)).await;
    }

    #[test]
    fn it_is_two_words() {
        assert_eq!(size_of::<Allowance>(), 16);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_pauses_until_the_second_is_over() {
        let mut allowance = Allowance::default();
        assert_eq!(taken(&mut allowance, 9), 9);
        assert!(!allowance.is_used_up());
        tokio::time::advance(Duration::from_millis(400)).await;
        let begun = Instant::now();
        assert_eq!(taken(&mut allowance, 100), 1);
        assert!(allowance.is_used_up());
        renewed(&mut allowance).await;
        assert_eq!((begun.elapsed().as_millis(), allowance.is_used_up()), (600, false));
        assert_eq!(taken(&mut allowance, 100), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_that_took_longer_than_a_second_is_renewed_without_a_pause() {
        let mut allowance = Allowance::default();
        for number in 0..100 {
            assert!(!allowance.take(10), "a pause after {number}");
            tokio::time::advance(Duration::from_millis(150)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_below_the_limit_never_waits() {
        let mut allowance = Allowance::default();
        for number in 0..100 {
            allowance.take(10);
            tokio::time::advance(Duration::from_millis(101)).await;
            let is_renewed = std::future::poll_fn(|cx| Poll::Ready(allowance.poll_renewed(10, cx).is_ready()));
            assert!(is_renewed.await, "the event after {number} waits");
        }
    }
}
