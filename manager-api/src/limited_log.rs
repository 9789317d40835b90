//! Log lines that cannot flood.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// Lets one event of a kind through per second and counts the others.
///
/// ```
/// # use manager_api::LimitedLog;
/// static MALFORMED: LimitedLog = LimitedLog::new();
/// if let Some(suppressed) = MALFORMED.pass() {
///     println!("passed over a malformed message ({suppressed} more since the last line)");
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

    /// Makes a limiter that lets the first event through.
    pub const fn new() -> Self {
        let state = State {
            last: None,
            suppressed: 0,
        };
        Self {
            state: Mutex::new(state),
        }
    }

    /// Returns how many events were suppressed since the last line if a line may be written now, `None` if this one is suppressed too.
    pub fn pass(&self) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if state.last.is_some_and(|last| now - last < Self::INTERVAL) {
            state.suppressed += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.suppressed))
    }
}
