//! Clients whose tokens expire, in the order of their expiry, and the task that closes them.
//!
//! One task serves all clients, and there is none while no token expires. It compares with the clock
//! of the system several times a second, because that is what `exp` means: a clock that is set, or a
//! machine that was asleep, counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, SystemTime};

use manager_api::lock::Unpoisoned;
use manager_api::{NamespaceName, Sid};
use socket_io::{Socket, SocketIo};

/// How often the clock is looked at, while there are clients whose tokens expire. A timer for each
/// would be deaf to a clock that is set.
const TICK: Duration = Duration::from_millis(250);
/// Clients that are closed before other tasks get their turn.
const AT_ONCE: usize = 64;
/// The event that a client is sent before it is closed.
pub(crate) const EXPIRED: &str = "expired";

/// The place of a client in the order of expiry.
pub(super) type Place = (SystemTime, u64);

/// The clients whose tokens expire.
#[derive(Debug, Default)]
pub(super) struct Expiries {
    state: Mutex<State>,
    num_closed: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    clients: BTreeMap<Place, Expiring>,
    num_added: u64,
    has_task: bool,
}

/// A client, by its id: what is kept here does not keep it in memory.
#[derive(Debug)]
struct Expiring {
    io: SocketIo,
    namespace: NamespaceName,
    sid: Sid,
}

impl Expiries {
    /// Has a client closed at a time, unless it is [removed](Self::remove) before.
    pub(super) fn add(self: &Arc<Self>, socket: &Socket, at: SystemTime) -> Place {
        let mut state = self.state.lock().unpoisoned();
        state.num_added += 1;
        let place = (at, state.num_added);
        let client = Expiring {
            io: socket.io(),
            namespace: socket.namespace().clone(),
            sid: socket.id().clone(),
        };
        state.clients.insert(place, client);
        if !std::mem::replace(&mut state.has_task, true) {
            let expiries = Arc::downgrade(self);
            tokio::spawn(close_expired(Task {
                expiries,
                is_done: false,
            }));
        }
        place
    }

    /// Takes a client out, because it is gone or has a new token.
    pub(super) fn remove(&self, place: &Place) {
        let removed = self.state.lock().unpoisoned().clients.remove(place);
        // It may hold the last handle of its server, which is not dropped under the lock.
        drop(removed);
    }

    /// Returns how many clients were closed.
    pub(super) fn num_closed(&self) -> u64 {
        self.num_closed.load(Ordering::Relaxed)
    }

    /// Returns how many clients wait for their expiry.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state.lock().unpoisoned().clients.len()
    }

    /// Takes out some of the clients whose time has come; `None` if there is nothing to wait for
    /// any more, so that the task ends.
    fn take_due(&self, now: SystemTime) -> Option<Vec<Expiring>> {
        let mut state = self.state.lock().unpoisoned();
        if state.clients.is_empty() {
            state.has_task = false;
            return None;
        }
        let mut due = Vec::new();
        while due.len() < AT_ONCE {
            match state.clients.first_entry() {
                Some(first) if first.key().0 <= now => due.push(first.remove()),
                _ => break,
            }
        }
        Some(due)
    }
}

/// The mark of the one task. If it is dropped before its task is done, because the runtime ends,
/// the next client gets another task.
struct Task {
    expiries: Weak<Expiries>,
    is_done: bool,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(expiries) = self.expiries.upgrade().filter(|_| !self.is_done) {
            expiries.state.lock().unpoisoned().has_task = false;
        }
    }
}

/// Closes clients until there is none left whose token expires.
async fn close_expired(mut task: Task) {
    loop {
        let Some(expiries) = task.expiries.upgrade() else {
            return;
        };
        let Some(due) = expiries.take_due(SystemTime::now()) else {
            task.is_done = true;
            return;
        };
        let num_due = due.len();
        for client in due {
            close(&client).await;
            expiries.num_closed.fetch_add(1, Ordering::Relaxed);
        }
        drop(expiries);
        match num_due {
            AT_ONCE => tokio::task::yield_now().await,
            _ => tokio::time::sleep(TICK).await,
        }
    }
}

/// Tells a client that its token has expired, then disconnects it from the namespace.
async fn close(client: &Expiring) {
    let this_server = || client.io.of(&client.namespace).local();
    // A client that is gone needs neither, and nothing of this leaves the process.
    let _ = this_server().to(&client.sid).emit(EXPIRED, &()).await;
    let _ = this_server().disconnect(&client.sid).await;
}
