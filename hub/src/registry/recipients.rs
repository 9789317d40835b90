//! The clients that an event is for.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use manager_api::ack::ClientKey;
use manager_api::message::Target;
use manager_api::{NamespaceName, Room, Sid};

use super::Registry;
use super::members::CHUNK;

/// A client in the room, as a snapshot holds it.
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
    /// How many clients had been removed before the snapshot was taken.
    pub(super) num_removed: u64,
}

impl<C> Recipients<C> {
    /// Returns the members in groups of a bounded size, between which a long fan-out may yield.
    pub fn chunks(&self) -> impl Iterator<Item = impl Iterator<Item = &Member<C>>> {
        let wanted = |member: &&Member<C>| self.skip.is_empty() || !self.skip.contains(&member.key);
        self.chunks.iter().map(move |chunk| chunk.iter().filter(wanted))
    }

    /// Returns all members.
    pub fn iter(&self) -> impl Iterator<Item = &Member<C>> {
        self.chunks().flatten()
    }

    /// Tells whether nobody is meant.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

/// A selection of recipients that is taken step by step: whoever names the rooms decides how many steps it takes.
pub(crate) struct Selecting<'a, C> {
    registry: &'a Registry<C>,
    namespace: &'a NamespaceName,
    /// Rooms whose members are to be united; none if the chunks are known already.
    rooms: std::slice::Iter<'a, Room>,
    skip: std::slice::Iter<'a, Sid>,
    except: std::slice::Iter<'a, Room>,
    /// What is left of the room whose members are being added.
    open: Vec<Chunk<C>>,
    /// What is left of the room whose members are being excluded.
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

    /// Looks at about `budget` rooms and members; tells whether all were looked at.
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

    /// Adds a chunk of a room, or goes on to the next room; `None` if all were added. Returns what it cost.
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

    /// Skips a client alone, whoever was put into the room that it is named by.
    fn skip_one(&mut self) -> Option<usize> {
        let key = self.registry.key_of(self.namespace, self.skip.next()?);
        self.found.skip.extend(key);
        Some(1)
    }

    /// Excludes a chunk of a room, or goes on to the next one.
    fn exclude(&mut self) -> Option<usize> {
        let Some(chunk) = self.excluded.pop() else {
            self.excluded = self.registry.members(self.namespace, self.except.next()?);
            return Some(1);
        };
        self.found.skip.extend(chunk.iter().map(|member| member.key));
        Some(chunk.len())
    }
}
