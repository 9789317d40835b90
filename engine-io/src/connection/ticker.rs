//! The task that turns the timer wheel of an engine while there are entries.

use std::sync::{Arc, Weak};

use tokio::time::MissedTickBehavior;

use crate::connection::core::Core;
use crate::connection::sid::Sid;

/// Sessions that are looked at before other tasks get their turn.
const BATCH: usize = 256;

impl Core {
    /// Enters a session into the timer wheel; returns the tick at which it is looked at.
    pub(crate) fn schedule(self: &Arc<Self>, sid: Sid, tick: u64) -> u64 {
        let entered = self.timer.insert(|| self.clock.now(), sid, tick);
        if entered.stood_still {
            spawn(self);
        }
        entered.tick
    }
}

/// Starts a task that turns the wheel.
fn spawn(core: &Arc<Core>) {
    core.spawn(turn(Ticker {
        core: Arc::downgrade(core),
        has_turned: false,
    }));
}

/// A guard that starts another task if this one ends before the wheel is empty, because its runtime may end.
struct Ticker {
    /// The engine; the task ends with it.
    core: Weak<Core>,
    /// The task was polled, so that its runtime was alive.
    has_turned: bool,
}

impl Drop for Ticker {
    fn drop(&mut self) {
        let Some(core) = self.core.upgrade() else { return };
        // A task that never ran was given to a runtime that had ended; the next handshake brings
        // another one.
        core.timer.set_turning(self.has_turned);
        if self.has_turned {
            spawn(&core);
        }
    }
}

/// Turns the wheel, tick by tick, until it is empty.
async fn turn(mut ticker: Ticker) {
    let Some(granularity) = ticker.core.upgrade().map(|core| core.timer.granularity()) else {
        return;
    };
    let mut ticks = tokio::time::interval(granularity);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker.has_turned = true;
    loop {
        ticks.tick().await;
        let Some(core) = ticker.core.upgrade() else { return };
        let Some(due) = core.timer.advance(core.clock.now()) else {
            // It stands still, or another task turns it already.
            ticker.core = Weak::new();
            return;
        };
        for (at, (sid, tick)) in due.into_iter().enumerate() {
            if let Some(session) = core.sessions.get(&sid) {
                session.on_tick(tick);
            }
            if at % BATCH == BATCH - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
