//! The task that disconnects clients while all outboxes together are over their limit.

use std::sync::Arc;
use std::time::Duration;

use crate::close::CloseReason;
use crate::connection::core::Core;

/// The time between two rounds: the bytes that a round released are counted as free only after the
/// tasks of its clients have ended.
const ROUND: Duration = Duration::from_millis(20);

/// Sessions that are looked at before other tasks get their turn.
const BATCH: usize = 1024;

impl Core {
    /// Starts disconnecting clients if the budget is exceeded, until it is kept. May be called under the
    /// lock of a session.
    pub(crate) fn keep_budget(self: &Arc<Self>) {
        if self.budget.begin_shedding() {
            let shedding = Shedding(self.clone());
            self.spawn(async move { shed(&shedding.0).await });
        }
    }
}

/// A guard that allows another task to shed once this one, or its runtime, has ended.
struct Shedding(Arc<Core>);

impl Drop for Shedding {
    fn drop(&mut self) {
        self.0.budget.end_shedding();
    }
}

/// Disconnects clients, round after round, until the budget is kept.
async fn shed(core: &Core) {
    loop {
        let excess = core.budget.excess();
        if excess == 0 {
            return;
        }
        shed_round(core, excess).await;
        tokio::time::sleep(ROUND).await;
    }
}

/// Disconnects the clients for which most waits, until as much as the excess waited for them.
/// Packets that others wait for too are not free with that; the next round sees what is left.
async fn shed_round(core: &Core, excess: usize) {
    let mut queued = Vec::new();
    for (at, session) in core.sessions.all().into_iter().enumerate() {
        let cost = session.state().outbox.cost();
        if cost > 0 {
            queued.push((cost, session));
        }
        if at % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    queued.sort_unstable_by_key(|(cost, _)| std::cmp::Reverse(*cost));
    let mut released = 0;
    for (cost, session) in queued {
        if released >= excess || !core.budget.is_over() {
            break;
        }
        core.counters.shed.add(1);
        core.logs.budget.warn(
            "a client was disconnected: all outboxes together are over their limit, and its own was among the largest",
        );
        session.fail(CloseReason::Overflow);
        released += cost;
    }
}
