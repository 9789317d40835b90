//! The observer of what clients do, used by the Admin UI.

use std::sync::Arc;

use manager_api::{NamespaceName, Payload, Room};

use crate::error::DisconnectReason;

/// Observer of clients of a type `C`. No method may block or panic: it runs where it happens, some of it under a client's lock.
///
/// All but the first three methods and the last are only called for namespaces that are [watched](Self::watches).
pub(crate) trait Observe<C>: Send + Sync {
    /// Tells whether the clients of a namespace are looked at now.
    fn watches(&self, namespace: &NamespaceName) -> bool;

    /// A client was accepted. Called for every client.
    fn connected(&self, client: &Arc<C>);

    /// A client that had been accepted is gone; `rooms` are those it was in, if the namespace is watched. Called for every client.
    fn disconnected(&self, client: &C, reason: DisconnectReason, rooms: &[Room]);

    /// The connection of a client moved to a WebSocket.
    fn upgraded(&self, client: &C);

    /// A client entered a room after it was accepted.
    fn entered(&self, client: &C, room: &Room);

    /// A client left a room, but not because it is gone.
    fn left(&self, client: &C, room: &Room);

    /// A client emitted an event.
    fn received(&self, client: &C, event: &str, payload: &Payload);

    /// A client was handed an event.
    fn sent(&self, client: &C, event: &str, payload: &Payload);

    /// Returns how much was left out of what should have been told.
    fn num_dropped(&self) -> u64;
}

/// The observer of a server, if there is one.
pub(crate) struct Observer<C>(Option<Arc<dyn Observe<C>>>);

impl<C> Observer<C> {
    /// Returns the absence of an observer.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    #[cfg(feature = "admin")]
    pub(crate) fn new(observe: Arc<dyn Observe<C>>) -> Self {
        Self(Some(observe))
    }

    /// Returns whether there is an observer.
    pub(crate) fn is_present(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the observer of every client.
    pub(crate) fn of_all(&self) -> Option<&dyn Observe<C>> {
        self.0.as_deref()
    }

    /// Returns the observer of the clients of a namespace, if it is watched now.
    pub(crate) fn of(&self, namespace: &NamespaceName) -> Option<&dyn Observe<C>> {
        self.of_all().filter(|observe| observe.watches(namespace))
    }
}

impl<C> std::fmt::Debug for Observer<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}
