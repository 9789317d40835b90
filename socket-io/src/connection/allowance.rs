//! The events a second of one connection: beyond them reading pauses.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// The time that a number of events is allowed for.
const WINDOW: Duration = Duration::from_secs(1);

/// How many events a connection may still send before the clock is looked at.
///
/// An event costs a subtraction; the clock is read once for each allowance that is used up. Windows begin when the one before is used up and
/// over, so that a connection that was silent may send two allowances in a row.
pub(super) struct Allowance {
    /// Events of one window.
    limit: u32,
    left: u32,
    /// When the window began; `None` before the first event.
    since: Option<Instant>,
    /// Ends when reading may go on.
    pause: Option<Pin<Box<Sleep>>>,
}

impl Allowance {
    /// Allows so many events a second, at least one.
    pub(super) fn new(limit: u32) -> Self {
        let limit = limit.max(1);
        Self {
            limit,
            left: limit,
            since: None,
            pause: None,
        }
    }

    /// Takes one event; returns whether a pause begins with it.
    pub(super) fn take(&mut self) -> bool {
        if self.since.is_none() {
            self.since = Some(Instant::now());
        }
        self.left = self.left.saturating_sub(1);
        if self.left > 0 || self.pause.is_some() {
            return false;
        }
        let now = Instant::now();
        let due = self.since.map_or(now, |since| since + WINDOW);
        if due <= now {
            self.renew(now);
            return false;
        }
        self.pause = Some(Box::pin(sleep_until(due)));
        true
    }

    /// Returns whether reading pauses.
    pub(super) fn is_used_up(&self) -> bool {
        self.pause.is_some()
    }

    /// Pending while reading pauses.
    pub(super) fn poll_renewed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.renew(Instant::now());
        }
        Poll::Ready(())
    }

    /// Waits for nothing any more: the connection is closed.
    pub(super) fn end(&mut self) {
        self.pause = None;
        self.left = u32::MAX;
    }

    fn renew(&mut self, now: Instant) {
        self.pause = None;
        self.left = self.limit;
        self.since = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns how many of so many events were taken before a pause began.
    fn taken(allowance: &mut Allowance, events: usize) -> usize {
        (1..=events).find(|_| allowance.take()).unwrap_or(events)
    }

    async fn renewed(allowance: &mut Allowance) {
        std::future::poll_fn(|cx| allowance.poll_renewed(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn reading_pauses_until_the_second_is_over() {
        let mut allowance = Allowance::new(10);
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
    async fn a_client_below_the_limit_never_waits() {
        let mut allowance = Allowance::new(10);
        for number in 0..100 {
            allowance.take();
            tokio::time::advance(Duration::from_millis(101)).await;
            let is_renewed = std::future::poll_fn(|cx| Poll::Ready(allowance.poll_renewed(cx).is_ready()));
            assert!(is_renewed.await, "the event after {number} waits");
        }
    }
}
