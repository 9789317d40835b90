//! The connection, as its clients see it.

use std::any::Any;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use engine_io::{Handshake, Socket as EngineSocket};
use manager_api::lock::Unpoisoned;

use super::core::Core;
use super::ended::Ended;
use super::unjoined::Place;
use crate::client::Client;
use crate::error::DisconnectReason;

/// What all clients of a connection share.
pub(crate) struct Connection {
    pub(crate) socket: EngineSocket,
    pub(crate) handshake: Handshake,
    pub(crate) core: Arc<Core>,
    /// The server, which lives as long as its connections; only the handle of a client returns it.
    pub(crate) server: Arc<dyn Any + Send + Sync>,
    /// Its place among those that have joined nothing.
    place: Mutex<Option<Place>>,
    /// Clients that were closed outside the connection's own task.
    pub(super) ended: Ended<(Arc<Client>, DisconnectReason)>,
    /// Every client is to be disconnected, and the connection closed.
    pub(super) is_ending: AtomicBool,
}

impl Connection {
    pub(crate) fn new(
        socket: EngineSocket,
        handshake: Handshake,
        core: Arc<Core>,
        server: Arc<dyn Any + Send + Sync>,
    ) -> Arc<Self> {
        let peer = handshake.peer_addr().map(|peer| peer.ip());
        let place = core.unjoined.watch(socket.clone(), peer);
        Arc::new(Self {
            socket,
            handshake,
            core,
            server,
            place: Mutex::new(Some(place)),
            ended: Ended::new(),
            is_ending: AtomicBool::new(false),
        })
    }

    /// Gives up its place among the connections that have joined nothing: a client was accepted, or the connection is gone.
    pub(crate) fn settle(&self) {
        let place = self.place.lock().unpoisoned().take();
        drop(place);
    }

    /// Has the disconnect handlers run for a client that left.
    pub(crate) fn ended(&self, client: Arc<Client>, reason: DisconnectReason) {
        if let Err((client, _)) = self.ended.push((client, reason)) {
            // No handler runs any more.
            client.end();
        }
        self.socket.wake_session();
    }

    /// Disconnects every client, then closes. Only the connection's task knows who they are, so that task does it.
    pub(crate) fn disconnect_all(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.socket.wake_session();
    }
}
