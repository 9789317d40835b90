//! The [`Publisher`]: the callers' side of publishing.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout_at;

use super::{PublishLink, PublishQueue, Status, not_flushed};
use crate::deadline;
use crate::{Error, ManagerOptions};

/// Queues publishes for a task of its own, which the first publish starts and which connects while a message is queued.
///
/// Dropping it loses nothing: queued messages are still sent in the background.
#[derive(Debug)]
pub struct Publisher<L: PublishLink> {
    queue: Arc<PublishQueue<L>>,
}

impl<L: PublishLink> Publisher<L> {
    /// Creates a publisher that sends over `link`, and connects on first use.
    pub fn new(link: L, options: &ManagerOptions, status: Arc<Status>) -> Self {
        Self {
            queue: Arc::new(PublishQueue::new(link, options, status)),
        }
    }

    /// Publishes one message, as [`ClientManager::publish`](crate::ClientManager::publish) specifies, without the limit
    /// of its size.
    ///
    /// # Errors
    ///
    /// [`Closed`](crate::ErrorKind::Closed) after [`close`](Self::close), and those of the link.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future stops waiting; a message that is queued already may still be published.
    pub async fn publish(&self, message: Bytes) -> Result<(), Error> {
        self.queue.publish(Bytes::new(), message).await
    }

    /// As [`publish`](Self::publish), of a message to a topic: `head` tells the link where to send it.
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish).
    ///
    /// # Cancel safety
    ///
    /// As [`publish`](Self::publish).
    pub async fn publish_with_head(&self, head: Bytes, message: Bytes) -> Result<(), Error> {
        self.queue.publish(head, message).await
    }

    /// Refuses new publishes, waits until all others are complete, and closes the connection; at the deadline it is
    /// aborted.
    ///
    /// # Errors
    ///
    /// [`Timeout`](crate::ErrorKind::Timeout) if a message could not be flushed.
    pub async fn close(&self) -> Result<(), Error> {
        let queue = &*self.queue;
        let num_failures = queue.status.num_publish_failures();
        let until = deadline::after(queue.deadline());
        queue.close();
        let settled = timeout_at(until, queue.until_settled()).await;
        if let Some(mut task) = queue.take_task()
            && timeout_at(until, &mut task).await.is_err()
        {
            // Fails the remaining publishes, and drops the connection.
            task.abort();
            let _ = task.await;
        }
        let num_lost = queue.status.num_publish_failures() - num_failures;
        if settled.is_ok() && num_lost == 0 {
            return Ok(());
        }
        Err(not_flushed(num_lost, &queue.link.place(), queue.deadline()))
    }
}

impl<L: PublishLink> Drop for Publisher<L> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
