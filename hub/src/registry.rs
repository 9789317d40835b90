//! The registry of this host's clients and their rooms. A data structure: no I/O, no async.
//!
//! Optimised for reading: a broadcast takes a snapshot of a room in time proportional to its number of chunks, not of
//! its members, and holds no lock while it writes to them. Joins and leaves lock two of many shards and, while a
//! snapshot exists, copy one chunk.

mod limits;
mod members;
mod recipients;
mod shards;
mod small_set;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use manager_api::ack::ClientKey;
use manager_api::cluster::RoomInfo;
use manager_api::message::Target;
use manager_api::wire::RoomWatcher;
use manager_api::{Error, ErrorKind, NamespaceName, Room, Sid};

pub use limits::RoomLimits;
pub use recipients::{Member, Recipients};

pub(crate) use recipients::Selecting;
pub(crate) use small_set::SmallSet;

use members::Members;
use shards::{SHARDS, Shards};

/// The clients of this host, and their rooms. `C` is a cheap handle of a client, cloned per lookup.
///
/// Every client is in a room named by its own id. Methods may be called from any thread; none blocks for longer than
/// the copy of a chunk.
pub struct Registry<C> {
    clients: Shards<(NamespaceName, Sid), Client<C>>,
    rooms: Shards<(NamespaceName, Room), Members<C>>,
    /// All clients of a namespace, separate from the rooms so that the name of a room cannot collide with it.
    everyone: Shards<NamespaceName, Members<C>>,
    next_key: AtomicU64,
    /// Incremented after a client was removed, so that a snapshot can detect that it is outdated.
    num_removed: AtomicU64,
    limits: RoomLimits,
    /// Told which rooms have members, after the locks were released.
    watcher: Option<Arc<dyn RoomWatcher>>,
}

struct Client<C> {
    key: ClientKey,
    handle: C,
    rooms: SmallSet<Room>,
}

/// A client that has been removed.
#[derive(Debug)]
pub struct Removed<C> {
    /// Its handle.
    pub handle: C,
    /// The rooms it was in, its own first.
    pub rooms: Vec<Room>,
}

/// Room entries of a removed client that remain to be removed. Nothing is delivered because of them: the client is
/// closed.
#[derive(Debug)]
pub(crate) struct LeftBehind {
    namespace: NamespaceName,
    key: ClientKey,
    rooms: Vec<Room>,
}

impl LeftBehind {
    pub(crate) fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }
}

impl<C: Clone> Registry<C> {
    /// Creates an empty registry with the default [`RoomLimits`].
    pub fn new() -> Self {
        Self::with_limits(RoomLimits::default())
    }

    /// Creates an empty registry with limits.
    pub fn with_limits(limits: RoomLimits) -> Self {
        Self {
            clients: Shards::new(),
            rooms: Shards::new(),
            everyone: Shards::new(),
            next_key: AtomicU64::new(1),
            num_removed: AtomicU64::new(0),
            limits,
            watcher: None,
        }
    }

    /// Tells a watcher which rooms have members from now on.
    pub(crate) fn watched_by(mut self, watcher: Option<Arc<dyn RoomWatcher>>) -> Self {
        self.watcher = watcher;
        self
    }

    /// Adds a client to a namespace and returns its key.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the id is taken.
    pub fn add(&self, namespace: &NamespaceName, sid: &Sid, handle: C) -> Result<ClientKey, Error> {
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
            rooms: SmallSet::default(),
        };
        clients.insert((namespace.clone(), sid.clone()), client);
        // The client's shard stays locked, so that a concurrent removal sees both entries or
        // neither.
        let mut everyone = self.everyone.lock(namespace);
        everyone.entry(namespace.clone()).or_default().insert(Member {
            key,
            sid: sid.clone(),
            handle,
        });
        drop((everyone, clients));
        if let Some(watcher) = &self.watcher {
            watcher.client_changed(namespace, sid, true);
        }
        Ok(key)
    }

    /// Removes a client from its namespace and all its rooms; `None` if it is not registered.
    pub fn remove(&self, namespace: &NamespaceName, sid: &Sid) -> Option<Removed<C>> {
        let (removed, mut left) = self.begin_remove(namespace, sid)?;
        while !left.is_empty() {
            self.remove_some(&mut left);
        }
        Some(removed)
    }

    /// Removes a client from its namespace, and from some of its rooms. The caller must remove the remaining entries,
    /// and may yield to other tasks in between.
    pub(crate) fn begin_remove(&self, namespace: &NamespaceName, sid: &Sid) -> Option<(Removed<C>, LeftBehind)> {
        let id = (namespace.clone(), sid.clone());
        let client = self.clients.remove(&id)?;
        self.everyone.remove_member(namespace, client.key);
        self.num_removed.fetch_add(1, Ordering::Release);
        if let Some(watcher) = &self.watcher {
            watcher.client_changed(namespace, sid, false);
        }
        let entered = client.rooms.into_vec();
        let rooms = std::iter::once(sid.into()).chain(entered.iter().cloned()).collect();
        let mut left = LeftBehind {
            namespace: namespace.clone(),
            key: client.key,
            rooms: entered,
        };
        self.remove_some(&mut left);
        let handle = client.handle;
        Some((Removed { handle, rooms }, left))
    }

    /// Removes [`REMOVED_AT_ONCE`] entries.
    pub(crate) fn remove_some(&self, left: &mut LeftBehind) {
        let rest = left.rooms.len().saturating_sub(REMOVED_AT_ONCE);
        for room in left.rooms.drain(rest..) {
            self.remove_from_room((left.namespace.clone(), room), left.key);
        }
    }

    fn remove_from_room(&self, place: (NamespaceName, Room), key: ClientKey) {
        if self.rooms.remove_member(&place, key)
            && let Some(watcher) = &self.watcher
        {
            watcher.room_changed(&place.0, &place.1, false);
        }
    }

    /// Returns a client's handle.
    pub fn get(&self, namespace: &NamespaceName, sid: &Sid) -> Option<C> {
        let id = (namespace.clone(), sid.clone());
        self.clients.lock(&id).get(&id).map(|client| client.handle.clone())
    }

    /// Puts a client into a room; `false` if it is in there already.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the client is not registered, [`ErrorKind::TooLarge`] if a [limit](RoomLimits) does
    /// not allow it.
    pub fn enter(&self, namespace: &NamespaceName, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let id = (namespace.clone(), sid.clone());
        let mut clients = self.clients.lock(&id);
        let client = clients.get_mut(&id).ok_or_else(|| not_connected(sid))?;
        if is_own(room, sid) || client.rooms.contains(room) {
            return Ok(false);
        }
        self.limits.check(sid, client.rooms.len(), room)?;
        client.rooms.add(room.clone());
        let place = (namespace.clone(), room.clone());
        let member = Member {
            key: client.key,
            sid: sid.clone(),
            handle: client.handle.clone(),
        };
        // Lock order: the client's shard, then the room's. No code locks them in the other order.
        let mut rooms = self.rooms.lock(&place);
        let members = rooms.entry(place).or_default();
        let is_first = members.is_empty();
        members.insert(member);
        drop((rooms, clients));
        if is_first && let Some(watcher) = &self.watcher {
            watcher.room_changed(namespace, room, true);
        }
        Ok(true)
    }

    /// Removes a client from a room; `false` if it was not in there. It cannot leave its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] if the client is not registered.
    pub fn leave(&self, namespace: &NamespaceName, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let id = (namespace.clone(), sid.clone());
        let mut clients = self.clients.lock(&id);
        let client = clients.get_mut(&id).ok_or_else(|| not_connected(sid))?;
        if !client.rooms.remove(room) {
            return Ok(false);
        }
        // Under the client's lock, so that it does not enter the room again before it has left it.
        let key = client.key;
        let place = (namespace.clone(), room.clone());
        let is_empty = self.rooms.remove_member(&place, key);
        drop(clients);
        if is_empty && let Some(watcher) = &self.watcher {
            watcher.room_changed(namespace, room, false);
        }
        Ok(true)
    }

    /// Returns the rooms of a client, its own first; `None` if it is not registered.
    pub fn rooms_of(&self, namespace: &NamespaceName, sid: &Sid) -> Option<Vec<Room>> {
        let id = (namespace.clone(), sid.clone());
        let clients = self.clients.lock(&id);
        let client = clients.get(&id)?;
        Some(
            std::iter::once(sid.into())
                .chain(client.rooms.iter().cloned())
                .collect(),
        )
    }

    /// Returns the number of rooms of a client, its own not counted; 0 if it is not registered.
    pub(crate) fn num_rooms_of(&self, namespace: &NamespaceName, sid: &Sid) -> usize {
        let id = (namespace.clone(), sid.clone());
        self.clients.lock(&id).get(&id).map_or(0, |client| client.rooms.len())
    }

    /// Returns the members of a room in groups of a bounded size, without the client that the room is named by.
    pub(crate) fn entered(&self, namespace: &NamespaceName, room: &Room) -> Vec<Arc<Vec<Member<C>>>> {
        self.rooms.snapshot(&(namespace.clone(), room.clone()))
    }

    /// Takes a snapshot of the clients of `target`, without the clients of `skip` and the members of `except`.
    pub fn recipients(
        &self,
        namespace: &NamespaceName,
        target: &Target,
        skip: &[Sid],
        except: &[Room],
    ) -> Recipients<C> {
        let mut selecting = Selecting::start(self, namespace, target, skip, except);
        while !selecting.step(usize::MAX) {}
        selecting.finish()
    }

    /// Returns whether all members of a snapshot are still registered. May return `false` although they are, after other
    /// clients were removed. One atomic load.
    pub(crate) fn is_current(&self, recipients: &Recipients<C>) -> bool {
        self.num_removed.load(Ordering::Acquire) == recipients.num_removed
    }

    /// Returns whether a member of a snapshot has been removed since it was taken.
    pub(crate) fn is_removed(&self, namespace: &NamespaceName, member: &Member<C>) -> bool {
        let id = (namespace.clone(), member.sid.clone());
        let clients = self.clients.lock(&id);
        clients.get(&id).is_none_or(|client| client.key != member.key)
    }

    /// Returns the number of clients in a namespace.
    pub fn num_clients(&self, namespace: &NamespaceName) -> usize {
        self.everyone.snapshot(namespace).iter().map(|chunk| chunk.len()).sum()
    }

    /// Adds the rooms of one of [`ROOM_PARTS`] parts of the registry to `found`: those of a namespace whose names start
    /// with `prefix`. Returns the number of rooms that were read.
    pub(crate) fn rooms_in_part(
        &self,
        part: usize,
        namespace: &NamespaceName,
        prefix: &str,
        found: &mut Vec<RoomInfo>,
    ) -> usize {
        self.rooms.for_each_in(part, |(in_namespace, room), members| {
            if in_namespace == namespace && room.as_str().starts_with(prefix) {
                found.push(RoomInfo {
                    room: room.clone(),
                    clients: members.len() as u64,
                });
            }
        })
    }

    /// Returns the total numbers of clients and rooms; own rooms do not count.
    pub fn size(&self) -> (usize, usize) {
        (self.clients.len(), self.rooms.len())
    }

    fn key_of(&self, namespace: &NamespaceName, sid: &Sid) -> Option<ClientKey> {
        let id = (namespace.clone(), sid.clone());
        self.clients.lock(&id).get(&id).map(|client| client.key)
    }

    /// Returns the members of one room, including the client that it is named by.
    fn members(&self, namespace: &NamespaceName, room: &Room) -> Vec<Arc<Vec<Member<C>>>> {
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

/// The number of parts in which [`Registry::rooms_in_part`] lists all rooms.
pub(crate) const ROOM_PARTS: usize = SHARDS;

/// Rooms of one client that are removed without yielding to other tasks: some tenths of a millisecond.
pub(crate) const REMOVED_AT_ONCE: usize = 1_024;

fn is_own(room: &Room, sid: &Sid) -> bool {
    !room.is_number() && room.as_str() == sid.as_str()
}

fn not_connected(sid: &Sid) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("client {sid} is not connected to this server"),
    )
}

#[cfg(test)]
mod tests;
