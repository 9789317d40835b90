//! Whoever looks on at what clients do, without a say in it.

use std::sync::Arc;

use manager_api::{NamespaceName, Payload, Room};

use crate::client::Client;
use crate::error::DisconnectReason;

/// Is told what happens. Nothing here may block or panic: it runs where it happens, some of it under a client's lock.
///
/// All but the first three methods and the last are only called for namespaces that are [watched](Self::watches).
pub(crate) trait Observe: Send + Sync {
    /// Tells whether the clients of a namespace are looked at now.
    fn watches(&self, namespace: &NamespaceName) -> bool;

    /// A client was accepted. Called for every client.
    fn connected(&self, client: &Arc<Client>);

    /// A client that had been accepted is gone; `rooms` are those it was in, if the namespace is watched. Called for every client.
    fn disconnected(&self, client: &Client, reason: DisconnectReason, rooms: &[Room]);

    /// The connection of a client moved to a WebSocket.
    fn upgraded(&self, client: &Client);

    /// A client entered a room after it was accepted.
    fn entered(&self, client: &Client, room: &Room);

    /// A client left a room, but not because it is gone.
    fn left(&self, client: &Client, room: &Room);

    /// A client emitted an event.
    fn received(&self, client: &Client, event: &str, payload: &Payload);

    /// A client was handed an event.
    fn sent(&self, client: &Client, event: &str, payload: &Payload);

    /// Returns how much was left out of what should have been told.
    fn num_dropped(&self) -> u64;
}

/// Who looks on at a server, if anybody does.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<dyn Observe>>);

impl Observer {
    #[cfg(feature = "admin")]
    pub(crate) fn new(observe: Arc<dyn Observe>) -> Self {
        Self(Some(observe))
    }

    /// Tells whether there is an observer.
    pub(crate) fn is_present(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whoever is to be told of every client.
    pub(crate) fn of_all(&self) -> Option<&dyn Observe> {
        self.0.as_deref()
    }

    /// Returns whoever is to be told of the clients of a namespace now.
    pub(crate) fn of(&self, namespace: &NamespaceName) -> Option<&dyn Observe> {
        self.of_all().filter(|observe| observe.watches(namespace))
    }
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
