//! The bytes that wait for all clients together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::CloseReason;
use crate::engine::Inner;

/// The time between two rounds of shedding: what a round let go of is counted as free only after the tasks of its clients have ended.
const ROUND: Duration = Duration::from_millis(20);

/// Counts the bytes of packets and answers that wait, each once however many clients it is for.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    is_shedding: AtomicBool,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            used: AtomicUsize::new(0),
            is_shedding: AtomicBool::new(false),
        })
    }

    /// Counts so many bytes until the charge is dropped.
    pub(crate) fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Charge {
            budget: self.clone(),
            bytes,
        }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Tells whether so much waits that the next round of shedding may come too late.
    pub(crate) fn is_far_over(&self) -> bool {
        self.used() / 5 > self.limit / 4
    }

    /// Returns how much has to go, so that some room is left afterwards; 0 unless the limit is exceeded.
    fn excess(&self) -> usize {
        match self.used() {
            used if used > self.limit => used - self.limit / 8 * 7,
            _ => 0,
        }
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
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Inner {
    /// Has clients disconnected until the budget is kept, if it is not. May be called under a connection's lock.
    pub(crate) fn keep_budget(self: &Arc<Self>) {
        if !self.budget.is_over() || self.budget.is_shedding.swap(true, Ordering::Relaxed) {
            return;
        }
        let shedding = Shedding(self.clone());
        self.spawn(async move { shedding.0.shed().await });
    }

    async fn shed(self: &Arc<Self>) {
        loop {
            let excess = self.budget.excess();
            if excess == 0 {
                return;
            }
            self.shed_round(excess).await;
            tokio::time::sleep(ROUND).await;
        }
    }

    /// Disconnects those for whom most waits, until what waits for them is as much as has to go. Packets that others wait for too are
    /// not free with that; the next round sees what is left.
    async fn shed_round(&self, excess: usize) {
        let mut queued = Vec::new();
        for (at, shared) in self.sessions.all().into_iter().enumerate() {
            let cost = shared.state().outbox.cost;
            if cost > 0 {
                queued.push((cost, shared));
            }
            if at % 1024 == 1023 {
                tokio::task::yield_now().await;
            }
        }
        queued.sort_unstable_by_key(|(cost, _)| std::cmp::Reverse(*cost));
        let mut gone = 0;
        for (cost, shared) in queued {
            if gone >= excess || !self.budget.is_over() {
                break;
            }
            self.counters.shed.add(1);
            self.logs
                .budget
                .warn("a client was disconnected: all outboxes together are over their limit, and its own was among the largest");
            shared.fail(CloseReason::Overflow);
            gone += cost;
        }
    }
}

/// Lets another task shed once this one is over, or its runtime is.
struct Shedding(Arc<Inner>);

impl Drop for Shedding {
    fn drop(&mut self) {
        self.0.budget.is_shedding.store(false, Ordering::Relaxed);
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
        assert!(!budget.is_far_over());
        drop(one);
        assert_eq!((budget.used(), budget.is_over(), budget.excess()), (50, false, 0));
        drop(two);
        assert_eq!(budget.used(), 0);
    }
}
