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
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        // So that connections which come and go quickly are not remembered for the whole time.
        queue.forget_settled();
        let deadline = Instant::now() + self.timeout;
        queue.waiting.push_back((deadline, Arc::downgrade(connection)));
        if !queue.is_attended {
            queue.is_attended = true;
            tokio::spawn(attend(self.queue.clone()));
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

async fn attend(queue: Arc<Mutex<Queue>>) {
    while let Some(next) = close_late_ones(&queue) {
        tokio::time::sleep_until(next).await;
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
