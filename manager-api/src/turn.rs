//! Cooperative scheduling: long loops yield to other tasks.

/// Steps, of some hundred nanoseconds each, after which a long loop yields: some tenths of a millisecond. Yielding more
/// often would let every recipient's task write between two events that could be written together.
pub const YIELD_EVERY: usize = 4_096;

/// The number of steps of a loop since it last yielded. For loops over counts of external origin: clients, rooms, names
/// in a message.
#[derive(Debug, Default)]
pub struct Turn(usize);

impl Turn {
    /// Counts completed steps, and yields after [`YIELD_EVERY`] of them.
    pub async fn spend(&mut self, steps: usize) {
        self.0 += steps;
        if self.0 >= YIELD_EVERY {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
