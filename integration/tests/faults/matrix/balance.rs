//! The account of a run: what became of every number.

use std::collections::BTreeMap;

/// The items that a listener received, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Entry {
    Number(u64),
    Gap(String),
}

/// The publisher's account of the numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    /// The first and the last of each run of accepted numbers, in order.
    pub(crate) accepted: Vec<(u64, u64)>,
    /// Number of failures that the publisher was told of. They may have been published all the same.
    pub(crate) failures: BTreeMap<String, u64>,
}

/// The account of a run.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Balance {
    pub(crate) num_accepted: u64,
    /// Number of the accepted numbers that were received.
    pub(crate) num_received: u64,
    /// Number of those that are missing between items with a gap in between.
    pub(crate) num_admitted: u64,
    /// Those that are missing without one.
    pub(crate) lost: Vec<u64>,
    /// Numbers that came again, or after a higher one.
    pub(crate) misplaced: Vec<u64>,
    pub(crate) gaps: Vec<String>,
    pub(crate) failures: BTreeMap<String, u64>,
}

impl Balance {
    /// Draws the account. `entries` must go on until everything has come that will.
    pub(crate) fn of(published: Published, entries: &[Entry]) -> Self {
        let mut accepted = published
            .accepted
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .peekable();
        let mut balance = Self {
            num_accepted: published.accepted.iter().map(|(first, last)| last - first + 1).sum(),
            failures: published.failures,
            ..Self::default()
        };
        let (mut before, mut is_admitted) = (None, false);
        for entry in entries {
            let number = match entry {
                Entry::Number(number) => *number,
                Entry::Gap(reason) => {
                    balance.gaps.push(reason.clone());
                    is_admitted = true;
                    continue;
                }
            };
            if before.is_some_and(|before| number <= before) {
                balance.misplaced.push(number);
                continue;
            }
            while let Some(missing) = accepted.next_if(|accepted| *accepted < number) {
                balance.miss(missing, is_admitted);
            }
            balance.num_received += u64::from(accepted.next_if_eq(&number).is_some());
            (before, is_admitted) = (Some(number), false);
        }
        accepted.for_each(|missing| balance.miss(missing, is_admitted));
        balance
    }

    fn miss(&mut self, number: u64, is_admitted: bool) {
        match is_admitted {
            true => self.num_admitted += 1,
            false => self.lost.push(number),
        }
    }

    /// Asserts that accepted − received − gaps = 0, in order and nothing twice.
    pub(crate) fn assert_nothing_lost_silently(&self) {
        let said = self.in_words();
        assert!(self.num_accepted > 0 && self.num_received > 0, "nothing passed: {said}");
        assert!(self.lost.is_empty(), "lost without a gap: {said}");
        assert!(self.misplaced.is_empty(), "doubled or out of order: {said}");
        assert_eq!(self.num_accepted, self.num_received + self.num_admitted, "{said}");
    }

    /// Asserts that everything that was accepted was received, and that nothing else was admitted: for brokers that keep messages.
    pub(crate) fn assert_nothing_lost(&self) {
        self.assert_nothing_lost_silently();
        let said = self.in_words();
        assert_eq!(self.num_admitted, 0, "{said}");
        assert!(self.gaps.is_empty(), "a gap where nothing was lost: {said}");
    }

    /// Asserts that a gap was admitted, and nothing lost without one.
    pub(crate) fn assert_loss_is_admitted(&self) {
        self.assert_nothing_lost_silently();
        assert!(!self.gaps.is_empty(), "no gap: {}", self.in_words());
    }

    /// For people: long lists cut short.
    fn in_words(&self) -> String {
        let few = |numbers: &[u64]| format!("{} {:?}", numbers.len(), &numbers[..numbers.len().min(5)]);
        format!(
            "{} accepted, {} received, {} missing in {} gaps {:?}, lost {}, misplaced {}, failures {:?}",
            self.num_accepted,
            self.num_received,
            self.num_admitted,
            self.gaps.len(),
            self.gaps,
            few(&self.lost),
            few(&self.misplaced),
            self.failures
        )
    }
}

fn entries(text: &str) -> Vec<Entry> {
    let entry = |word: &str| match word {
        "gap" => Entry::Gap("gap".to_owned()),
        number => Entry::Number(number.parse().unwrap()),
    };
    text.split_whitespace().map(entry).collect()
}

fn balance(accepted: &[(u64, u64)], received: &str) -> Balance {
    let published = Published {
        accepted: accepted.to_vec(),
        ..Published::default()
    };
    Balance::of(published, &entries(received))
}

#[test]
fn what_is_missing_is_admitted_only_by_a_gap_between_its_neighbours() {
    let admitted = balance(&[(1, 7)], "1 2 gap 5 6 gap");
    admitted.assert_loss_is_admitted();
    assert_eq!((admitted.num_received, admitted.num_admitted), (4, 3));
    assert_eq!(balance(&[(1, 4)], "1 gap 2 4").lost, [3]);
    assert_eq!(balance(&[(1, 4)], "1 2 gap 3").lost, [4]);
    assert_eq!(balance(&[(1, 2), (4, 5)], "1 gap 5").num_admitted, 2);
}

#[test]
fn a_number_that_failed_may_come_or_not_but_once() {
    balance(&[(1, 2), (4, 5)], "1 2 3 4 5").assert_nothing_lost();
    balance(&[(1, 2), (4, 5)], "1 2 4 5").assert_nothing_lost();
    assert_eq!(balance(&[(1, 2), (4, 5)], "1 2 3 3 4 5").misplaced, [3]);
    assert_eq!(balance(&[(1, 3)], "1 3 2").misplaced, [2]);
}
