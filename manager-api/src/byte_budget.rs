//! Room for so many bytes, for queues whose entries are as long as somebody else likes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A number of bytes that may be held at a time. Whatever is larger than all of it passes alone.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    room: Arc<Semaphore>,
    capacity: u32,
}

/// Some of the room, given back when it is dropped.
pub(crate) type BytePermit = OwnedSemaphorePermit;

impl ByteBudget {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let max = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let capacity = max_bytes.clamp(1, max);
        Self {
            room: Arc::new(Semaphore::new(capacity)),
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
        }
    }

    /// Takes room for `len` bytes; `None` if there is not as much.
    pub(crate) fn try_take(&self, len: usize) -> Option<BytePermit> {
        self.room.clone().try_acquire_many_owned(self.cost(len)).ok()
    }

    /// Takes room for `len` bytes once there is as much.
    pub(crate) async fn take(&self, len: usize) -> Option<BytePermit> {
        // It is never closed.
        self.room.clone().acquire_many_owned(self.cost(len)).await.ok()
    }

    fn cost(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX).min(self.capacity)
    }
}
