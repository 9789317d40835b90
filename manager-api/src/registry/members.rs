//! The members of one room, in chunks that a snapshot shares.

use std::collections::HashMap;
use std::sync::Arc;

use super::{ClientKey, Member};

/// How many members a chunk holds at most: what a join copies while a broadcast is under way, and after how many recipients a
/// fan-out may yield.
const CHUNK: usize = 256;

/// A set of members with cheap snapshots.
///
/// The chunks are full but for the last; removing a member moves the last one into its place.
pub(super) struct Members<C> {
    chunks: Vec<Arc<Vec<Member<C>>>>,
    position: HashMap<ClientKey, u32>,
}

impl<C> Default for Members<C> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            position: HashMap::new(),
        }
    }
}

impl<C: Clone> Members<C> {
    pub(super) fn insert(&mut self, member: Member<C>) {
        let at = self.position.len();
        if self.position.contains_key(&member.key) {
            return;
        }
        let at_u32 = u32::try_from(at).expect("fewer than four thousand million clients on one host");
        self.position.insert(member.key, at_u32);
        if at.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new(Vec::new()));
        }
        Arc::make_mut(&mut self.chunks[at / CHUNK]).push(member);
    }

    pub(super) fn remove(&mut self, key: ClientKey) {
        let Some(at) = self.position.remove(&key) else {
            return;
        };
        let last_chunk = self.chunks.last_mut().expect("a member stands in a chunk");
        let last = Arc::make_mut(last_chunk).pop().expect("the last chunk is not empty");
        if last_chunk.is_empty() {
            self.chunks.pop();
        }
        if last.key != key {
            self.position.insert(last.key, at);
            let at = at as usize;
            Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK] = last;
        }
        if self.position.capacity() > 4 * self.position.len().max(16) {
            self.position.shrink_to_fit();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.position.is_empty()
    }

    pub(super) fn snapshot(&self) -> Vec<Arc<Vec<Member<C>>>> {
        self.chunks.clone()
    }
}
