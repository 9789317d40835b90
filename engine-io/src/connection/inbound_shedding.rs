//! The task that gives up incomplete messages while all of them together are over their limit.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use crate::close::CloseReason;
use crate::connection::core::Core;
use crate::connection::driver::wake;
use crate::connection::held::SMALL;
use crate::connection::polling::PostPhase;
use crate::connection::session::EngineSession;

/// The time between two rounds, in which the tasks of those that were given up release their bytes.
const ROUND: Duration = Duration::from_millis(20);

/// The time after a round that found nothing to give up.
const PAUSE: Duration = Duration::from_millis(250);

/// Sessions that are looked at before other tasks get their turn.
const BATCH: usize = 1024;

impl Core {
    /// Has incomplete messages given up until their total is within its limit, if it is not. May be
    /// called under the lock of a session.
    pub(crate) fn keep_inbound(self: &Arc<Self>) {
        if self.inbound.begin_shedding() {
            let shedding = Shedding(self.clone());
            self.spawn(async move { shed(&shedding.0).await });
        }
    }

    /// Counts and logs that an incomplete message was given up.
    pub(crate) fn note_inbound_shed(&self) {
        self.counters.inbound_shed.add(1);
        self.logs
            .inbound
            .warn("an incomplete message was given up: those of all clients together are over their limit");
    }
}

/// Lets another task shed once this one, or its runtime, has ended.
struct Shedding(Arc<Core>);

impl Drop for Shedding {
    fn drop(&mut self) {
        self.0.inbound.end_shedding();
    }
}

/// Gives up messages, round after round, until the total is within its limit.
async fn shed(core: &Core) {
    // Those that were given up, and whose tasks have not released their bytes yet.
    let mut leaving: Vec<Arc<EngineSession>> = Vec::new();
    while core.inbound.is_over() {
        leaving.retain(is_leaving);
        let released = leaving.iter().map(|session| session.held()).sum();
        let excess = core.inbound.excess_without(released);
        if excess > 0 {
            shed_round(core, excess, &mut leaving).await;
        }
        tokio::time::sleep(if leaving.is_empty() { PAUSE } else { ROUND }).await;
    }
}

/// Returns whether a session is about to release its bytes.
fn is_leaving(session: &Arc<EngineSession>) -> bool {
    let state = session.state();
    let polling = state.polling.as_ref();
    let is_refused = polling.is_some_and(|polling| polling.post == PostPhase::Refused);
    (is_refused || state.closed().is_some()) && session.held() > 0
}

/// Gives up what is held for the sessions that hold most, until that is as much as the excess.
/// Those that are not accepted come first, and small ones last.
async fn shed_round(core: &Core, excess: usize, leaving: &mut Vec<Arc<EngineSession>>) {
    let mut holders = Vec::new();
    for (at, session) in core.sessions.all().into_iter().enumerate() {
        let held = session.held();
        if held > 0 && !is_leaving(&session) {
            holders.push((held <= SMALL, session.is_accepted(), Reverse(held), session));
        }
        if at % BATCH == BATCH - 1 {
            tokio::task::yield_now().await;
        }
    }
    holders.sort_unstable_by_key(|(is_small, is_accepted, held, _)| (*is_small, *is_accepted, *held));
    let mut released = 0;
    for (_, _, Reverse(held), session) in holders {
        if released >= excess || !core.inbound.is_over() {
            break;
        }
        core.note_inbound_shed();
        give_up(&session);
        leaving.push(session);
        released += held;
    }
}

/// Refuses the POST whose body is being read; closes the session if there is none.
fn give_up(session: &Arc<EngineSession>) {
    let mut state = session.state();
    if let Some(polling) = &mut state.polling
        && polling.post == PostPhase::Reading
    {
        polling.post = PostPhase::Refused;
        let waker = polling.post_waker.take();
        drop(state);
        return wake(waker);
    }
    session.close_now(state, CloseReason::Overflow);
}
