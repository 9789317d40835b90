//! A timer wheel: one coarse timer for all sessions of an engine, instead of one each.
//!
//! An entry is never removed: when it comes up, the session checks that it is the valid one. A session
//! that is due later than its entry enters itself again, so that a pong costs nothing but a number.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::Config;
use crate::connection::sid::Sid;

/// The slots of the wheel; entries that are further ahead come up early, and are entered again.
const SLOTS: u64 = 256;
/// The shortest time from one tick to the next.
const FINEST: Duration = Duration::from_millis(5);
/// The longest time from one tick to the next.
const COARSEST: Duration = Duration::from_secs(1);

/// A wheel of slots; a session has one valid entry at most, and is looked at when it comes up.
pub(crate) struct TimerWheel {
    /// Milliseconds from one tick to the next.
    granularity: u64,
    /// The wheel itself.
    wheel: Mutex<Wheel>,
}

/// The slots, and where the wheel stands.
struct Wheel {
    /// The sessions of each slot, with the tick they were entered for.
    slots: Vec<Vec<(Sid, u64)>>,
    /// The tick that comes next; all before it are done.
    next: u64,
    /// The sessions in all slots.
    entries: usize,
    /// A task turns the wheel.
    is_turning: bool,
}

/// The outcome of entering a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entered {
    /// The tick at which it is looked at.
    pub(crate) tick: u64,
    /// The wheel stood still: the caller must have it turned.
    pub(crate) stood_still: bool,
}

impl TimerWheel {
    /// Creates a wheel whose ticks are a sixteenth of the shortest time in the settings.
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
                is_turning: false,
            }),
        }
    }

    /// Returns the time from one tick to the next.
    pub(crate) fn granularity(&self) -> Duration {
        Duration::from_millis(self.granularity)
    }

    /// Returns how late a look may be, in milliseconds: a tick is rounded up, and the wheel turns
    /// at its own phase.
    pub(crate) fn lateness(&self) -> u64 {
        2 * self.granularity + 2
    }

    /// Returns the tick at which `due` has passed; ticks begin with 1.
    pub(crate) fn tick_of(&self, due: u64) -> u64 {
        due.div_ceil(self.granularity).max(1)
    }

    /// Enters a session for a tick, or an earlier one if that is too far ahead, or the next if it
    /// is past.
    pub(crate) fn insert(&self, now: impl FnOnce() -> u64, sid: Sid, tick: u64) -> Entered {
        let mut wheel = self.wheel();
        let stood_still = !std::mem::replace(&mut wheel.is_turning, true);
        if stood_still {
            wheel.next = wheel.next.max(now() / self.granularity + 1);
        }
        let tick = tick.clamp(wheel.next, wheel.next + SLOTS - 1);
        wheel.slots[(tick % SLOTS) as usize].push((sid, tick));
        wheel.entries += 1;
        Entered { tick, stood_still }
    }

    /// Takes out all that is due by now, or returns `None` if the wheel is empty and stops.
    pub(crate) fn advance(&self, now: u64) -> Option<Vec<(Sid, u64)>> {
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
            wheel.is_turning = false;
            return None;
        }
        Some(due)
    }

    /// Notes whether a task turns the wheel.
    pub(crate) fn set_turning(&self, is_turning: bool) {
        self.wheel().is_turning = is_turning;
    }

    /// Returns how many entries are not due yet.
    pub(crate) fn len(&self) -> usize {
        self.wheel().entries
    }

    /// Locks the wheel.
    fn wheel(&self) -> MutexGuard<'_, Wheel> {
        self.wheel.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wheel with a tick each second.
    fn wheel() -> TimerWheel {
        TimerWheel::new(&Config {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(25),
            slow_client_grace: Duration::from_secs(25),
            ..Config::default()
        })
    }

    #[test]
    fn a_session_comes_up_at_its_tick() {
        let (wheel, sid) = (wheel(), Sid::random());
        assert_eq!(
            (wheel.tick_of(0), wheel.tick_of(1_000), wheel.tick_of(1_001)),
            (1, 1, 2)
        );
        let entered = wheel.insert(|| 0, sid, 3);
        assert!(entered.tick == 3 && entered.stood_still);
        assert!(!wheel.insert(|| 0, Sid::random(), 9).stood_still);
        assert_eq!(wheel.advance(2_999).map(|due| due.len()), Some(0));
        assert!(wheel.advance(3_000) == Some(vec![(sid, 3)]));
        assert_eq!(wheel.len(), 1);
    }

    #[test]
    fn an_entry_that_is_far_ahead_comes_up_early_and_one_that_is_past_next() {
        let wheel = wheel();
        assert_eq!(wheel.insert(|| 5_000, Sid::random(), u64::MAX).tick, 5 + SLOTS);
        assert_eq!(wheel.insert(|| 5_000, Sid::random(), 1).tick, 6);
    }

    #[test]
    fn an_empty_wheel_stops_and_starts_with_the_next_entry() {
        let wheel = wheel();
        wheel.insert(|| 0, Sid::random(), 1);
        assert_eq!(wheel.advance(1_000).map(|due| due.len()), Some(1));
        assert!(wheel.advance(2_000).is_none());
        let entered = wheel.insert(|| 60_000, Sid::random(), 1);
        assert_eq!((entered.tick, entered.stood_still), (61, true));
    }
}
