//! What a bridge has given up: it may have arrived, so that no other bridge of its name forwards it.
//!
//! Beats name it by its marks, each once, and count it, so that a bridge that has missed a beat knows that it has. Then it
//! does not know of what waits there whether it is to be forwarded.

use std::collections::{HashMap, VecDeque};

use manager_api::lock::Unpoisoned;
use manager_api::message::Mark;
use tokio::time::Instant;

use crate::election::Beat;
use crate::shared::Shared;

/// Marks in one beat, which thereby stays below the smallest limit that a broker has for a message.
const MARKS_IN_A_BEAT: usize = 64;
/// Marks that wait to be told. Of those beyond that the others learn only that there were some.
const MAX_UNTOLD: usize = 16_384;
/// Bridges of which it is known what they have told.
const MAX_BRIDGES: usize = 64;

/// Messages that this bridge has given up and not told of.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    /// Those that were told, or were too many.
    num_told: u64,
    /// Each with the side that it was for.
    waiting: VecDeque<(usize, Mark)>,
}

impl Untold {
    pub(crate) fn add(&mut self, to: usize, mark: Mark) {
        if self.waiting.len() >= MAX_UNTOLD {
            self.waiting.pop_front();
            self.num_told += 1;
        }
        self.waiting.push_back((to, mark));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// What other bridges have told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// Messages that each of them has told of.
    counts: HashMap<String, u64>,
}

impl Told {
    /// Records that a bridge tells of `count` messages after `before` others. Returns how many of them it has told of
    /// already, and whether any between were missed.
    fn record(&mut self, bridge: &str, before: u64, count: usize) -> (usize, bool) {
        if self.counts.len() >= MAX_BRIDGES && !self.counts.contains_key(bridge) {
            self.counts.clear();
        }
        let known = self.counts.entry(bridge.to_owned()).or_default();
        let num_repeated = known.saturating_sub(before);
        let has_missed = *known < before;
        *known = (*known).max(before.saturating_add(count as u64));
        (usize::try_from(num_repeated).unwrap_or(usize::MAX), has_missed)
    }
}

impl Shared {
    /// Puts what the others are to know into a beat.
    pub(crate) fn tell(&self, beat: &mut Beat) {
        let mut untold = self.untold.lock().unpoisoned();
        let count = untold.waiting.len().min(MARKS_IN_A_BEAT);
        beat.given_up_before = untold.num_told;
        let named = untold
            .waiting
            .drain(..count)
            .map(|(to, mark)| (self.sides[to].name.clone(), mark.to_string()));
        beat.given_up = named.collect();
        untold.num_told += count as u64;
    }

    /// Forgets what another bridge has given up. If it has missed some of that, it trusts nothing that waits.
    pub(crate) fn learn(&self, told: &mut Told, beat: &Beat, now: Instant) {
        let (num_repeated, has_missed) = told.record(&beat.id, beat.given_up_before, beat.given_up.len());
        let is_active = self.is_active();
        if has_missed && !is_active {
            for pair in &self.pairs {
                pair.pending.lock().unpoisoned().unsettle(now);
            }
        }
        for (side, mark) in beat.given_up.iter().skip(num_repeated) {
            let mark = Mark::read(mark);
            for pair in self.pairs.iter().filter(|pair| self.sides[pair.to].name == *side) {
                let mut pending = pair.pending.lock().unpoisoned();
                // An active bridge has all messages of which another one could tell; the next with that mark is new.
                if !is_active || pending.waits_for(mark) {
                    pending.see(mark, now);
                }
                pair.has_room.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_notices_that_it_has_missed_what_another_one_gave_up() {
        let mut told = Told::default();
        assert_eq!(told.record("one", 0, 0), (0, false));
        assert_eq!(told.record("one", 0, 3), (0, false));
        assert_eq!(told.record("one", 0, 3), (3, false), "a beat that came twice");
        assert_eq!(told.record("one", 3, 2), (0, false));
        assert_eq!(told.record("one", 6, 2), (0, true), "one was missed");
        assert_eq!(told.record("one", 8, 0), (0, false));
        assert_eq!(told.record("other", 1, 0), (0, true), "nothing is known of it");
        assert_eq!(told.record("evil", u64::MAX, 2), (0, true));
        for number in 0..2 * MAX_BRIDGES {
            told.record(&number.to_string(), 0, 0);
        }
        assert!(told.counts.len() <= MAX_BRIDGES);
    }

    #[test]
    fn marks_that_wait_to_be_told_are_bounded_and_counted() {
        let mut untold = Untold::default();
        for _ in 0..MAX_UNTOLD + 5 {
            untold.add(0, Mark::new([1; 16]));
        }
        assert_eq!((untold.waiting.len(), untold.num_told), (MAX_UNTOLD, 5));
    }
}
