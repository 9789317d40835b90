//! Who is in which room, and commands about clients.

use super::{Deliver, Hub, YIELD_EVERY};
use crate::{Change, Error, ErrorKind, Message, Namespace, Room, Selection, Sid};

impl<D: Deliver> Hub<D> {
    /// Puts a client of this host into a room; `false` if it is in there already.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the client is not here.
    pub fn enter(&self, namespace: &Namespace, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let has_entered = self.registry.enter(namespace, sid, room)?;
        if has_entered && let Some(client) = self.watched(namespace, sid) {
            self.deliver.entered(&client, room);
        }
        Ok(has_entered)
    }

    /// Takes a client of this host out of a room; `false` if it was not in there. It cannot leave its own.
    ///
    /// # Errors
    ///
    /// [`NotFound`](ErrorKind::NotFound) if the client is not here.
    pub fn leave(&self, namespace: &Namespace, sid: &Sid, room: &Room) -> Result<bool, Error> {
        let has_left = self.registry.leave(namespace, sid, room)?;
        if has_left && let Some(client) = self.watched(namespace, sid) {
            self.deliver.left(&client, room);
        }
        Ok(has_left)
    }

    fn watched(&self, namespace: &Namespace, sid: &Sid) -> Option<D::Client> {
        let is_watched = self.deliver.is_watched(namespace);
        is_watched.then(|| self.registry.get(namespace, sid))?
    }

    /// Carries out what concerns a client or room of this host. `true`: it was done here, nobody else need know.
    pub(super) async fn command_here(&self, message: &Message) -> bool {
        if self.deliver.command_connecting(message) {
            return true;
        }
        let done = match message {
            Message::EnterRoom { sid, room, namespace } => self.enter(namespace, sid, room).map(drop),
            Message::LeaveRoom { sid, room, namespace } => self.leave(namespace, sid, room).map(drop),
            Message::Disconnect { sid, namespace } => match self.registry.get(namespace, sid) {
                Some(client) => {
                    self.deliver.disconnect(&client);
                    Ok(())
                }
                None => Err(Error::new(ErrorKind::NotFound, "not connected here")),
            },
            Message::CloseRoom { room, namespace } => {
                self.close_room_here(namespace, room).await;
                return false;
            }
            Message::Members { clients, change } => {
                self.change_members(clients, change).await;
                return false;
            }
            // None of these is about clients.
            Message::Emit(_) | Message::Callback(_) | Message::Ask(_) | Message::Reply(_) => return false,
            Message::Hello | Message::Seek | Message::Here | Message::Bye => return false,
        };
        done.is_ok()
    }

    /// Does to the clients of this host what is to be done, and lets others run now and then.
    pub(super) async fn change_members(&self, clients: &Selection, change: &Change) {
        let namespace = &clients.namespace;
        let each = match change {
            Change::Join(rooms) | Change::Leave(rooms) => rooms.len().max(1),
            Change::Disconnect | Change::Close => 1,
        };
        let mut done = 0;
        for member in self.selected(clients).iter() {
            match change {
                // A client that left in the meantime is out of every room.
                Change::Join(rooms) => rooms
                    .iter()
                    .for_each(|room| drop(self.enter(namespace, &member.sid, room))),
                Change::Leave(rooms) => rooms
                    .iter()
                    .for_each(|room| drop(self.leave(namespace, &member.sid, room))),
                Change::Disconnect => self.deliver.disconnect(&member.handle),
                Change::Close => self.deliver.close(&member.handle),
            }
            done += each;
            if done >= YIELD_EVERY {
                done = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    async fn close_room_here(&self, namespace: &Namespace, room: &Room) {
        for (at, sid) in self.registry.members_of(namespace, room).iter().enumerate() {
            // A client that left in the meantime is out of the room, which is what was asked for.
            let _ = self.leave(namespace, sid, room);
            if at % YIELD_EVERY == YIELD_EVERY - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
}
