//! The connections that have joined no namespace: each has a time limit, and they are the first to be closed where there are too many.

mod queue;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use engine_io::Socket as EngineSocket;
use engine_io::http::PeerNetwork;
use manager_api::lock::Unpoisoned;
use manager_api::log::{LimitedLog, quietly};
use tokio::time::Instant;

use crate::config::Config;
use queue::{Limits, Queue};

/// Connections in the order in which they came, until they have joined or are gone.
pub(crate) struct Unjoined {
    timeout: Duration,
    limits: Limits,
    num_shed: AtomicU64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue<Newcomer>>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue<Newcomer>> {
        self.queue.lock().unpoisoned()
    }
}

/// A connection in the queue.
struct Newcomer {
    socket: EngineSocket,
    address: Option<IpAddr>,
    /// Its number in the queue, written with the queue's lock.
    number: AtomicU64,
    shared: Arc<Shared>,
}

/// The place of a connection in the queue, which is free again when this is dropped. The queue itself keeps no connection alive.
pub(crate) struct Place(Arc<Newcomer>);

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.0.number.load(Ordering::Relaxed);
        let forgotten = self.0.shared.queue().remove(number);
        drop(forgotten);
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

    /// Closes the connection unless its place is given up in time, or if others need the place before. Closes another one at once if
    /// there are too many now.
    pub(crate) fn watch(&self, socket: EngineSocket, address: Option<IpAddr>) -> Place {
        // A time that no clock can tell never comes.
        let deadline = Instant::now().checked_add(self.timeout);
        let peer = address.map(PeerNetwork::of);
        let newcomer = Arc::new(Newcomer {
            socket,
            address,
            number: AtomicU64::new(0),
            shared: self.shared.clone(),
        });
        let mut queue = self.shared.queue();
        let number = queue.insert(&newcomer, peer, deadline);
        newcomer.number.store(number, Ordering::Relaxed);
        let shed = queue.overfull(peer, &self.limits);
        let needs_attendant = deadline.is_some() && !std::mem::replace(&mut queue.is_attended, true);
        drop(queue);
        if needs_attendant {
            tokio::spawn(attend(Attendant(Some(self.shared.clone()))));
        }
        self.shed(shed);
        Place(newcomer)
    }

    /// Closes the oldest connection to make room for another; tells whether there was one.
    pub(crate) fn make_room(&self) -> bool {
        let oldest = self.shared.queue().take_oldest();
        self.shed(oldest)
    }

    /// Returns how many connections have joined nothing.
    pub(crate) fn len(&self) -> usize {
        self.shared.queue().len()
    }

    /// Returns how many were closed for others.
    pub(crate) fn num_shed(&self) -> u64 {
        self.num_shed.load(Ordering::Relaxed)
    }

    fn shed(&self, newcomer: Option<Arc<Newcomer>>) -> bool {
        static SHED: LimitedLog = LimitedLog::new();
        let Some(newcomer) = newcomer else { return false };
        self.num_shed.fetch_add(1, Ordering::Relaxed);
        if let Some(suppressed) = SHED.pass() {
            let peer = newcomer.address;
            quietly(
                || tracing::warn!(target: "socket_io", ?peer, suppressed, "closing a connection that joined no namespace: there are too many of them"),
            );
        }
        newcomer.socket.abort();
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
        for newcomer in late {
            too_late();
            newcomer.socket.close();
        }
        match next {
            Some(next) => tokio::time::sleep_until(next).await,
            // It is empty, or another task sees to it already.
            None => attendant.0 = None,
        }
    }
}
