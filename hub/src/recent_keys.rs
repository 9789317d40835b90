//! The keys of the events of the last minutes, by which repeats are recognised.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use manager_api::lock::Unpoisoned;
use manager_api::tables::{shrink_if_sparse, wastes_memory};
use manager_api::{IdempotencyKey, NamespaceName};
use tokio::time::Instant;

/// The grain of the time at which a key was seen: 32 bits are enough for 13 years.
const TICK: Duration = Duration::from_millis(100);

/// Expired keys that are removed when a key is added: more than one, so that they become fewer.
const EXPIRED_PER_KEY: usize = 2;

/// Expired keys that are removed at a time by a sweep.
const EXPIRED_PER_STEP: usize = 1_024;

/// The keys of one namespace each that were seen within a window. It holds at most a fixed number; one more replaces
/// the oldest.
///
/// A key is held as a fingerprint of 96 bits, so that its length costs no memory. The hash is keyed at random: no sender
/// can choose two keys of one fingerprint, and among 500,000 keys the next one matches another by chance with a
/// probability below 10⁻²².
#[derive(Debug)]
pub(crate) struct RecentKeys {
    /// Two hashes of 64 bits each, of which 96 are used.
    hashers: [RandomState; 2],
    /// In ticks.
    window: u32,
    /// Keys at most; zero if the table is off.
    max: usize,
    /// The time from which ticks are counted.
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By fingerprint, when a key was seen.
    seen: HashMap<Fingerprint, Seen>,
    /// The same in the order in which they were seen, which is that in which they expire.
    order: VecDeque<(Fingerprint, u32)>,
    /// Keys that were replaced within their window.
    num_evicted: u64,
}

/// What is kept of a namespace and a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Fingerprint([u32; 3]);

/// The first event with a key.
#[derive(Clone, Copy, Debug)]
struct Seen {
    tick: u32,
    /// The number of clients that were handed it.
    num_clients: u32,
}

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sighting {
    /// It was not seen within the window, and now it is.
    First {
        /// Whether another key was forgotten within its window.
        has_evicted: bool,
    },
    /// It was seen: this is a repeat.
    Repeat {
        /// The number of clients that were handed the first copy.
        num_clients: u64,
    },
}

impl RecentKeys {
    /// Creates an empty table. It recognises nothing if `window` or `max` is zero.
    pub(crate) fn new(window: Duration, max: usize) -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            window: ticks(window.saturating_add(TICK - Duration::from_nanos(1))).min(u32::MAX / 2),
            max: if window.is_zero() { 0 } else { max },
            start: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// Returns whether a key was seen within the window; if not, it is from now on.
    pub(crate) fn see(&self, namespace: &NamespaceName, key: &IdempotencyKey) -> Sighting {
        if self.max == 0 {
            return Sighting::First { has_evicted: false };
        }
        let (fingerprint, now) = (self.fingerprint(namespace, key), ticks(self.start.elapsed()));
        let mut state = self.state();
        state.expire(now, self.window, EXPIRED_PER_KEY);
        if let Some(seen) = state
            .seen
            .get(&fingerprint)
            .filter(|seen| !self.is_over(seen.tick, now))
        {
            return Sighting::Repeat {
                num_clients: seen.num_clients.into(),
            };
        }
        let oldest = (state.order.len() >= self.max).then(|| state.remove_oldest());
        let has_evicted = oldest.flatten().is_some_and(|tick| !self.is_over(tick, now));
        state.num_evicted += u64::from(has_evicted);
        let seen = Seen {
            tick: now,
            num_clients: 0,
        };
        state.seen.insert(fingerprint, seen);
        state.order.push_back((fingerprint, now));
        Sighting::First { has_evicted }
    }

    /// Records the number of clients that were handed the first event with a key.
    pub(crate) fn handed(&self, namespace: &NamespaceName, key: &IdempotencyKey, num_clients: u64) {
        let fingerprint = self.fingerprint(namespace, key);
        if let Some(seen) = self.state().seen.get_mut(&fingerprint) {
            seen.num_clients = u32::try_from(num_clients).unwrap_or(u32::MAX);
        }
    }

    /// Removes expired keys, and yields if they are many. It costs what it removes.
    pub(crate) async fn sweep(&self) {
        loop {
            let now = ticks(self.start.elapsed());
            let num_expired = self.state().expire(now, self.window, EXPIRED_PER_STEP);
            if num_expired < EXPIRED_PER_STEP {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Returns the number of keys.
    pub(crate) fn len(&self) -> usize {
        self.state().seen.len()
    }

    /// Returns how many keys were replaced by others within the window.
    pub(crate) fn num_evicted(&self) -> u64 {
        self.state().num_evicted
    }

    /// Returns whether a key that was seen at `tick` has expired.
    fn is_over(&self, tick: u32, now: u32) -> bool {
        now.saturating_sub(tick) > self.window
    }

    /// Hashes a key together with its namespace.
    fn fingerprint(&self, namespace: &NamespaceName, key: &IdempotencyKey) -> Fingerprint {
        let name = (namespace.as_str(), key.as_str());
        let [one, two] = [&self.hashers[0], &self.hashers[1]].map(|hasher| hasher.hash_one(name));
        Fingerprint([one as u32, (one >> 32) as u32, two as u32])
    }

    /// Locks the table, for a few instructions.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

impl State {
    /// Removes up to `max` keys that have expired; returns how many.
    fn expire(&mut self, now: u32, window: u32, max: usize) -> usize {
        let is_over = |(_, tick): &(Fingerprint, u32)| now.saturating_sub(*tick) > window;
        let mut num_expired = 0;
        while num_expired < max && self.order.front().is_some_and(is_over) {
            self.remove_oldest();
            num_expired += 1;
        }
        if num_expired > 0 {
            shrink_if_sparse(&mut self.seen);
            if wastes_memory(self.order.len(), self.order.capacity()) {
                self.order.shrink_to_fit();
            }
        }
        num_expired
    }

    /// Removes the oldest key, and returns when it was seen.
    fn remove_oldest(&mut self) -> Option<u32> {
        let (fingerprint, tick) = self.order.pop_front()?;
        // One that was seen again after it had expired is in the order twice.
        if self.seen.get(&fingerprint).is_some_and(|seen| seen.tick == tick) {
            self.seen.remove(&fingerprint);
        }
        Some(tick)
    }
}

/// Returns the whole ticks in a duration.
fn ticks(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
