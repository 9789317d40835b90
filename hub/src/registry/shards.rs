//! A sharded map: many hash tables, each with its own lock.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, MutexGuard};

use super::members::Members;
use manager_api::ack::ClientKey;
use manager_api::lock::Unpoisoned;

use super::Member;
use manager_api::tables::shrink_if_sparse;

/// Number of shards: high enough that two cores rarely contend, low enough that an empty registry is small.
pub(super) const SHARDS: usize = 64;

pub(super) struct Shards<K, V> {
    hasher: RandomState,
    shards: Vec<Mutex<HashMap<K, V>>>,
}

impl<K: Hash + Eq, V> Shards<K, V> {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Locks the shard of `key`. No code under the lock can panic or block, so poisoning is ignored.
    pub(super) fn lock(&self, key: &K) -> MutexGuard<'_, HashMap<K, V>> {
        let shard = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[shard].lock().unpoisoned()
    }

    /// Removes an entry.
    pub(super) fn remove(&self, key: &K) -> Option<V> {
        let mut shard = self.lock(key);
        let removed = shard.remove(key)?;
        shrink_if_sparse(&mut shard);
        Some(removed)
    }

    pub(super) fn len(&self) -> usize {
        let len = |shard: &Mutex<HashMap<K, V>>| shard.lock().unpoisoned().len();
        self.shards.iter().map(len).sum()
    }

    /// Calls a function for every entry of one shard, and returns their number.
    pub(super) fn for_each_in(&self, shard: usize, mut read: impl FnMut(&K, &V)) -> usize {
        let shard = self.shards[shard].lock().unpoisoned();
        for (key, value) in shard.iter() {
            read(key, value);
        }
        shard.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        let capacity = |shard: &Mutex<HashMap<K, V>>| shard.lock().expect("no test panics under the lock").capacity();
        self.shards.iter().map(capacity).sum()
    }
}

impl<K: Hash + Eq, C: Clone> Shards<K, Members<C>> {
    pub(super) fn snapshot(&self, key: &K) -> Vec<Arc<Vec<Member<C>>>> {
        self.lock(key).get(key).map(Members::snapshot).unwrap_or_default()
    }

    /// Removes a member; removes the set when it becomes empty, and returns true then.
    pub(super) fn remove_member(&self, key: &K, member: ClientKey) -> bool {
        let mut shard = self.lock(key);
        let Some(members) = shard.get_mut(key) else {
            return false;
        };
        members.remove(member);
        let is_empty = members.is_empty();
        if is_empty {
            shard.remove(key);
            shrink_if_sparse(&mut shard);
        }
        is_empty
    }
}
