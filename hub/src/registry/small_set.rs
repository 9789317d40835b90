//! A set that is a vector while it is small, and a hash table otherwise.

use std::collections::HashSet;
use std::hash::Hash;

use manager_api::tables::wastes_memory;

/// Number of entries up to which a vector is scanned. Most clients are in fewer rooms than this.
const MAX_SCANNED: usize = 16;

/// A set with constant-time operations, as large as an empty vector while it is empty.
#[derive(Debug)]
pub(crate) enum SmallSet<T> {
    /// At most [`MAX_SCANNED`] entries, in insertion order until one is removed.
    Scanned(Vec<T>),
    /// More than half of [`MAX_SCANNED`] entries.
    #[expect(clippy::box_collection, reason = "a client in few rooms is to be small")]
    Hashed(Box<HashSet<T>>),
}

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        Self::Scanned(Vec::new())
    }
}

impl<T: Hash + Eq> SmallSet<T> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Scanned(entries) => entries.len(),
            Self::Hashed(entries) => entries.len(),
        }
    }

    pub(crate) fn contains(&self, entry: &T) -> bool {
        match self {
            Self::Scanned(entries) => entries.contains(entry),
            Self::Hashed(entries) => entries.contains(entry),
        }
    }

    /// Adds an entry that is not in the set yet.
    pub(crate) fn add(&mut self, entry: T) {
        match self {
            Self::Scanned(entries) if entries.len() < MAX_SCANNED => entries.push(entry),
            Self::Scanned(entries) => {
                let hashed = entries.drain(..).chain([entry]).collect();
                *self = Self::Hashed(Box::new(hashed));
            }
            Self::Hashed(entries) => drop(entries.insert(entry)),
        }
    }

    /// Removes an entry; `false` if it is not in the set.
    pub(crate) fn remove(&mut self, entry: &T) -> bool {
        match self {
            Self::Scanned(entries) => {
                let Some(at) = entries.iter().position(|other| other == entry) else {
                    return false;
                };
                entries.swap_remove(at);
                entries.shrink_to_fit();
                true
            }
            Self::Hashed(entries) => {
                let is_removed = entries.remove(entry);
                // Half of the limit, so that a client that enters and leaves one room does not
                // convert the set each time.
                if entries.len() <= MAX_SCANNED / 2 {
                    *self = Self::Scanned(entries.drain().collect());
                } else if wastes_memory(entries.len(), entries.capacity()) {
                    entries.shrink_to_fit();
                }
                is_removed
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        let (scanned, hashed) = match self {
            Self::Scanned(entries) => (Some(entries), None),
            Self::Hashed(entries) => (None, Some(entries)),
        };
        scanned
            .into_iter()
            .flatten()
            .chain(hashed.into_iter().flat_map(|entries| entries.iter()))
    }

    pub(crate) fn into_vec(self) -> Vec<T> {
        match self {
            Self::Scanned(entries) => entries,
            Self::Hashed(entries) => entries.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::hash::Hasher;

    use super::*;

    const MANY: u32 = 100_000;

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// A number that counts its comparisons.
    #[derive(Debug)]
    struct Counted(u32);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            let comparisons = COMPARISONS.get() + 1;
            assert!(comparisons < 10 * MANY as usize, "too many comparisons");
            COMPARISONS.set(comparisons);
            self.0 == other.0
        }
    }

    impl Eq for Counted {}

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    #[test]
    fn joining_and_leaving_many_rooms_costs_a_constant_number_of_comparisons_each() {
        let mut set = SmallSet::default();
        for number in 0..MANY {
            assert!(!set.contains(&Counted(number)));
            set.add(Counted(number));
        }
        for number in 0..MANY {
            assert!(set.remove(&Counted(number)) && !set.remove(&Counted(number)));
        }
        assert_eq!(set.len(), 0);
        assert!(COMPARISONS.get() > 0);
    }

    #[test]
    fn a_set_holds_the_same_whether_it_is_small_or_large() {
        let mut set = SmallSet::default();
        let numbers = |set: &SmallSet<u32>| {
            let mut numbers: Vec<u32> = set.iter().copied().collect();
            numbers.sort_unstable();
            numbers
        };
        for number in 0..100 {
            set.add(number);
            assert_eq!(numbers(&set), (0..=number).collect::<Vec<_>>());
        }
        for number in 0..100 {
            assert!(set.remove(&number));
            assert_eq!(
                (numbers(&set), set.len()),
                ((number + 1..100).collect(), 99 - number as usize)
            );
        }
        assert!(matches!(&set, SmallSet::Scanned(entries) if entries.capacity() == 0));
    }

    #[test]
    fn an_empty_set_is_as_large_as_an_empty_vector() {
        assert_eq!(size_of::<SmallSet<u64>>(), size_of::<Vec<u64>>());
    }
}
