//! The recipients of an event, and their selection from the registry.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use manager_api::ack::ClientKey;
use manager_api::message::Target;
use manager_api::{NamespaceName, Room, Sid};

use super::Registry;
use super::members::CHUNK;

/// A member of a room in a snapshot.
#[derive(Clone, Debug)]
pub struct Member<C> {
    /// Its key in this registry.
    pub key: ClientKey,
    /// Its id.
    pub sid: Sid,
    /// Its handle.
    pub handle: C,
}

type Chunk<C> = Arc<Vec<Member<C>>>;

/// The members of some rooms at one moment, without duplicates.
#[derive(Clone, Debug)]
pub struct Recipients<C> {
    chunks: Vec<Chunk<C>>,
    skip: HashSet<ClientKey>,
    /// The number of clients removed before the snapshot was taken.
    pub(super) num_removed: u64,
}

impl<C> Recipients<C> {
    /// Returns no recipients.
    pub(crate) fn none() -> Self {
        Self {
            chunks: Vec::new(),
            skip: HashSet::new(),
            num_removed: 0,
        }
    }

    /// Returns the members in groups of a bounded size, between which a long fan-out may yield.
    pub fn chunks(&self) -> impl Iterator<Item = impl Iterator<Item = &Member<C>>> {
        let wanted = |member: &&Member<C>| self.skip.is_empty() || !self.skip.contains(&member.key);
        self.chunks.iter().map(move |chunk| chunk.iter().filter(wanted))
    }

    /// Returns all members.
    pub fn iter(&self) -> impl Iterator<Item = &Member<C>> {
        self.chunks().flatten()
    }

    /// Returns whether there are no recipients.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// A selection of recipients in steps of bounded cost: the sender of a message controls how many rooms it names.
pub(crate) struct Selecting<'a, C> {
    registry: &'a Registry<C>,
    namespace: &'a NamespaceName,
    /// Rooms whose members are to be united; empty if the chunks are known already.
    rooms: std::slice::Iter<'a, Room>,
    skip: std::slice::Iter<'a, Sid>,
    except: std::slice::Iter<'a, Room>,
    /// The remaining chunks of the room whose members are being added.
    open: Vec<Chunk<C>>,
    /// The remaining chunks of the room whose members are being excluded.
    excluded: Vec<Chunk<C>>,
    seen: HashSet<ClientKey>,
    last_chunk: Vec<Member<C>>,
    found: Recipients<C>,
}

impl<'a, C: Clone> Selecting<'a, C> {
    pub(crate) fn start(
        registry: &'a Registry<C>,
        namespace: &'a NamespaceName,
        target: &'a Target,
        skip: &'a [Sid],
        except: &'a [Room],
    ) -> Self {
        let num_removed = registry.num_removed.load(Ordering::Acquire);
        let (chunks, rooms) = match target {
            Target::Everyone => (registry.everyone.snapshot(namespace), &[][..]),
            Target::Rooms(rooms) if rooms.len() == 1 => (registry.members(namespace, &rooms[0]), &[][..]),
            Target::Rooms(rooms) => (Vec::new(), &rooms[..]),
        };
        Self {
            registry,
            namespace,
            rooms: rooms.iter(),
            skip: skip.iter(),
            except: except.iter(),
            open: Vec::new(),
            excluded: Vec::new(),
            seen: HashSet::new(),
            last_chunk: Vec::new(),
            found: Recipients {
                chunks,
                skip: HashSet::new(),
                num_removed,
            },
        }
    }

    /// Processes about `budget` rooms and members; returns whether the selection is complete.
    pub(crate) fn step(&mut self, budget: usize) -> bool {
        let mut left = budget;
        while left > 0 {
            let Some(cost) = self.unite().or_else(|| self.skip_one()).or_else(|| self.exclude()) else {
                return true;
            };
            left = left.saturating_sub(cost);
        }
        false
    }

    pub(crate) fn finish(mut self) -> Recipients<C> {
        if !self.last_chunk.is_empty() {
            self.found.chunks.push(Arc::new(self.last_chunk));
        }
        self.found
    }

    /// Adds a chunk of a room, or advances to the next room. Returns the cost; `None` if all were added.
    fn unite(&mut self) -> Option<usize> {
        let Some(chunk) = self.open.pop() else {
            self.open = self.registry.members(self.namespace, self.rooms.next()?);
            return Some(1);
        };
        for member in chunk.iter() {
            if self.seen.insert(member.key) {
                self.add(member);
            }
        }
        Some(chunk.len())
    }

    fn add(&mut self, member: &Member<C>) {
        self.last_chunk.push(member.clone());
        if self.last_chunk.len() == CHUNK {
            self.found.chunks.push(Arc::new(std::mem::take(&mut self.last_chunk)));
        }
    }

    /// Skips a single client, but not other members of the room that it is named by.
    fn skip_one(&mut self) -> Option<usize> {
        let key = self.registry.key_of(self.namespace, self.skip.next()?);
        self.found.skip.extend(key);
        Some(1)
    }

    /// Excludes a chunk of a room, or advances to the next room. Returns the cost; `None` if all were excluded.
    fn exclude(&mut self) -> Option<usize> {
        let Some(chunk) = self.excluded.pop() else {
            self.excluded = self.registry.members(self.namespace, self.except.next()?);
            return Some(1);
        };
        self.found.skip.extend(chunk.iter().map(|member| member.key));
        Some(chunk.len())
    }
}
