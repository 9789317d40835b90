//! Closes connections that join no namespace.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::Connection;

/// Connections in the order in which their time is over: it is the same for all, so a queue and one task do.
pub(crate) struct ConnectTimeouts {
    timeout: Duration,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Instant, Weak<Connection>)>,
    /// A task sees to the queue; it ends when the queue is empty.
    is_attended: bool,
}

impl ConnectTimeouts {
    pub(crate) fn new(timeout: Duration) -> Self {
        let queue = Arc::default();
        Self { timeout, queue }
    }

    /// Closes the connection unless a client of it is accepted in time.
    pub(crate) fn watch(&self, connection: &Arc<Connection>) {
        // A time that no clock can tell never comes.
        let Some(deadline) = Instant::now().checked_add(self.timeout) else {
            return;
        };
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // So that connections which come and go quickly are not remembered for the whole time.
        queue.forget_settled();
        queue.waiting.push_back((deadline, Arc::downgrade(connection)));
        let was_attended = std::mem::replace(&mut queue.is_attended, true);
        drop(queue);
        if !was_attended {
            tokio::spawn(attend(Attendant(Some(self.queue.clone()))));
        }
    }

    /// Returns how many connections are in the queue, some of which may have joined or gone.
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }
}

impl Queue {
    /// Drops those at the front that have joined or are gone; returns the first that has not.
    fn forget_settled(&mut self) -> Option<(Instant, Arc<Connection>)> {
        while let Some((deadline, connection)) = self.waiting.front() {
            match connection.upgrade().filter(|connection| !connection.has_joined()) {
                Some(connection) => return Some((*deadline, connection)),
                None => self.waiting.pop_front(),
            };
        }
        None
    }
}

/// Lets another task see to the queue if this one ends before it is empty: its runtime may.
struct Attendant(Option<Arc<Mutex<Queue>>>);

impl Drop for Attendant {
    fn drop(&mut self) {
        if let Some(queue) = &self.0 {
            queue.lock().unwrap_or_else(PoisonError::into_inner).is_attended = false;
        }
    }
}

async fn attend(mut attendant: Attendant) {
    while let Some(queue) = &attendant.0 {
        match close_late_ones(queue) {
            Some(next) => tokio::time::sleep_until(next).await,
            // It is empty, or another task sees to it already.
            None => attendant.0 = None,
        }
    }
}

/// Closes those whose time is over and returns when the next one's is; `None` if there is no next one.
fn close_late_ones(queue: &Mutex<Queue>) -> Option<Instant> {
    let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    while let Some((deadline, connection)) = queue.forget_settled() {
        if deadline > now {
            return Some(deadline);
        }
        tracing::debug!(target: "socket_io", "closing a connection that joined no namespace in time");
        connection.socket.close();
        queue.waiting.pop_front();
    }
    queue.waiting.shrink_to_fit();
    queue.is_attended = false;
    None
}
