//! The clock of an engine: milliseconds since the engine was made.

use std::time::Duration;

use tokio::time::Instant;

/// Tells the time in milliseconds since it was made.
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts a clock at zero.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Returns the time in milliseconds.
    pub(crate) fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    /// Returns the time that is so many milliseconds ahead.
    pub(crate) fn after(&self, millis: u64) -> u64 {
        self.now().saturating_add(millis)
    }
}

/// Converts a duration to milliseconds; the longest ones mean "never".
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
