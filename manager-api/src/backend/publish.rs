//! Publishing: what a caller waits for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout_at;

use super::{PublishLink, PublishQueue, Status, seconds};
use crate::deadline;
use crate::{Error, ErrorKind, ManagerOptions};

/// Queues publishes for a task of its own, which the first one starts and which connects as long as there is something to send.
///
/// Dropping it refuses nobody: what was handed over is still sent in the background.
#[derive(Debug)]
pub struct Publisher<L: PublishLink> {
    queue: Arc<PublishQueue<L>>,
}

impl<L: PublishLink> Publisher<L> {
    /// Makes a publisher that sends by `line`, and connects on first use.
    pub fn new(line: L, options: &ManagerOptions, status: Arc<Status>) -> Self {
        Self {
            queue: Arc::new(PublishQueue::new(line, options, status)),
        }
    }

    /// Publishes one message, as [`ClientManager::publish`](crate::ClientManager::publish) promises, but for the limit of its size.
    ///
    /// # Errors
    ///
    /// [`Closed`](ErrorKind::Closed) after [`close`](Self::close), and what the line says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up waiting; a message that is queued already may still be published.
    pub async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.queue.publish(message).await
    }

    /// Refuses new publishes, waits until all others are answered, and ends the connection; up to the deadline, after which it is cut.
    ///
    /// # Errors
    ///
    /// [`Timeout`](ErrorKind::Timeout) if a message could not be flushed.
    pub async fn close(&self) -> Result<(), Error> {
        let queue = &*self.queue;
        let num_failures = queue.status.num_publish_failures();
        let until = deadline::after(queue.deadline());
        queue.close();
        let settled = timeout_at(until, queue.until_settled()).await;
        if let Some(mut task) = queue.take_task()
            && timeout_at(until, &mut task).await.is_err()
        {
            // Whoever still waits is answered, and the connection cut.
            task.abort();
            let _ = task.await;
        }
        let num_lost = queue.status.num_publish_failures() - num_failures;
        if settled.is_ok() && num_lost == 0 {
            return Ok(());
        }
        Err(not_flushed(num_lost, &queue.line.place(), queue.deadline()))
    }
}

fn not_flushed(num_lost: u64, place: &str, deadline: Duration) -> Error {
    let within = seconds(deadline);
    let text = format!("{num_lost} messages could not be flushed to {place} within {within}");
    Error::new(ErrorKind::Timeout, text)
}

impl<L: PublishLink> Drop for Publisher<L> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
