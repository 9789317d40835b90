//! Texts that begin with the time since boot.

use rustix::time::{ClockId, clock_gettime};

/// Returns `len` bytes of text: 16 digits of nanoseconds, a colon, padding.
pub fn stamped(len: usize) -> String {
    let now = clock_gettime(ClockId::Monotonic);
    let stamp = format!("{:016}:", now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64);
    let padding = "x".repeat(len.saturating_sub(stamp.len()));
    stamp + &padding
}
