//! Who is in which room on this host. A data structure: no I/O, no async.
//!
//! Built for reading: a broadcast takes a snapshot of a room in time proportional to its number of chunks, not of its members, and
//! holds no lock while it writes to them. Joins and leaves touch two of many shards and, if a snapshot is out, copy one chunk.

mod members;
mod shards;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use members::Members;
use shards::Shards;

use crate::{Error, ErrorKind, Namespace, Room, Sid, Target};

/// Tells one client of this host from another, for as long as the host lives.
pub type ClientKey = u64;

/// The clients of this host, and their rooms. `C` is a cheap handle of a client, cloned per lookup.
///
/// Every client is in a room named by its own id. Methods may be called from any thread; none waits for longer than a chunk is
/// copied.
pub struct Registry<C> {
    clients: Shards<(Namespace, Sid), Client<C>>,
    rooms: Shards<(Namespace, Room), Members<C>>,
    /// Everybody in a namespace, apart from the rooms so that no name of a room can collide with it.
    everyone: Shards<Namespace, Members<C>>,
    next_key: AtomicU64,
    /// Grows after a client was removed, so that a snapshot can tell whether it is still true.
    num_removed: AtomicU64,
}

struct Client<C> {
    key: ClientKey,
    handle: C,
    rooms: Vec<Room>,
}

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

/// The members of some rooms at one moment, without duplicates.
#[derive(Clone, Debug)]
pub struct Recipients<C> {
    chunks: Vec<Arc<Vec<Member<C>>>>,
    skip: HashSet<ClientKey>,
    /// How many clients had been removed before the snapshot was taken.
    num_removed: u64,
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

impl<C: Clone> Registry<C> {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self {
            clients: Shards::new(),
            rooms: Shards::new(),
            everyone: Shards::new(),
            next_key: AtomicU64::new(1),
            num_removed: AtomicU64::new(0),
        }
    }

    /// Adds a client to a namespace and returns its key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the id is taken.
    pub fn add(&self, namespace: &Namespace, sid: &Sid, handle: C) -> Result<ClientKey, Error> {
        let key = self.next_key.fetch_add(1, Ordering::Relaxed);
        let mut clients = self.clients.lock(&(namespace.clone(), sid.clone()));
        if clients.contains_key(&(namespace.clone(), sid.clone())) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("client {sid} is registered already"),
            ));
        }
        let client = Client {
            key,
            handle: handle.clone(),
            rooms: Vec::new(),
        };
        clients.insert((namespace.clone(), sid.clone()), client);
        // The client's shard stays locked: whoever removes the client finds it here first.
        let mut everyone = self.everyone.lock(namespace);
        everyone.entry(namespace.clone()).or_default().insert(Member {
            key,
            sid: sid.clone(),
            handle,
        });
        Ok(key)
    }

    /// Removes a client from its namespace and all its rooms; `None` if it is not here.
    pub fn remove(&self, namespace: &Namespace, sid: &Sid) -> Option<C> {
        let id = (namespace.clone(), sid.clone());
        let client = self.clients.remove(&id)?;
        for room in client.rooms {
            self.rooms.remove_member((namespace.clone(), room), client.key);
        }
        self.everyone.remove_member(namespace.clone(), client.key);
        self.num_removed.fetch_add(1, Ordering::Release);
        Some(client.handle)
    }

    /// Returns a client's handle.
    pub fn get(&self, namespace: &Namespace, sid: &Sid) -> Option<C> {
        let id = (namespace.clone(), sid.clone());
        self.clients.lock(&id).get(&id).map(|client| client.handle.clone())
    }

    /// Puts a client into a room; `false` if it is in there already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the client is not here.
    pub fn enter(&self, namespace: &Namespace, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let id = (namespace.clone(), sid.clone());
        let mut clients = self.clients.lock(&id);
        let client = clients.get_mut(&id).ok_or_else(|| not_here(sid))?;
        if is_own(room, sid) || client.rooms.contains(room) {
            return Ok(false);
        }
        client.rooms.push(room.clone());
        let place = (namespace.clone(), room.clone());
        let member = Member {
            key: client.key,
            sid: sid.clone(),
            handle: client.handle.clone(),
        };
        // Lock order: the client's shard, then the room's. Nobody takes them the other way round.
        self.rooms.lock(&place).entry(place).or_default().insert(member);
        Ok(true)
    }

    /// Takes a client out of a room; `false` if it was not in there. It cannot leave its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the client is not here.
    pub fn leave(&self, namespace: &Namespace, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let id = (namespace.clone(), sid.clone());
        let mut clients = self.clients.lock(&id);
        let client = clients.get_mut(&id).ok_or_else(|| not_here(sid))?;
        let Some(at) = client.rooms.iter().position(|other| other == room) else {
            return Ok(false);
        };
        client.rooms.swap_remove(at);
        client.rooms.shrink_to_fit();
        self.rooms.remove_member((namespace.clone(), room.clone()), client.key);
        Ok(true)
    }

    /// Returns the rooms of a client, its own first; `None` if it is not here.
    pub fn rooms_of(&self, namespace: &Namespace, sid: &Sid) -> Option<Vec<Room>> {
        let id = (namespace.clone(), sid.clone());
        let clients = self.clients.lock(&id);
        let client = clients.get(&id)?;
        Some(
            std::iter::once(sid.into())
                .chain(client.rooms.iter().cloned())
                .collect(),
        )
    }

    /// Returns the ids of those that were put into a room; the client that it is named by is not among them.
    pub fn members_of(&self, namespace: &Namespace, room: &Room) -> Vec<Sid> {
        let chunks = self.rooms.snapshot(&(namespace.clone(), room.clone()));
        chunks
            .iter()
            .flat_map(|chunk| chunk.iter())
            .map(|member| member.sid.clone())
            .collect()
    }

    /// Takes a snapshot of those meant by `target`, without the clients of `skip` and the members of `except`.
    pub fn recipients(&self, namespace: &Namespace, target: &Target, skip: &[Sid], except: &[Room]) -> Recipients<C> {
        let num_removed = self.num_removed.load(Ordering::Acquire);
        let chunks = match target {
            Target::Everyone => self.everyone.snapshot(namespace),
            Target::Rooms(rooms) if rooms.len() == 1 => self.members(namespace, &rooms[0]),
            Target::Rooms(rooms) => vec![Arc::new(self.union(namespace, rooms))],
        };
        // A client alone, whoever was put into the room that it is named by.
        let mut skip: HashSet<_> = skip.iter().filter_map(|sid| self.key_of(namespace, sid)).collect();
        for chunk in except.iter().flat_map(|room| self.members(namespace, room)) {
            skip.extend(chunk.iter().map(|member| member.key));
        }
        Recipients {
            chunks,
            skip,
            num_removed,
        }
    }

    /// Returns those of a snapshot who have been removed since it was taken. Costs next to nothing where nobody was.
    pub fn gone<'a>(&self, namespace: &Namespace, recipients: &'a Recipients<C>) -> Vec<&'a Member<C>> {
        if self.num_removed.load(Ordering::Acquire) == recipients.num_removed {
            return Vec::new();
        }
        let is_gone = |member: &&Member<C>| {
            let id = (namespace.clone(), member.sid.clone());
            let clients = self.clients.lock(&id);
            clients.get(&id).is_none_or(|client| client.key != member.key)
        };
        recipients.iter().filter(is_gone).collect()
    }

    /// Returns the number of clients in a namespace.
    pub fn num_clients(&self, namespace: &Namespace) -> usize {
        self.everyone.snapshot(namespace).iter().map(|chunk| chunk.len()).sum()
    }

    /// Returns how many clients and how many rooms there are in all; own rooms do not count.
    pub fn size(&self) -> (usize, usize) {
        (self.clients.len(), self.rooms.len())
    }

    fn key_of(&self, namespace: &Namespace, sid: &Sid) -> Option<ClientKey> {
        let id = (namespace.clone(), sid.clone());
        self.clients.lock(&id).get(&id).map(|client| client.key)
    }

    /// The members of one room, the client that it is named by included.
    fn members(&self, namespace: &Namespace, room: &Room) -> Vec<Arc<Vec<Member<C>>>> {
        let mut chunks = self.rooms.snapshot(&(namespace.clone(), room.clone()));
        let id = (namespace.clone(), Sid::from(room.as_str()));
        let owner = self.clients.lock(&id).get(&id).map(|client| Member {
            key: client.key,
            sid: id.1.clone(),
            handle: client.handle.clone(),
        });
        chunks.extend(owner.filter(|_| !room.is_number()).map(|owner| Arc::new(vec![owner])));
        chunks
    }

    fn union(&self, namespace: &Namespace, rooms: &[Room]) -> Vec<Member<C>> {
        let mut seen = HashSet::new();
        let mut union = Vec::new();
        for chunk in rooms.iter().flat_map(|room| self.members(namespace, room)) {
            union.extend(chunk.iter().filter(|member| seen.insert(member.key)).cloned());
        }
        union
    }
}

impl<C: Clone> Default for Registry<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Registry<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

fn is_own(room: &Room, sid: &Sid) -> bool {
    !room.is_number() && room.as_str() == sid.as_str()
}

fn not_here(sid: &Sid) -> Error {
    Error::new(ErrorKind::NotFound, format!("client {sid} is not connected here"))
}

#[cfg(test)]
mod tests;
