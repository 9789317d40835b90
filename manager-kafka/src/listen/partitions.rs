//! The position of a subscription in each partition.

use std::collections::BTreeMap;

use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

/// The next offset of each partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Positions(BTreeMap<i32, i64>);

/// The place of a message in the order of its partition.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Next,
    /// It was delivered before.
    Old,
    /// Messages before it, from this offset on, are missing.
    After(i64),
}

impl Positions {
    /// Sets the next offset of a partition.
    pub(crate) fn set(&mut self, partition: i32, next: i64) {
        self.0.insert(partition, next);
    }

    /// Returns any partition, the same each time.
    pub(crate) fn first(&self) -> Option<i32> {
        self.0.keys().next().copied()
    }

    /// Returns the next offset of a partition.
    pub(crate) fn get(&self, partition: i32) -> Option<i64> {
        self.0.get(&partition).copied()
    }

    /// Advances past the message at `offset`.
    pub(crate) fn step(&mut self, partition: i32, offset: i64) -> Step {
        let next = self.0.entry(partition).or_insert(offset);
        let expected = *next;
        if offset < expected {
            return Step::Old;
        }
        *next = offset + 1;
        match offset > expected {
            true => Step::After(expected),
            false => Step::Next,
        }
    }

    /// Adds those of `partitions` that are new, from their beginning; returns whether there were any.
    pub(crate) fn add_new(&mut self, partitions: &[i32]) -> bool {
        let num_before = self.0.len();
        for partition in partitions {
            self.0.entry(*partition).or_insert(0);
        }
        self.0.len() > num_before
    }

    /// Converts the positions to the client library's type.
    pub(crate) fn list(&self, topic: &str) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.0.len());
        for (partition, next) in &self.0 {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_messages_are_told_from_missing_ones() {
        let mut positions = Positions::default();
        positions.set(0, 5);
        assert_eq!(positions.step(0, 5), Step::Next);
        assert_eq!(positions.step(0, 5), Step::Old);
        assert_eq!(positions.step(0, 9), Step::After(6));
        assert_eq!(positions.get(0), Some(10));
    }

    #[test]
    fn new_partitions_begin_at_their_beginning_and_known_ones_stay() {
        let mut positions = Positions::default();
        positions.set(0, 5);
        assert!(positions.add_new(&[0, 1]));
        assert!(!positions.add_new(&[0, 1]));
        assert_eq!((positions.get(0), positions.get(1)), (Some(5), Some(0)));
        assert_eq!(positions.list("t").unwrap().count(), 2);
    }
}
