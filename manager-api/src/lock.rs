//! Locks that stay usable after a panic of their holder.

use std::sync::{LockResult, PoisonError};

/// Access to what a lock guards, also after a holder has panicked.
///
/// The guarded data is consistent between any two statements of its holders, and a panic of one task must not disable
/// the others.
///
/// ```
/// use std::sync::Mutex;
///
/// use manager_api::lock::Unpoisoned;
///
/// let counter = Mutex::new(1);
/// *counter.lock().unpoisoned() += 1;
/// assert_eq!(counter.into_inner().unpoisoned(), 2);
/// ```
pub trait Unpoisoned {
    /// The guard, or the data itself.
    type Guard;

    /// Returns the guard, poisoned or not.
    fn unpoisoned(self) -> Self::Guard;
}

impl<G> Unpoisoned for LockResult<G> {
    type Guard = G;

    fn unpoisoned(self) -> G {
        self.unwrap_or_else(PoisonError::into_inner)
    }
}
