//! Which questions a client may still answer.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::ack::ClientKey;
use crate::turn::Turn;

/// Enough that asking everybody holds up nobody who answers meanwhile.
const SHARDS: usize = 64;

/// The open questions of each client. Each shard has a lock of its own, held for one client at a time.
#[derive(Debug)]
pub(super) struct ByClient {
    shards: [Mutex<BTreeSet<(ClientKey, u64)>>; SHARDS],
}

impl Default for ByClient {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl ByClient {
    pub(super) fn add(&self, key: ClientKey, question: u64) {
        self.lock(key).insert((key, question));
    }

    pub(super) fn remove(&self, key: ClientKey, question: u64) {
        let mut shard = self.lock(key);
        shard.remove(&(key, question));
        give_back(&mut shard);
    }

    /// Removes a question of many clients, and lets other tasks run now and then.
    pub(super) async fn remove_all(&self, keys: &HashSet<ClientKey>, question: u64, turn: &mut Turn) {
        for &key in keys {
            self.remove(key, question);
            turn.spend(1).await;
        }
    }

    /// Removes at most `max` questions of a client and returns them, the oldest first.
    pub(super) fn take_some(&self, key: ClientKey, max: usize) -> Vec<u64> {
        let mut shard = self.lock(key);
        let questions: Vec<_> = shard.range(all_of(key)).take(max).map(|&(_, id)| id).collect();
        for &question in &questions {
            shard.remove(&(key, question));
        }
        give_back(&mut shard);
        questions
    }

    /// Returns how many questions a client has, but not more than `max`.
    pub(super) fn num_of(&self, key: ClientKey, max: usize) -> usize {
        self.lock(key).range(all_of(key)).take(max).count()
    }

    pub(super) fn len(&self) -> usize {
        (0..SHARDS as u64).map(|key| self.lock(key).len()).sum()
    }

    fn lock(&self, key: ClientKey) -> MutexGuard<'_, BTreeSet<(ClientKey, u64)>> {
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn all_of(key: ClientKey) -> RangeInclusive<(ClientKey, u64)> {
    (key, 0)..=(key, u64::MAX)
}

/// An empty tree keeps its last node.
fn give_back(shard: &mut BTreeSet<(ClientKey, u64)>) {
    if shard.is_empty() {
        *shard = BTreeSet::new();
    }
}
