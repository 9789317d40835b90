//! Clients whose connect handlers run: no room and no list knows them yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use manager_api::message::Message;
use manager_api::{Error, ErrorKind, NamespaceName, Sid};

use super::Client;

/// Lets commands find a client by its id before it is accepted, as its connect handler may give some.
#[derive(Debug, Default)]
pub(crate) struct Connecting(Mutex<HashMap<Sid, Weak<Client>>>);

impl Connecting {
    pub(crate) fn insert(&self, client: &Arc<Client>) {
        self.clients().insert(client.sid.clone(), Arc::downgrade(client));
    }

    /// Forgets a client that was accepted, which others find by now, or is gone.
    pub(super) fn remove(&self, sid: &Sid) {
        let mut clients = self.clients();
        clients.remove(sid);
        if clients.capacity() > 64 && clients.len() < clients.capacity() / 4 {
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

    fn get(&self, namespace: &NamespaceName, sid: &Sid) -> Option<Arc<Client>> {
        let client = self.clients().get(sid).and_then(Weak::upgrade)?;
        (client.namespace.name == *namespace).then_some(client)
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<Sid, Weak<Client>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that has left in the meantime is none.
fn found(done: Result<(), Error>) -> Option<Result<(), Error>> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        done => Some(done),
    }
}
