//! Deadlines that do not overflow, for timeouts of any configured length.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process runs: a later instant may not be representable, and the addition would panic.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the instant at which a `wait` that starts now ends; that of [`Duration::MAX`] is never reached.
pub fn after(wait: Duration) -> Instant {
    from(Instant::now(), wait)
}

/// Returns the instant at which a `wait` that started at `start` ends; that of [`Duration::MAX`] is never reached.
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
