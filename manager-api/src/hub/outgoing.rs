//! What waits for the broker without anybody waiting for it: answers for other processes.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::HubOptions;

/// The end where answers go in. Bounded by number and by size, because a client chooses how long its answer is.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    queue: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
    capacity: u32,
}

/// An answer, and the room that it takes until the broker has it.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) message: Bytes,
    pub(super) room: OwnedSemaphorePermit,
}

impl Outgoing {
    pub(super) fn new(options: &HubOptions) -> (Self, mpsc::Receiver<Queued>) {
        let (queue, queued) = mpsc::channel(options.max_queued_callbacks.max(1));
        let max = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let capacity = options.max_queued_callback_bytes.clamp(1, max);
        let outgoing = Self {
            queue,
            room: Arc::new(Semaphore::new(capacity)),
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
        };
        (outgoing, queued)
    }

    /// Queues an answer; `false` if there is no room for it.
    pub(super) fn offer(&self, message: Bytes) -> bool {
        let room = self.room.clone().try_acquire_many_owned(self.cost(&message));
        room.is_ok_and(|room| self.queue.try_send(Queued { message, room }).is_ok())
    }

    /// Queues an answer once there is room for it. Without a hub that listens nobody takes it, and it is dropped.
    pub(super) async fn send(&self, message: Bytes) {
        if let Ok(room) = self.room.clone().acquire_many_owned(self.cost(&message)).await {
            let _ = self.queue.send(Queued { message, room }).await;
        }
    }

    /// An answer larger than the whole limit passes alone.
    fn cost(&self, message: &Bytes) -> u32 {
        u32::try_from(message.len()).unwrap_or(u32::MAX).min(self.capacity)
    }
}
