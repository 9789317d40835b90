//! Flow control of senders: short pauses while recipients lag, limited so that one recipient cannot stop a sender.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use manager_api::lock::Unpoisoned;

/// A budget of pauses: a sender is delayed for at most a tenth of the time.
///
/// Recipients that are only slower than a burst catch up during these pauses. A blocked recipient costs the others a
/// tenth of the rate until its connection is closed for that.
#[derive(Debug, Default)]
pub(super) struct Pace {
    budget: Mutex<Budget>,
}

#[derive(Debug, Default)]
struct Budget {
    left: Duration,
    refilled: Option<Instant>,
}

const PAUSE: Duration = Duration::from_millis(1);
const MAX_BUDGET: Duration = Duration::from_millis(200);

impl Pace {
    /// Waits for a moment if the budget allows it.
    pub(super) async fn pause(&self) {
        if self.draw() {
            tokio::time::sleep(PAUSE).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn draw(&self) -> bool {
        let mut budget = self.budget.lock().unpoisoned();
        let now = Instant::now();
        let earned = budget.refilled.map_or(MAX_BUDGET, |last| (now - last) / 10);
        budget.refilled = Some(now);
        budget.left = (budget.left + earned).min(MAX_BUDGET);
        match budget.left.checked_sub(PAUSE) {
            Some(left) => {
                budget.left = left;
                true
            }
            None => false,
        }
    }
}
