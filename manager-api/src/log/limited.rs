//! A rate limiter for log lines.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock::Unpoisoned;

/// The number of suppressed lines of the same kind before a line. As a field of a `tracing` event it is absent when
/// there were none.
pub type Suppressed = Option<NonZeroU64>;

/// Passes one event of a kind per second and counts the others.
///
/// ```
/// # use manager_api::log::LimitedLog;
/// static MALFORMED: LimitedLog = LimitedLog::new();
/// if let Some(suppressed) = MALFORMED.pass() {
///     tracing::warn!(suppressed, "skipped a malformed message");
/// }
/// ```
#[derive(Debug, Default)]
pub struct LimitedLog {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    suppressed: u64,
}

impl LimitedLog {
    /// The time between two lines.
    pub const INTERVAL: Duration = Duration::from_secs(1);

    /// Creates a limiter that passes the first event.
    pub const fn new() -> Self {
        let state = State {
            last: None,
            suppressed: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Returns how many events were suppressed since the last line if a line may be written now, `None` if this one is
    /// suppressed too.
    pub fn pass(&self) -> Option<Suppressed> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<Suppressed> {
        let mut state = self.state.lock().unpoisoned();
        if state
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < Self::INTERVAL)
        {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(NonZeroU64::new(std::mem::take(&mut state.suppressed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_left_nothing_out_does_not_say_so() {
        let (log, start) = (LimitedLog::new(), Instant::now());
        assert_eq!(
            log.pass_at(start),
            Some(None),
            "nothing was suppressed before the first"
        );
        assert_eq!(log.pass_at(start), None);
        assert_eq!(log.pass_at(start + LimitedLog::INTERVAL / 2), None);
        assert_eq!(log.pass_at(start + LimitedLog::INTERVAL), Some(NonZeroU64::new(2)));
        assert_eq!(log.pass_at(start + 2 * LimitedLog::INTERVAL), Some(None));
    }
}
