//! How soon to connect again.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Backoff, ManagerOptions};

/// How many connections that ended early are forgiven at first.
const MAX_FORGIVEN: u32 = 60;
/// One more is forgiven after so many times the first wait.
const FORGIVEN_AGAIN: u32 = 60;

/// Waits between the connections of a task that wants one for ever.
///
/// Attempts that fail are [ever rarer](Backoff). A connection that worked starts that over, so that a broker that restarts often is found again
/// as soon after the twentieth time as after the first: logged in, and subscribed or ready to publish, is what counts. A broker that ends every
/// connection it accepted is still not asked all the time: connections that did not outlive the first wait, `backoff_base`, are followed by
/// such a wait, and only 60 of them, and one more every sixty such times, start the waits over.
#[derive(Debug)]
pub struct Reconnect {
    backoff: Backoff,
    base: Duration,
    num_forgiven: u32,
    /// Up to when `num_forgiven` was filled up.
    since: Instant,
}

impl Reconnect {
    /// Takes the waits from the options of a manager.
    pub fn from_options(options: &ManagerOptions) -> Self {
        Self {
            backoff: Backoff::from_options(options),
            base: options.backoff_base,
            num_forgiven: MAX_FORGIVEN,
            since: Instant::now(),
        }
    }

    /// Returns how long to wait after an attempt that failed.
    pub fn after_failure(&mut self) -> Duration {
        self.backoff.next_delay()
    }

    /// Returns how long to wait after a connection that worked and was lost after `lifetime`; nothing, if it lived long enough.
    pub fn after_connection(&mut self, lifetime: Duration) -> Duration {
        if lifetime > self.base {
            self.backoff.reset();
            return Duration::ZERO;
        }
        if self.forgives() {
            self.backoff.reset();
        }
        self.backoff.next_delay()
    }

    fn forgives(&mut self) -> bool {
        let now = Instant::now();
        let period = self.base.saturating_mul(FORGIVEN_AGAIN).max(Duration::from_millis(1));
        let num_more = (now - self.since).as_nanos() / period.as_nanos();
        if num_more > 0 {
            self.num_forgiven = MAX_FORGIVEN.min(
                self.num_forgiven
                    .saturating_add(num_more.try_into().unwrap_or(u32::MAX)),
            );
            self.since = now;
        }
        match self.num_forgiven.checked_sub(1) {
            Some(left) => {
                self.num_forgiven = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reconnect() -> Reconnect {
        Reconnect::from_options(&ManagerOptions::default())
    }

    #[tokio::test(start_paused = true)]
    async fn after_twenty_quick_restarts_the_wait_is_as_short_as_after_the_first() {
        let mut reconnect = reconnect();
        for _ in 0..20 {
            let early = reconnect.after_connection(Duration::from_millis(300));
            assert!(early <= Duration::from_secs(1), "{early:?}");
            let down = reconnect.after_failure();
            assert!(down <= Duration::from_secs(2), "{down:?}");
            tokio::time::sleep(early + down).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_lived_is_replaced_at_once_and_the_waits_start_over() {
        let mut reconnect = reconnect();
        for _ in 0..10 {
            reconnect.after_failure();
        }
        assert_eq!(reconnect.after_connection(Duration::from_secs(2)), Duration::ZERO);
        assert!(reconnect.after_failure() <= Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_ends_what_it_accepted_is_asked_ever_less() {
        let mut reconnect = reconnect();
        let begun = Instant::now();
        let mut num_connections = 0;
        while begun.elapsed() < Duration::from_secs(3600) {
            tokio::time::sleep(reconnect.after_connection(Duration::ZERO)).await;
            num_connections += 1;
        }
        // Two a second for half a minute at most, and one every ten seconds from then on.
        assert!(num_connections < 500, "{num_connections} connections in an hour");
    }

    #[tokio::test(start_paused = true)]
    async fn waits_of_any_length_do_not_panic() {
        for base in [Duration::ZERO, Duration::MAX] {
            let mut reconnect = Reconnect::from_options(&ManagerOptions {
                backoff_base: base,
                backoff_cap: Duration::MAX,
                ..ManagerOptions::default()
            });
            for _ in 0..100 {
                reconnect.after_connection(Duration::ZERO);
                reconnect.after_failure();
            }
        }
    }
}
