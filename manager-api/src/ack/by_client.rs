//! Index of the events that each client may still acknowledge.

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard};

use crate::ack::ClientKey;
use crate::lock::Unpoisoned;
use crate::turn::Turn;

/// Number of shards, large enough that registering an event for all clients does not delay concurrent acknowledgements.
const SHARDS: usize = 64;

/// The pending events of each client. Each shard has its own lock, held for one client at a time.
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
    pub(super) fn add(&self, key: ClientKey, event: u64) {
        self.lock(key).insert((key, event));
    }

    pub(super) fn remove(&self, key: ClientKey, event: u64) {
        let mut shard = self.lock(key);
        shard.remove(&(key, event));
        release_if_empty(&mut shard);
    }

    /// Removes an event of many clients; yields periodically.
    pub(super) async fn remove_all(&self, keys: &HashSet<ClientKey>, event: u64, turn: &mut Turn) {
        for &key in keys {
            self.remove(key, event);
            turn.spend(1).await;
        }
    }

    /// Removes at most `max` pending events of a client and returns them, the oldest first.
    pub(super) fn take_some(&self, key: ClientKey, max: usize) -> Vec<u64> {
        let mut shard = self.lock(key);
        let events: Vec<_> = shard.range(all_of(key)).take(max).map(|&(_, id)| id).collect();
        for &event in &events {
            shard.remove(&(key, event));
        }
        release_if_empty(&mut shard);
        events
    }

    /// Counts the pending events of a client, up to `max`.
    pub(super) fn num_of(&self, key: ClientKey, max: usize) -> usize {
        self.lock(key).range(all_of(key)).take(max).count()
    }

    pub(super) fn len(&self) -> usize {
        (0..SHARDS as u64).map(|key| self.lock(key).len()).sum()
    }

    fn lock(&self, key: ClientKey) -> MutexGuard<'_, BTreeSet<(ClientKey, u64)>> {
        let shard = &self.shards[(key % SHARDS as u64) as usize];
        shard.lock().unpoisoned()
    }
}

fn all_of(key: ClientKey) -> RangeInclusive<(ClientKey, u64)> {
    (key, 0)..=(key, u64::MAX)
}

/// Releases the last node, which an empty tree keeps.
fn release_if_empty(shard: &mut BTreeSet<(ClientKey, u64)>) {
    if shard.is_empty() {
        *shard = BTreeSet::new();
    }
}
