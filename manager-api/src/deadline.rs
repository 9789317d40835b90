//! When a wait is over.

use std::time::Duration;

use tokio::time::Instant;

/// Longer than any process lives: an instant further away may not exist, and adding to one panics then.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// Returns the instant at which `wait` is over if it begins now; that of [`Duration::MAX`] never comes.
pub(crate) fn after(wait: Duration) -> Instant {
    Instant::now() + wait.min(NEVER)
}
