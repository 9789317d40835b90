//! Log lines that change nothing, however they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes a log line; a subscriber that panics, for instance because its pipe is gone, does not stop the caller.
pub(crate) fn quietly(log: impl FnOnce()) {
    // There is no other place left to tell of it.
    let _ = catch_unwind(AssertUnwindSafe(log));
}
