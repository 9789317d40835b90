//! What the programs for the load generator share.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns a message of 128 bytes that begins with the time since boot in nanoseconds, in 16 digits: every process of this host reads the
/// same clock.
pub fn stamped_message() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let nanoseconds = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
    format!("{nanoseconds:016}:{:x<111}", "")
}

/// Returns the processor time that this process has used.
pub fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}
