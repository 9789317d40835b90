//! The members of one room, in chunks that a snapshot shares.

use std::collections::HashMap;
use std::sync::Arc;

use manager_api::ack::ClientKey;

use super::Member;
use manager_api::tables::wastes_memory;

/// Maximum number of members in a chunk: the number copied by a join during a broadcast, and of recipients after which
/// a fan-out may yield.
pub(super) const CHUNK: usize = 256;

/// Number of members up to which they are scanned. Most rooms are smaller, and need no index.
const MAX_SCANNED: usize = 16;

/// A set of members with cheap snapshots.
///
/// All chunks except the last are full; removing a member moves the last member into its place.
pub(super) struct Members<C> {
    chunks: Vec<Arc<Vec<Member<C>>>>,
    /// The position of each member; `None` while there are few.
    #[expect(clippy::box_collection, reason = "a room without an index is to be small")]
    position: Option<Box<HashMap<ClientKey, u32>>>,
}

impl<C> Default for Members<C> {
    fn default() -> Self {
        Self {
            chunks: Vec::new(),
            position: None,
        }
    }
}

impl<C: Clone> Members<C> {
    pub(super) fn insert(&mut self, member: Member<C>) {
        if self.find(member.key).is_some() {
            return;
        }
        let at = self.len();
        if at == MAX_SCANNED && self.position.is_none() {
            self.position = Some(Box::new(self.index()));
        }
        if let Some(position) = &mut self.position {
            position.insert(member.key, as_u32(at));
        }
        if at.is_multiple_of(CHUNK) {
            // Most rooms have few members, many only one: nothing is reserved for more.
            self.chunks.reserve_exact(usize::from(at == 0));
            self.chunks.push(Arc::new(Vec::with_capacity(1)));
        }
        Arc::make_mut(&mut self.chunks[at / CHUNK]).push(member);
    }

    pub(super) fn remove(&mut self, key: ClientKey) {
        let Some(at) = self.find(key) else {
            return;
        };
        let last_chunk = self.chunks.last_mut().expect("a member stands in a chunk");
        let last = Arc::make_mut(last_chunk).pop().expect("the last chunk is not empty");
        if last_chunk.is_empty() {
            self.chunks.pop();
        }
        let last_key = last.key;
        if last_key != key {
            Arc::make_mut(&mut self.chunks[at / CHUNK])[at % CHUNK] = last;
        }
        let Some(position) = &mut self.position else {
            return;
        };
        position.remove(&key);
        if last_key != key {
            position.insert(last_key, as_u32(at));
        }
        if position.len() <= MAX_SCANNED / 2 {
            self.position = None;
        } else if wastes_memory(position.len(), position.capacity()) {
            position.shrink_to_fit();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    pub(super) fn snapshot(&self) -> Vec<Arc<Vec<Member<C>>>> {
        self.chunks.clone()
    }

    fn find(&self, key: ClientKey) -> Option<usize> {
        match &self.position {
            Some(position) => position.get(&key).map(|&at| at as usize),
            None => self.chunks.first()?.iter().position(|member| member.key == key),
        }
    }

    pub(super) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.len());
        self.chunks.len().saturating_sub(1) * CHUNK + last
    }

    fn index(&self) -> HashMap<ClientKey, u32> {
        let members = self.chunks.iter().flat_map(|chunk| chunk.iter());
        members
            .enumerate()
            .map(|(at, member)| (member.key, as_u32(at)))
            .collect()
    }
}

fn as_u32(at: usize) -> u32 {
    u32::try_from(at).expect("fewer than four thousand million clients on one host")
}
