//! The table of sessions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::shared::Shared;

const SHARDS: usize = 64;

/// The secret name of a session: 20 characters of URL-safe base64, 15 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sid([u8; 20]);

impl Sid {
    pub(crate) fn random() -> Self {
        let mut random = [0; 15];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let mut sid = [0; 20];
        URL_SAFE_NO_PAD
            .encode_slice(random, &mut sid)
            .expect("15 bytes are 20 characters");
        Self(sid)
    }

    /// Reads what a client says is a session's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.as_bytes().try_into().ok().map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base64, or copied from a string")
    }
}

type Shard = HashMap<Sid, Arc<Shared>>;

/// All open sessions, by name.
pub(crate) struct Sessions {
    shards: Box<[Mutex<Shard>]>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn insert(&self, shared: &Arc<Shared>) {
        self.shard(&shared.sid).insert(shared.sid, shared.clone());
    }

    pub(crate) fn get(&self, sid: &Sid) -> Option<Arc<Shared>> {
        self.shard(sid).get(sid).cloned()
    }

    /// Removes a session; tells whether it was there.
    pub(crate) fn remove(&self, sid: &Sid) -> bool {
        // The removed handle is dropped after the lock.
        let removed = {
            let mut shard = self.shard(sid);
            let removed = shard.remove(sid);
            give_back(&mut shard);
            removed
        };
        removed.is_some()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Shared>> {
        self.shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| lock(shard).is_empty())
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    fn shard(&self, sid: &Sid) -> MutexGuard<'_, Shard> {
        // Names are random, so any of their characters spreads them evenly.
        lock(&self.shards[usize::from(sid.0[0] ^ sid.0[1].rotate_left(3)) % SHARDS])
    }
}

/// Gives back what a table no longer needs: all of it with the last session, most of it when few of many are left. A server that was
/// full once would keep its largest tables for ever.
fn give_back<V>(table: &mut HashMap<Sid, V>) {
    if table.is_empty() || table.capacity() > 4 * table.len().max(16) {
        table.shrink_to_fit();
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_twenty_characters_and_differ() {
        let (one, two) = (Sid::random(), Sid::random());
        assert_eq!(one.as_str().len(), 20);
        assert!(one != two);
        assert!(Sid::parse(one.as_str()) == Some(one));
        assert!(Sid::parse("__proto__").is_none());
    }

    #[test]
    fn the_table_of_many_sessions_is_not_kept_for_the_few_that_stay() {
        let sids: Vec<_> = (0..10_000).map(|_| Sid::random()).collect();
        let mut table: HashMap<_, _> = sids.iter().map(|sid| (*sid, ())).collect();
        for sid in &sids[100..] {
            table.remove(sid);
            give_back(&mut table);
        }
        assert!((100..1_000).contains(&table.capacity()), "{}", table.capacity());
        for sid in &sids {
            table.remove(sid);
            give_back(&mut table);
        }
        assert_eq!(table.capacity(), 0);
    }
}
