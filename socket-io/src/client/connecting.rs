//! The table of clients whose connect handlers run: no room and no list knows them yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use manager_api::lock::Unpoisoned;
use manager_api::message::Message;
use manager_api::tables::wastes_memory;
use manager_api::{Error, ErrorKind, NamespaceName, Sid};

use super::recipient::Recipient;

/// Lets commands find a client by its id before it is accepted, as its connect handler may give some.
pub(crate) struct Connecting<C>(Mutex<HashMap<Sid, Weak<C>>>);

impl<C> Default for Connecting<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C> std::fmt::Debug for Connecting<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connecting").finish_non_exhaustive()
    }
}

impl<C: Recipient> Connecting<C> {
    pub(crate) fn insert(&self, client: &Arc<C>) {
        self.clients().insert(client.sid().clone(), Arc::downgrade(client));
    }

    /// Forgets a client that was accepted, which others find by now, or is gone.
    pub(super) fn remove(&self, sid: &Sid) {
        let mut clients = self.clients();
        clients.remove(sid);
        if wastes_memory(clients.len(), clients.capacity()) {
            clients.shrink_to_fit();
        }
    }

    /// Carries out a command about such a client; `None` if there is none.
    pub(super) fn command(&self, message: &Message) -> Option<Result<(), Error>> {
        match message {
            Message::EnterRoom { sid, room, namespace } => {
                let client = self.get(namespace, sid)?;
                found(client.enter(room.clone()))
            }
            Message::LeaveRoom { sid, room, namespace } => {
                let client = self.get(namespace, sid)?;
                found(client.leave(room))
            }
            Message::Disconnect { sid, namespace } => {
                self.get(namespace, sid)?.disconnect();
                Some(Ok(()))
            }
            _ => None,
        }
    }

    fn get(&self, namespace: &NamespaceName, sid: &Sid) -> Option<Arc<C>> {
        let client = self.clients().get(sid).and_then(Weak::upgrade)?;
        (client.namespace() == namespace).then_some(client)
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Sid, Weak<C>>> {
        self.0.lock().unpoisoned()
    }
}

/// A client that has left in the meantime is none.
fn found(done: Result<(), Error>) -> Option<Result<(), Error>> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        done => Some(done),
    }
}
