//! The queue of acknowledgements and responses for other processes, which a background task publishes.

use bytes::Bytes;
use manager_api::byte_budget::{ByteBudget, BytePermit};
use tokio::sync::mpsc;

use crate::options::HubOptions;

/// The sending end of the queue. Bounded by number and by size, because a client chooses the size of its
/// acknowledgement.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Queued>,
    budget: ByteBudget,
}

/// An encoded message, with its share of the byte budget until the broker has accepted it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Bytes,
    pub(super) permit: BytePermit,
}

impl Outgoing {
    pub(super) fn new(options: &HubOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(options.max_queued_callbacks.max(1));
        let budget = ByteBudget::new(options.max_queued_callback_bytes);
        (Self { queue, budget }, queued)
    }

    /// Queues a message; `false` if the queue is full.
    pub(super) fn offer(&self, message: Bytes) -> bool {
        let permit = self.budget.try_take(message.len());
        permit.is_some_and(|permit| self.queue.try_send(Queued { message, permit }).is_ok())
    }

    /// Queues a message once the queue has capacity. Messages left when the hub stops are dropped.
    pub(super) async fn send(&self, message: Bytes) {
        if let Some(permit) = self.budget.take(message.len()).await {
            let _ = self.queue.send(Queued { message, permit }).await;
        }
    }
}
