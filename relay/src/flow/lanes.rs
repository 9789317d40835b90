//! The order of acknowledgements: within each lane a record is acknowledged after all that were read before it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use manager_api::source::Position;

/// The name of a lane.
type Lane = (Arc<str>, i32);

/// Records that were read and are not acknowledged, by lane.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: HashMap<Lane, VecDeque<Slot>>,
    len: usize,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    position: Position,
    is_done: bool,
}

impl Lanes {
    /// Adds a record that was read; numbers rise.
    pub(super) fn add(&mut self, number: u64, position: &Position) {
        let position = position.clone();
        let slot = Slot {
            number,
            is_done: false,
            position,
        };
        let lane = slot.position.lane();
        self.lanes.entry(lane).or_default().push_back(slot);
        self.len += 1;
    }

    /// Marks a record as accepted, and moves those that may be acknowledged now into `ready`.
    pub(super) fn done(&mut self, number: u64, position: &Position, ready: &mut Vec<Position>) {
        let lane = position.lane();
        let Some(slots) = self.lanes.get_mut(&lane) else {
            return;
        };
        let at = slots.partition_point(|slot| slot.number < number);
        if let Some(slot) = slots.get_mut(at).filter(|slot| slot.number == number) {
            slot.is_done = true;
        }
        while slots.front().is_some_and(|slot| slot.is_done) {
            ready.extend(slots.pop_front().map(|slot| slot.position));
            self.len -= 1;
        }
        if slots.is_empty() {
            self.lanes.remove(&lane);
        }
    }

    /// Returns the number of records in all lanes.
    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use manager_api::source::Place;

    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        let place = Place::Offset { partition, offset };
        let name = "t".into();
        Position { name, place }
    }

    #[test]
    fn a_record_waits_for_those_before_it_in_its_partition_and_for_no_other() {
        let mut lanes = Lanes::default();
        for (number, position) in [at(0, 1), at(1, 1), at(0, 2), at(0, 3)].iter().enumerate() {
            lanes.add(number as u64, position);
        }
        let mut ready = Vec::new();
        lanes.done(2, &at(0, 2), &mut ready);
        assert_eq!((ready.len(), lanes.len()), (0, 4));
        lanes.done(1, &at(1, 1), &mut ready);
        assert_eq!(std::mem::take(&mut ready), [at(1, 1)]);
        lanes.done(0, &at(0, 1), &mut ready);
        assert_eq!(std::mem::take(&mut ready), [at(0, 1), at(0, 2)]);
        lanes.done(3, &at(0, 3), &mut ready);
        assert_eq!((ready, lanes.len(), lanes.lanes.len()), (vec![at(0, 3)], 0, 0));
    }
}
