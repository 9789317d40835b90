//! The queue of acknowledgements and responses for other processes, which a background task publishes.

use futures_util::future::BoxFuture;
use manager_api::Error;
use manager_api::byte_budget::{ByteBudget, BytePermit};
use manager_api::wire::Encoded;
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
pub(super) struct Queued {
    pub(super) publish: BoxFuture<'static, Result<(), Error>>,
    pub(super) permit: BytePermit,
}

impl Outgoing {
    pub(super) fn new(options: &HubOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(options.max_queued_callbacks.max(1));
        let budget = ByteBudget::new(options.max_queued_callback_bytes);
        (Self { queue, budget }, queued)
    }

    /// Queues a message; `false` if the queue is full.
    pub(super) fn offer(&self, message: Encoded) -> bool {
        let Encoded { size, publish } = message;
        let permit = self.budget.try_take(size);
        permit.is_some_and(|permit| self.queue.try_send(Queued { publish, permit }).is_ok())
    }

    /// Queues a message once the queue has capacity. Messages left when the hub stops are dropped.
    pub(super) async fn send(&self, message: Encoded) {
        let Encoded { size, publish } = message;
        if let Some(permit) = self.budget.take(size).await {
            let _ = self.queue.send(Queued { publish, permit }).await;
        }
    }
}
