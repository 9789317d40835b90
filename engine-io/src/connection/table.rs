//! The table of all open engine sessions, by id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::connection::sid::Sid;

/// The parts of the table, each with a lock of its own.
const SHARDS: usize = 64;

/// One part of the table.
type Shard<T> = HashMap<Sid, Arc<T>>;

/// Sessions of type `T`, by id.
pub(crate) struct SessionTable<T> {
    /// The parts; an id selects its own.
    shards: Box<[Mutex<Shard<T>>]>,
}

impl<T> SessionTable<T> {
    /// Creates an empty table.
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Adds a session.
    pub(crate) fn insert(&self, sid: Sid, session: Arc<T>) {
        self.shard(&sid).insert(sid, session);
    }

    /// Returns the session with an id.
    pub(crate) fn get(&self, sid: &Sid) -> Option<Arc<T>> {
        self.shard(sid).get(sid).cloned()
    }

    /// Removes a session; returns whether it was there.
    pub(crate) fn remove(&self, sid: &Sid) -> bool {
        // The removed handle is dropped after the lock.
        let removed = {
            let mut shard = self.shard(sid);
            let removed = shard.remove(sid);
            shrink(&mut shard);
            removed
        };
        removed.is_some()
    }

    /// Returns all sessions of this moment, each part of the table locked on its own.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }

    /// Returns whether there is no session.
    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(shard).is_empty())
    }

    /// Returns the number of sessions.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Locks the part of the table that an id belongs to.
    fn shard(&self, sid: &Sid) -> MutexGuard<'_, Shard<T>> {
        lock(&self.shards[sid.spread() % SHARDS])
    }
}

/// Releases the memory that a table no longer needs: all of it with the last session, most of it
/// when few of many are left. A server that was full once would keep its largest tables for ever.
fn shrink<V>(table: &mut HashMap<Sid, V>) {
    if table.is_empty() || table.capacity() > 4 * table.len().max(16) {
        table.shrink_to_fit();
    }
}

/// Locks a part of the table.
fn lock<T>(shard: &Mutex<Shard<T>>) -> MutexGuard<'_, Shard<T>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_until_it_is_removed() {
        let table = SessionTable::new();
        let sids: Vec<_> = (0..1_000).map(|_| Sid::random()).collect();
        for (at, sid) in sids.iter().enumerate() {
            table.insert(*sid, Arc::new(at));
        }
        assert_eq!(
            (table.len(), table.all().len(), table.is_empty()),
            (1_000, 1_000, false)
        );
        for (at, sid) in sids.iter().enumerate() {
            assert_eq!(table.get(sid).as_deref(), Some(&at));
            assert!(table.remove(sid));
            assert!(!table.remove(sid));
            assert!(table.get(sid).is_none());
        }
        assert!(table.is_empty());
    }

    #[test]
    fn the_table_of_many_sessions_is_not_kept_for_the_few_that_stay() {
        let sids: Vec<_> = (0..10_000).map(|_| Sid::random()).collect();
        let mut table: HashMap<_, _> = sids.iter().map(|sid| (*sid, ())).collect();
        for sid in &sids[100..] {
            table.remove(sid);
            shrink(&mut table);
        }
        assert!((100..1_000).contains(&table.capacity()), "{}", table.capacity());
        for sid in &sids {
            table.remove(sid);
            shrink(&mut table);
        }
        assert_eq!(table.capacity(), 0);
    }
}
