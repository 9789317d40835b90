//! The driver of an engine session: the task that polls its work, and how it is woken.

use std::task::Waker;

/// The task that polls the work of a session.
pub(crate) enum Driver {
    /// There is no work, and no task.
    Idle,
    /// A temporary task, or a request; `woken` means that there may be new work since it polled.
    Runner { woken: bool, waker: Option<Waker> },
    /// The task that owns the WebSocket.
    WebSocketTask,
}

impl Driver {
    /// A runner that is about to poll.
    pub(crate) fn new_runner() -> Self {
        Self::Runner {
            woken: false,
            waker: None,
        }
    }

    /// Returns whether a temporary task polls the work.
    pub(crate) fn is_runner(&self) -> bool {
        matches!(self, Self::Runner { .. })
    }
}

/// The state of the task that owns the WebSocket, as other tasks see it.
#[derive(Debug, Default)]
pub(crate) struct TaskState {
    /// How the task is woken, until an event has woken it.
    waker: Option<Waker>,
    /// The task reads the state again before it parks.
    is_running: bool,
    /// The session may have new work since the task polled it.
    session_woken: bool,
}

impl TaskState {
    /// Notes that the task runs: it reads the state again before it parks, and needs no waking
    /// until then.
    pub(crate) fn run(&mut self) {
        self.is_running = true;
    }

    /// Notes that the task is about to return to its runtime, and how it is woken.
    pub(crate) fn park(&mut self, waker: &Waker) {
        self.is_running = false;
        self.waker = Some(waker.clone());
    }

    /// Makes the task poll its session again; returns the waker to call.
    pub(crate) fn wake_session(&mut self) -> Option<Waker> {
        self.session_woken = true;
        self.take_parked()
    }

    /// Returns whether the session was woken since this was last asked.
    pub(crate) fn take_session_woken(&mut self) -> bool {
        std::mem::take(&mut self.session_woken)
    }

    /// Returns the waker of a parked task, once: it wakes for the first of several events.
    pub(crate) fn take_parked(&mut self) -> Option<Waker> {
        if self.is_running { None } else { self.waker.take() }
    }
}

/// Calls a waker that was taken out under a lock, after it.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_task_is_woken_once_and_a_running_one_never() {
        let mut task = TaskState::default();
        assert!(task.take_parked().is_none(), "it has not run");
        task.run();
        assert!(task.take_parked().is_none());
        task.park(Waker::noop());
        assert!(task.take_parked().is_some());
        assert!(task.take_parked().is_none());
    }

    #[test]
    fn a_wake_of_the_session_is_seen_by_a_task_that_runs() {
        let mut task = TaskState::default();
        task.run();
        assert!(task.wake_session().is_none());
        assert!(task.take_session_woken());
        assert!(!task.take_session_woken());
        task.park(Waker::noop());
        assert!(task.wake_session().is_some());
    }
}
