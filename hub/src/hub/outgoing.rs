//! What waits for the broker without anybody waiting for it: answers for other processes.

use bytes::Bytes;
use manager_api::byte_budget::{ByteBudget, BytePermit};
use tokio::sync::mpsc;

use crate::options::HubOptions;

/// The end where answers go in. Bounded by number and by size, because a client chooses how long its answer is.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Queued>,
    room: ByteBudget,
}

/// An answer, and the room that it takes until the broker has it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Bytes,
    pub(super) room: BytePermit,
}

impl Outgoing {
    pub(super) fn new(options: &HubOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(options.max_queued_callbacks.max(1));
        let room = ByteBudget::new(options.max_queued_callback_bytes);
        (Self { queue, room }, queued)
    }

    /// Queues an answer; `false` if there is no room for it.
    pub(super) fn offer(&self, message: Bytes) -> bool {
        let room = self.room.try_take(message.len());
        room.is_some_and(|room| self.queue.try_send(Queued { message, room }).is_ok())
    }

    /// Queues an answer once there is room for it. Without a hub that listens nobody takes it, and it is dropped.
    pub(super) async fn send(&self, message: Bytes) {
        if let Some(room) = self.room.take(message.len()).await {
            let _ = self.queue.send(Queued { message, room }).await;
        }
    }
}
