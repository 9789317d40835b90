//! Rate-limited log lines, which a hostile client cannot multiply.
//!
//! `manager_api::log` has the like for the other crates. This crate depends on none of them, so that it serves other
//! protocols as well, and its limit takes no lock, because every connection may reach it.

use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The bytes of untrusted text that a log line holds.
const MAX_TEXT: usize = 200;

/// The time between two lines of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// Writes one line a second at most, and says how many it suppressed.
pub(crate) struct Limited {
    /// The origin of the other times.
    since: Instant,
    /// When the next line may be written, in milliseconds.
    quiet_until: AtomicU64,
    /// Lines that were left out since the last one.
    suppressed: AtomicU64,
}

/// The warnings of an engine, each with a limit of its own.
pub(crate) struct Logs {
    /// A client was disconnected for the limits of its outbox.
    pub(crate) overflow: Limited,
    /// A client was disconnected because all outboxes together were over their limit.
    pub(crate) budget: Limited,
    /// An incomplete message was given up because all of them together were over their limit.
    pub(crate) inbound: Limited,
    /// A client was disconnected because its session accepted no messages for too long.
    pub(crate) pause: Limited,
    /// A session panicked.
    pub(crate) panic: Limited,
    /// A handshake was refused for want of a place.
    pub(crate) full: Limited,
    /// A handshake was refused because too many came within a second.
    pub(crate) rate: Limited,
    /// A request of a foreign origin was refused.
    pub(crate) origin: Limited,
}

impl Logs {
    /// Creates the warnings of an engine, none of which was written.
    pub(crate) fn new() -> Self {
        Self {
            overflow: Limited::new(),
            budget: Limited::new(),
            inbound: Limited::new(),
            pause: Limited::new(),
            panic: Limited::new(),
            full: Limited::new(),
            rate: Limited::new(),
            origin: Limited::new(),
        }
    }
}

impl Limited {
    /// Creates a warning that was never written.
    fn new() -> Self {
        Self {
            since: Instant::now(),
            quiet_until: AtomicU64::new(0),
            suppressed: AtomicU64::new(0),
        }
    }

    /// Writes a line, unless one was written within the last second.
    pub(crate) fn warn(&self, message: &'static str) {
        if let Some(suppressed) = self.pass() {
            quietly(|| tracing::warn!(target: "engine_io", suppressed, "{message}"));
        }
    }

    /// Returns how many lines were left out since the last one if a line may be written now.
    pub(crate) fn pass(&self) -> Option<Option<NonZeroU64>> {
        let now = self.since.elapsed().as_millis() as u64;
        let until = self.quiet_until.load(Ordering::Relaxed);
        let next = now + PAUSE.as_millis() as u64;
        let speak = now >= until
            && self
                .quiet_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !speak {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(NonZeroU64::new(self.suppressed.swap(0, Ordering::Relaxed))) // absent when 0
    }
}

/// Writes a log line; a subscriber that panics, for instance because its pipe is closed, does not stop the caller.
pub(crate) fn quietly(log: impl FnOnce()) {
    // There is no other place left to tell of it.
    let _ = catch_unwind(AssertUnwindSafe(log));
}

/// Cuts untrusted text for a log line, where it is written escaped and quoted (`?`).
pub(crate) fn cut(text: &str) -> &str {
    let end = (0..=MAX_TEXT.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    &text[..end.unwrap_or(0)]
}
