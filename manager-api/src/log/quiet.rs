//! Log lines whose failure does not affect the caller.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes a log line; a subscriber that panics, for instance because its pipe is closed, does not stop the caller.
///
/// ```
/// manager_api::log::quietly(|| tracing::warn!("the subscriber of the application may panic here"));
/// ```
pub fn quietly(log: impl FnOnce()) {
    // The panic cannot be reported: the log is what failed.
    let _ = catch_unwind(AssertUnwindSafe(log));
}
