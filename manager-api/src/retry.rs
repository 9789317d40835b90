//! Exponential back-off between attempts.

use std::time::Duration;

use crate::ManagerOptions;

/// Exponential back-off with jitter: each wait is drawn from the upper half of a range that doubles up to a cap.
///
/// With the default options the waits lie in 0.5–1 s, 1–2 s, 2–4 s … 30–60 s, so that the processes that lost the same
/// broker do not all reconnect at the same moment.
#[derive(Clone, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `base` and doubles up to `cap`. A `cap` below `base` counts as `base`.
    pub fn new(base: Duration, cap: Duration) -> Self {
        let cap = cap.max(base);
        Self { base, cap, next: base }
    }

    /// Reads base and cap from the options of a manager.
    pub fn from_options(options: &ManagerOptions) -> Self {
        Self::new(options.backoff_base, options.backoff_cap)
    }

    /// Returns how long to wait now; the next wait is up to twice as long.
    pub fn next_delay(&mut self) -> Duration {
        let ceiling = self.next;
        self.next = ceiling.saturating_mul(2).min(self.cap);
        let half = ceiling / 2;
        half + half.mul_f64(fastrand::f64())
    }

    /// Starts over, after a success.
    pub fn reset(&mut self) {
        self.next = self.base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_over_after_a_success() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second, 60 * second);
        for ceiling in [1, 2, 4, 8, 16, 32, 60, 60] {
            let delay = backoff.next_delay();
            assert!(delay <= ceiling * second, "{delay:?} > {ceiling} s");
            assert!(delay >= ceiling * second / 2, "{delay:?} < {ceiling} s / 2");
        }
        backoff.reset();
        assert!(backoff.next_delay() <= second);
    }

    #[test]
    fn the_longest_wait_is_not_doubled() {
        let mut backoff = Backoff::new(Duration::MAX, Duration::MAX);
        for _ in 0..2 {
            assert!(backoff.next_delay() >= Duration::MAX / 2);
        }
    }
}
