//! A semaphore counted in bytes, for queues of entries of untrusted size.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A limit of the bytes held at a time. An entry larger than the whole budget is admitted alone.
#[derive(Clone, Debug)]
pub struct ByteBudget {
    bytes: Arc<Semaphore>,
    capacity: u32,
}

/// Bytes taken from a budget, returned to it when this is dropped.
pub type BytePermit = OwnedSemaphorePermit;

impl ByteBudget {
    /// Creates a budget of `max_bytes`; zero admits one entry at a time.
    pub fn new(max_bytes: usize) -> Self {
        let max = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let capacity = max_bytes.clamp(1, max);
        Self {
            bytes: Arc::new(Semaphore::new(capacity)),
            capacity: u32::try_from(capacity).unwrap_or(u32::MAX),
        }
    }

    /// Takes `len` bytes; `None` if fewer are left.
    pub fn try_take(&self, len: usize) -> Option<BytePermit> {
        self.bytes.clone().try_acquire_many_owned(self.cost(len)).ok()
    }

    /// Takes `len` bytes as soon as they are left.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes nothing, and loses the place in the queue.
    pub async fn take(&self, len: usize) -> Option<BytePermit> {
        // It is never closed.
        self.bytes.clone().acquire_many_owned(self.cost(len)).await.ok()
    }

    fn cost(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX).min(self.capacity)
    }
}
