//! The numbers in the ids of messages: those of one publisher are consecutive, so that a missing one was lost.

use std::collections::HashMap;

/// The maximum number of publishers that are remembered. Beyond it all are forgotten, which finds fewer
/// losses, never false ones.
const MAX_PUBLISHERS: usize = 4096;
/// The number of hexadecimal digits of a time in microseconds since 1970; ids of other forms have fewer.
const MIN_TIME_DIGITS: usize = 12;

/// The latest number of each publisher.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    last: HashMap<Box<str>, Position>,
}

/// The position of a message among those of its publisher.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Position {
    /// When the publisher opened its channel, in microseconds: each channel counts from one.
    began: u64,
    number: u64,
}

impl Numbers {
    /// Records the id of a message; returns how many of its publisher's messages are missing before it.
    pub(super) fn note(&mut self, id: &str) -> u64 {
        let Some((publisher, now)) = parse(id) else { return 0 };
        let Some(last) = self.last.get_mut(publisher) else {
            if self.last.len() == MAX_PUBLISHERS {
                self.clear();
            }
            self.last.insert(publisher.into(), now);
            return 0;
        };
        // Messages in flight on an earlier channel may arrive late.
        if now.began < last.began {
            return 0;
        }
        let before = if now.began == last.began { last.number } else { 0 };
        let missing = now.number.saturating_sub(before + 1);
        if now.began > last.began || now.number > last.number {
            *last = now;
        }
        missing
    }

    /// Forgets every number, after a gap was reported.
    pub(super) fn clear(&mut self) {
        self.last.clear();
    }
}

/// Reads `<host id>-<hexadecimal time>-<number>`, as this manager writes it.
fn parse(id: &str) -> Option<(&str, Position)> {
    let (rest, number) = id.rsplit_once('-')?;
    let (publisher, began) = rest.rsplit_once('-')?;
    if began.len() < MIN_TIME_DIGITS {
        return None;
    }
    let began = u64::from_str_radix(began, 16).ok()?;
    // The one before it must exist as a number.
    let number = number.parse().ok().filter(|number| (1..u64::MAX).contains(number))?;
    Some((publisher, Position { began, number }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(ids: &[&str]) -> Vec<u64> {
        let mut numbers = Numbers::default();
        ids.iter().map(|id| numbers.note(id)).collect()
    }

    #[test]
    fn a_number_that_is_skipped_was_lost() {
        let ids = [
            "a-5c0000000000d-7",
            "a-5c0000000000d-8",
            "a-5c0000000000d-12",
            "b-5c0000000000d-3",
        ];
        assert_eq!(missing(&ids), [0, 0, 3, 0]);
    }

    #[test]
    fn a_new_channel_of_a_known_publisher_begins_at_one() {
        let ids = ["a-5c0000000000d-7", "a-5c0000000000e-1", "a-5c0000000000f-4"];
        assert_eq!(missing(&ids), [0, 0, 3]);
    }

    #[test]
    fn what_comes_late_or_twice_is_not_missing() {
        let ids = [
            "a-5c0000000000d-7",
            "a-5c0000000000e-1",
            "a-5c0000000000d-9",
            "a-5c0000000000e-1",
            "a-5c0000000000e-2",
        ];
        assert_eq!(missing(&ids), [0; 5]);
    }

    #[test]
    fn ids_of_others_are_left_alone() {
        let ids = [
            "",
            "-",
            "a-1",
            "550e8400-e29b-41d4-a716-446655440000",
            "a-5c0000000000d-0",
            "a-5c0000000000d-x",
        ];
        assert_eq!(missing(&ids), [0; 6]);
        let ids = ["a-ffffffffffffffff-1", "a-ffffffffffffffff-18446744073709551615"];
        assert_eq!(missing(&ids), [0; 2]);
    }

    #[test]
    fn as_many_publishers_as_come_take_a_bounded_amount_of_memory() {
        let mut numbers = Numbers::default();
        for publisher in 0..2 * MAX_PUBLISHERS {
            numbers.note(&format!("{publisher}-5c0000000000d-1"));
        }
        assert!(numbers.last.len() <= MAX_PUBLISHERS);
    }
}
