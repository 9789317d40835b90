//! The budgets of an engine: the bytes that wait for all its clients together, and those that it holds
//! of their incomplete messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Counts bytes that are held, each once for any number of clients.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Bytes above which clients are disconnected.
    limit: usize,
    /// Bytes that are held now.
    used: AtomicUsize,
    /// A task disconnects clients until the limit is kept.
    is_shedding: AtomicBool,
}

impl Budget {
    /// Creates a budget of so many bytes.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            is_shedding: AtomicBool::new(false),
        })
    }

    /// Counts so many bytes until the charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.add(bytes);
        Charge {
            budget: self.clone(),
            bytes,
        }
    }

    /// Counts so many bytes more.
    pub(crate) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts so many bytes less, which were counted before.
    pub(crate) fn subtract(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Returns the bytes that are held now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Returns whether the limit is exceeded.
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Returns whether so much is held that the next round of shedding may come too late.
    pub(crate) fn is_far_over(&self) -> bool {
        self.is_far_over_with(0)
    }

    /// Returns whether that is so once so many bytes more are held.
    pub(crate) fn is_far_over_with(&self, more: usize) -> bool {
        self.used().saturating_add(more) / 5 > self.limit / 4
    }

    /// Returns how many bytes have to go, so that some room is left afterwards; 0 unless the limit
    /// is exceeded.
    pub(crate) fn excess(&self) -> usize {
        self.excess_without(0)
    }

    /// Returns how many bytes have to go beside those that are about to be free.
    pub(crate) fn excess_without(&self, leaving: usize) -> usize {
        match self.used().saturating_sub(leaving) {
            used if used > self.limit => used - self.limit / 8 * 7,
            _ => 0,
        }
    }

    /// Returns whether the caller is to shed: the limit is exceeded, and no other task sheds.
    pub(crate) fn begin_shedding(&self) -> bool {
        self.is_over() && !self.is_shedding.swap(true, Ordering::Relaxed)
    }

    /// Allows another task to shed.
    pub(crate) fn end_shedding(&self) {
        self.is_shedding.store(false, Ordering::Relaxed);
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_is_free_when_the_charge_is_dropped() {
        let budget = Budget::new(100);
        let (one, two) = (budget.charge(60), budget.charge(50));
        assert_eq!((budget.used(), budget.is_over(), budget.excess()), (110, true, 26));
        assert_eq!((budget.excess_without(9), budget.excess_without(10)), (17, 0));
        assert!(!budget.is_far_over());
        drop(one);
        assert_eq!((budget.used(), budget.is_over(), budget.excess()), (50, false, 0));
        drop(two);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn one_task_sheds_at_a_time() {
        let budget = Budget::new(100);
        assert!(!budget.begin_shedding(), "the limit is not exceeded");
        let _charge = budget.charge(101);
        assert!(budget.begin_shedding());
        assert!(!budget.begin_shedding());
        budget.end_shedding();
        assert!(budget.begin_shedding());
    }
}
