//! Connections that have joined no namespace: they get a time, and are the first to go where there are too many.

mod queue;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use manager_api::log::{LimitedLog, quietly};
use tokio::time::Instant;

use crate::config::Config;
use crate::connection::Connection;
use queue::{Limits, Peer, Queue};

/// Connections in the order in which they came, until they have joined or are gone.
pub(crate) struct Unjoined {
    timeout: Duration,
    limits: Limits,
    num_shed: AtomicU64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Unjoined {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            timeout: config.connect_timeout,
            limits: Limits {
                total: config.max_unjoined.max(1),
                per_peer: config.max_unjoined_per_peer.max(1),
            },
            num_shed: AtomicU64::new(0),
            shared: Arc::default(),
        }
    }

    /// Closes the connection unless a client of it is accepted in time, or if others need its place before. Closes another one at once if
    /// there are too many now.
    pub(crate) fn watch(&self, connection: &Arc<Connection>) {
        // A time that no clock can tell never comes.
        let deadline = Instant::now().checked_add(self.timeout);
        let peer = connection.handshake.peer_addr().map(|peer| Peer::of(peer.ip()));
        let mut queue = self.shared.queue();
        let place = queue.insert(connection, peer, deadline);
        connection.set_place(place);
        let shed = queue.overfull(peer, &self.limits);
        let needs_attendant = deadline.is_some() && !std::mem::replace(&mut queue.is_attended, true);
        drop(queue);
        if needs_attendant {
            tokio::spawn(attend(Attendant(Some(self.shared.clone()))));
        }
        self.shed(shed);
    }

    /// Closes the oldest connection to make room for another; tells whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let oldest = self.shared.queue().take_oldest();
        self.shed(oldest)
    }

    /// Forgets a connection that has joined, or is gone.
    pub(crate) fn forget(&self, place: u64) {
        let forgotten = self.shared.queue().remove(place);
        drop(forgotten);
    }

    /// Returns how many connections have joined nothing.
    pub(crate) fn len(&self) -> usize {
        self.shared.queue().len()
    }

    /// Returns how many were closed for others.
    pub(crate) fn num_shed(&self) -> u64 {
        self.num_shed.load(Ordering::Relaxed)
    }

    fn shed(&self, connection: Option<Arc<Connection>>) -> bool {
        static SHED: LimitedLog = LimitedLog::new();
        let Some(connection) = connection else { return false };
        self.num_shed.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = SHED.pass() {
            let peer = connection.handshake.peer_addr().map(|peer| peer.ip());
            quietly(
                || tracing::warn!(target: "socket_io", ?peer, suppressed, "closing a connection that joined no namespace: there are too many of them"),
            );
        }
        connection.socket.abort();
        true
    }
}

/// Lets another task see to the queue if this one ends before it is empty: its runtime may.
struct Attendant(Option<Arc<Shared>>);

impl Drop for Attendant {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.queue().is_attended = false;
        }
    }
}

fn too_late() {
    static LATE: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = LATE.pass() {
        let text = "closing a connection that joined no namespace in time";
        quietly(|| tracing::debug!(target: "socket_io", suppressed, "{text}"));
    }
}

async fn attend(mut attendant: Attendant) {
    while let Some(shared) = &attendant.0 {
        let (late, next) = shared.queue().take_late(Instant::now());
        for connection in late {
            too_late();
            connection.socket.close();
        }
        match next {
            Some(next) => tokio::time::sleep_until(next).await,
            // It is empty, or another task sees to it already.
            None => attendant.0 = None,
        }
    }
}
