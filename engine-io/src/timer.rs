//! One coarse clock for all connections of an engine, instead of a timer each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::Config;
use crate::engine::Inner;
use crate::sessions::Sid;

const SLOTS: u64 = 256;
const FINEST: Duration = Duration::from_millis(5);
const COARSEST: Duration = Duration::from_secs(1);

/// Tells the time in milliseconds since it was made.
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    pub(crate) fn after(&self, duration: Duration) -> u64 {
        self.now().saturating_add(millis(duration))
    }
}

/// A duration in milliseconds; the longest stand for ever.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A wheel of slots; a connection has one valid entry at most, and is asked again when it comes up.
pub(crate) struct Timer {
    granularity: u64,
    wheel: Mutex<Wheel>,
}

struct Wheel {
    slots: Vec<Vec<(Sid, u64)>>,
    /// The tick that comes next; all before it are done.
    next: u64,
    entries: usize,
    running: bool,
}

impl Timer {
    pub(crate) fn new(config: &Config) -> Self {
        let times = [
            config.ping_interval,
            config.ping_timeout,
            config.slow_client_grace,
            config.polling_close_timeout,
        ];
        let shortest = times.into_iter().min().expect("there are several");
        let granularity = (shortest / 16).clamp(FINEST, COARSEST).as_millis() as u64;
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self {
            granularity,
            wheel: Mutex::new(Wheel {
                slots,
                next: 1,
                entries: 0,
                running: false,
            }),
        }
    }

    /// Returns how late a look may be, in milliseconds: a tick is rounded up, and the wheel turns at its own phase.
    pub(crate) fn lateness(&self) -> u64 {
        2 * self.granularity + 2
    }

    /// Returns the tick at which `due` has passed; ticks begin with 1.
    pub(crate) fn tick_of(&self, due: u64) -> u64 {
        due.div_ceil(self.granularity).max(1)
    }

    /// Enters a connection, and returns the tick that it will be looked at, which is no later than `tick` if that lies
    /// ahead.
    pub(crate) fn insert(&self, engine: &Arc<Inner>, sid: Sid, tick: u64) -> u64 {
        let mut wheel = self.wheel();
        let stood_still = !std::mem::replace(&mut wheel.running, true);
        if stood_still {
            wheel.next = wheel.next.max(engine.clock.now() / self.granularity + 1);
        }
        let tick = tick.clamp(wheel.next, wheel.next + SLOTS - 1);
        wheel.slots[(tick % SLOTS) as usize].push((sid, tick));
        wheel.entries += 1;
        drop(wheel);
        if stood_still {
            self.spawn(engine);
        }
        tick
    }

    fn spawn(&self, engine: &Arc<Inner>) {
        let turning = Turning {
            engine: Arc::downgrade(engine),
            has_turned: false,
        };
        engine.spawn(turn(turning, Duration::from_millis(self.granularity)));
    }

    /// Takes out all that is due by now, or `None` if the wheel is empty and stops.
    fn advance(&self, now: u64) -> Option<Vec<(Sid, u64)>> {
        let mut wheel = self.wheel();
        let mut due = Vec::new();
        let last = now / self.granularity;
        while wheel.next <= last && wheel.entries > 0 {
            let slot = (wheel.next % SLOTS) as usize;
            let entries = std::mem::take(&mut wheel.slots[slot]);
            wheel.entries -= entries.len();
            wheel.next += 1;
            if due.is_empty() {
                due = entries;
            } else {
                due.extend(entries);
            }
        }
        if due.is_empty() && wheel.entries == 0 {
            wheel.running = false;
            return None;
        }
        Some(due)
    }

    /// Returns how many entries are not due yet.
    pub(crate) fn len(&self) -> usize {
        self.wheel().entries
    }

    fn wheel(&self) -> MutexGuard<'_, Wheel> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has the wheel turned by another task if this one ends before it is empty: its runtime may.
struct Turning {
    engine: Weak<Inner>,
    has_turned: bool,
}

impl Drop for Turning {
    fn drop(&mut self) {
        let Some(engine) = self.engine.upgrade() else { return };
        // A task that never ran was given to a runtime that had ended; the next handshake brings another one.
        engine.timer.wheel().running = self.has_turned;
        if self.has_turned {
            engine.timer.spawn(&engine);
        }
    }
}

async fn turn(mut turning: Turning, granularity: Duration) {
    let mut ticks = tokio::time::interval(granularity);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turning.has_turned = true;
    loop {
        ticks.tick().await;
        let Some(engine) = turning.engine.upgrade() else { return };
        let Some(due) = engine.timer.advance(engine.clock.now()) else {
            // It stands still, or another task turns it already.
            turning.engine = Weak::new();
            return;
        };
        for (at, (sid, tick)) in due.into_iter().enumerate() {
            if let Some(shared) = engine.sessions.get(&sid) {
                shared.on_tick(tick);
            }
            if at % 256 == 255 {
                tokio::task::yield_now().await;
            }
        }
    }
}
