//! Sharing a thread: long loops let other tasks run.

/// Steps, of some hundred nanoseconds each, after which a long loop lets others run: some tenths of a millisecond. Yielding more often
/// would let every recipient's task write between two events that could have left together.
pub const YIELD_EVERY: usize = 4_096;

/// How much a loop has done since it last let others run. For loops over counts that come from outside: clients, rooms, names in a message.
#[derive(Debug, Default)]
pub struct Turn(usize);

impl Turn {
    /// Counts steps that were done, and lets others run if these were many.
    pub async fn spend(&mut self, steps: usize) {
        self.0 += steps;
        if self.0 >= YIELD_EVERY {
            self.0 = 0;
            tokio::task::yield_now().await;
        }
    }
}
