//! The delays between connections of a task that reconnects for ever.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Backoff, ManagerOptions};

/// The initial and maximum number of early losses that reset the back-off.
const MAX_FORGIVEN: u32 = 60;
/// One more is allowed after this many times the first wait.
const FORGIVEN_AGAIN: u32 = 60;

/// The delays between the connections of a task that reconnects for ever.
///
/// Failed attempts are followed by [increasing delays](Backoff). A connection that worked (logged in, and subscribed or
/// ready to publish) resets them, so that a broker that restarts often is reached again as soon after the twentieth
/// restart as after the first. A broker that closes every connection it accepted is still not contacted constantly: a
/// connection that did not outlive the first wait, `backoff_base`, is followed by such a wait, and only 60 of these,
/// plus one for every sixty such waits, reset the back-off.
#[derive(Debug)]
pub struct Reconnect {
    backoff: Backoff,
    base: Duration,
    num_forgiven: u32,
    /// When `num_forgiven` was last replenished.
    since: Instant,
}

impl Reconnect {
    /// Reads the waits from the options of a manager.
    pub fn from_options(options: &ManagerOptions) -> Self {
        Self {
            backoff: Backoff::from_options(options),
            base: options.backoff_base,
            num_forgiven: MAX_FORGIVEN,
            since: Instant::now(),
        }
    }

    /// Returns the delay after an attempt that failed.
    pub fn after_failure(&mut self) -> Duration {
        self.backoff.next_delay()
    }

    /// Returns the delay after a connection that worked and was lost after `lifetime`; zero if that was longer than the
    /// first wait.
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
    async fn a_broker_that_closes_accepted_connections_is_contacted_ever_less() {
        let mut reconnect = reconnect();
        let begun = Instant::now();
        let mut num_connections = 0;
        while begun.elapsed() < Duration::from_secs(3600) {
            tokio::time::sleep(reconnect.after_connection(Duration::ZERO)).await;
            num_connections += 1;
        }
        // At most two a second for half a minute, then one every ten seconds.
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
