//! Rooms of clients, and commands about clients.

use std::sync::Arc;

use manager_api::ack::ClientKey;
use manager_api::cluster::{Change, Selection};
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::Message;
use manager_api::turn::Turn;
use manager_api::{Error, ErrorKind, NamespaceName, Room, Sid};

use super::Hub;
use super::metrics::Counters;
use crate::deliver::{Deliver, Observer};
use crate::registry::{LeftBehind, REMOVED_AT_ONCE};

/// Steps counted for the end of a client, in addition to its rooms and pending events.
const CLOSE_COST: usize = 16;

/// The entries of a removed client that are not removed yet.
struct Rest {
    sid: Sid,
    key: ClientKey,
    rooms: Option<LeftBehind>,
}

impl<D: Deliver> Hub<D> {
    /// Puts a client of this host into a room; `false` if it is in there already.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the client is not on this host, [`TooLarge`](ErrorKind::TooLarge) if it is
    /// in as many rooms as [allowed](crate::HubOptions::max_rooms_per_client) or the name of the room is too long.
    pub fn enter(&self, namespace: &NamespaceName, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let has_entered = self.registry.enter(namespace, sid, room)?;
        if has_entered && let Some((observer, client)) = self.observed(namespace, sid) {
            observer.entered(&client, room);
        }
        Ok(has_entered)
    }

    /// Removes a client of this host from a room; `false` if it was not in there. It cannot leave its own.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the client is not on this host.
    pub fn leave(&self, namespace: &NamespaceName, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let has_left = self.registry.leave(namespace, sid, room)?;
        if has_left && let Some((observer, client)) = self.observed(namespace, sid) {
            observer.left(&client, room);
        }
        Ok(has_left)
    }

    fn observed(&self, namespace: &NamespaceName, sid: &Sid) -> Option<(&dyn Observer<D::Client>, D::Client)> {
        let observer = self.observer(namespace)?;
        Some((observer, self.registry.get(namespace, sid)?))
    }

    /// Carries out a command on the clients and rooms of this host. Returns whether it is complete and need not be
    /// published.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](ErrorKind::TooLarge) if the client is on this host and a limit does not allow it to enter the room.
    pub(super) async fn command_local(&self, message: &Message) -> Result<bool, Error> {
        if let Some(done) = self.deliver.command_connecting(message) {
            return done.map(|()| true);
        }
        let done = match message {
            Message::EnterRoom { sid, room, namespace } => self.enter(namespace, sid, room).map(drop),
            Message::LeaveRoom { sid, room, namespace } => self.leave(namespace, sid, room).map(drop),
            Message::Disconnect { sid, namespace } => match self.registry.get(namespace, sid) {
                Some(client) => {
                    self.deliver.disconnect(&client);
                    Ok(())
                }
                None => return Ok(false),
            },
            Message::CloseRoom { room, namespace } => {
                self.close_room_local(namespace, room).await;
                return Ok(false);
            }
            Message::Members { clients, change } => {
                self.change_members(clients, change).await;
                return Ok(false);
            }
            // Other messages do not concern clients.
            _ => return Ok(false),
        };
        match done {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            done => done.map(|()| true),
        }
    }

    /// Carries out a command of another process.
    pub(super) async fn command_remote(&self, message: &Message) {
        if let Err(error) = self.command_local(message).await {
            self.refused_rooms(1, &error);
        }
    }

    /// Counts and logs rooms that a limit did not allow a client to enter, where no caller receives the error.
    fn refused_rooms(&self, count: usize, error: &Error) {
        static REFUSED: LimitedLog = LimitedLog::new();
        Counters::add_many(&self.counters.rooms_refused, count);
        if let Some(suppressed) = REFUSED.pass() {
            let error = Escaped(error);
            quietly(|| tracing::warn!(suppressed, ?error, count, "a command did not put a client into a room"));
        }
    }

    /// Applies a change to the selected clients of this host, and yields to other tasks in between.
    pub(super) async fn change_members(&self, clients: &Selection, change: &Change) {
        let namespace = &clients.namespace;
        let mut turn = Turn::default();
        for member in self.selected(clients).await.iter() {
            match change {
                Change::Join(rooms) => self.enter_all(namespace, &member.sid, rooms, &mut turn).await,
                // A client that left in the meantime is out of every room.
                Change::Leave(rooms) => {
                    for room in rooms {
                        let _ = self.leave(namespace, &member.sid, room);
                        turn.spend(1).await;
                    }
                }
                Change::Disconnect | Change::Close => {
                    let num_rooms = self.registry.num_rooms_of(namespace, &member.sid);
                    let cost = num_rooms.min(REMOVED_AT_ONCE) + self.acks.num_of(member.key) + CLOSE_COST;
                    match change {
                        Change::Disconnect => self.deliver.disconnect(&member.handle),
                        _ => self.deliver.close(&member.handle),
                    }
                    turn.spend(cost).await;
                }
            }
            turn.spend(1).await;
        }
    }

    async fn enter_all(&self, namespace: &NamespaceName, sid: &Sid, rooms: &[Room], turn: &mut Turn) {
        for (at, room) in rooms.iter().enumerate() {
            turn.spend(1).await;
            match self.enter(namespace, sid, room) {
                Err(error) if error.kind() == ErrorKind::TooLarge => {
                    return self.refused_rooms(rooms.len() - at, &error);
                }
                // A client that left in the meantime is out of every room.
                Err(_) => return,
                Ok(_) => {}
            }
        }
    }

    async fn close_room_local(&self, namespace: &NamespaceName, room: &Room) {
        let mut turn = Turn::default();
        let chunks = self.registry.entered(namespace, room);
        for member in chunks.iter().flat_map(|chunk| chunk.iter()) {
            // A client that left in the meantime is out of the room already.
            let _ = self.leave(namespace, &member.sid, room);
            turn.spend(1).await;
        }
    }

    /// Removes a disconnected client from its namespace and rooms, and stops waiting for its acknowledgements. Returns
    /// the rooms it was in.
    ///
    /// For a client with many rooms or pending events, most entries are removed later by a task, so that the caller is
    /// not blocked.
    pub fn remove(self: &Arc<Self>, namespace: &NamespaceName, sid: &Sid, key: ClientKey) -> Vec<Room> {
        let (removed, left) = self.registry.begin_remove(namespace, sid).unzip();
        let rest = Rest {
            sid: sid.clone(),
            key,
            rooms: left.filter(|left| !left.is_empty()),
        };
        self.forget_acks(&rest);
        if rest.rooms.is_some() || self.acks.num_of(key) > 0 {
            self.remove_rest(rest);
        }
        removed.map(|removed| removed.rooms).unwrap_or_default()
    }

    /// Stops waiting for some acknowledgements of a client; `false` if it has no pending events left.
    fn forget_acks(&self, rest: &Rest) -> bool {
        let missing = self.acks.forget_some(rest.key);
        let has_any = missing.is_some();
        for missing in missing.into_iter().flatten() {
            self.report_missing_ack(missing, &rest.sid);
        }
        has_any
    }

    /// Removes some more entries; `false` if none were left.
    fn remove_some(&self, rest: &mut Rest) -> bool {
        match rest.rooms.as_mut().filter(|left| !left.is_empty()) {
            Some(left) => {
                self.registry.remove_some(left);
                true
            }
            None => self.forget_acks(rest),
        }
    }

    fn remove_rest(self: &Arc<Self>, mut rest: Rest) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            // A thread outside of the runtime, which may block.
            while self.remove_some(&mut rest) {}
            return;
        };
        let hub = self.clone();
        runtime.spawn(async move {
            while hub.remove_some(&mut rest) {
                tokio::task::yield_now().await;
            }
        });
    }
}
