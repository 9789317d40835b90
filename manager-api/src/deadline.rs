//! When a wait is over, for any wait that somebody may have configured.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process lives: an instant further away may not exist, and adding to one panics then.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the instant at which `wait` is over if it begins now; that of [`Duration::MAX`] never comes.
pub fn after(wait: Duration) -> Instant {
    from(Instant::now(), wait)
}

/// Returns the instant at which `wait` is over if it began at `start`; that of [`Duration::MAX`] never comes.
pub fn from(start: Instant, wait: Duration) -> Instant {
    start + wait.min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_ends_at_an_instant_that_exists() {
        let start = Instant::now();
        assert!(after(Duration::MAX) >= start + NEVER);
        assert_eq!(from(start, Duration::MAX), start + NEVER);
        assert_eq!(from(start, Duration::from_secs(1)), start + Duration::from_secs(1));
    }
}
