//! The count of an engine's sessions: places that are reserved, sessions whose work is not done,
//! and the end of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Counts the sessions of an engine, and refuses those over its limit, or after its shutdown.
pub(crate) struct Admission {
    /// The number of sessions at a time.
    max_sessions: usize,
    /// Places that are taken: by sessions on the table, and by handshakes under way.
    reserved: AtomicUsize,
    /// Sessions of the protocol above that are not dropped yet.
    live: AtomicUsize,
    /// No session is accepted any more; those that are open are closed little by little.
    is_draining: AtomicBool,
    /// … or at once.
    is_shut_down: AtomicBool,
    /// Notified of each session that ends during a shutdown.
    changed: Notify,
}

impl Admission {
    /// Creates the count for so many sessions at a time.
    pub(crate) fn new(max_sessions: usize) -> Arc<Self> {
        Arc::new(Self {
            max_sessions,
            reserved: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            is_shut_down: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    /// Reserves a place for a session, if there is one. The shutdown is not looked at.
    pub(crate) fn try_reserve(self: &Arc<Self>) -> Option<Reservation> {
        let before = self.reserved.fetch_add(1, Ordering::Relaxed);
        let reservation = Reservation {
            admission: self.clone(),
            is_kept: false,
        };
        (before < self.max_sessions).then_some(reservation)
    }

    /// Frees a place, when a session leaves the table.
    pub(crate) fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::Relaxed);
        self.notify();
    }

    /// Refuses sessions from now on.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// Returns whether sessions are refused because the engine drains or was shut down.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }

    /// Refuses sessions from now on, and expects those that are open to end.
    pub(crate) fn shut_down(&self) {
        self.drain();
        self.is_shut_down.store(true, Ordering::SeqCst);
    }

    /// Returns whether the engine was shut down.
    pub(crate) fn is_shut_down(&self) -> bool {
        self.is_shut_down.load(Ordering::SeqCst)
    }

    /// Returns the number of sessions whose work is not done.
    pub(crate) fn num_live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    /// Completes when no session is live and `is_empty` is true, which is asked after each end of a
    /// session.
    pub(crate) async fn drained(&self, is_empty: impl Fn() -> bool) {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.num_live() == 0 && is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Wakes a shutdown that waits for sessions to end.
    fn notify(&self) {
        if self.is_shut_down() {
            self.changed.notify_waiters();
        }
    }
}

/// A place among the sessions, freed unless it is kept.
pub(crate) struct Reservation {
    /// The count that the place belongs to.
    admission: Arc<Admission>,
    /// A session has taken the place over.
    is_kept: bool,
}

impl Reservation {
    /// Leaves the place to a session, which [releases](Admission::release) it when it leaves the
    /// table.
    pub(crate) fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.is_kept {
            self.admission.release();
        }
    }
}

/// Counts a session as live until it is dropped.
pub(crate) struct Live(Arc<Admission>);

impl Live {
    /// Counts one more session.
    pub(crate) fn new(admission: &Arc<Admission>) -> Self {
        admission.live.fetch_add(1, Ordering::SeqCst);
        Self(admission.clone())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
        self.0.notify();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn places_are_limited_and_freed() {
        let admission = Admission::new(2);
        let (first, second) = (admission.try_reserve().unwrap(), admission.try_reserve().unwrap());
        assert!(admission.try_reserve().is_none());
        drop(first);
        second.keep();
        let third = admission.try_reserve().unwrap();
        assert!(admission.try_reserve().is_none(), "one place is kept");
        admission.release();
        assert!(admission.try_reserve().is_some());
        drop(third);
    }

    #[test]
    fn a_shutdown_waits_for_the_work_of_sessions_and_for_the_table() {
        let admission = Admission::new(2);
        let live = Live::new(&admission);
        admission.shut_down();
        assert!(admission.is_shut_down());
        let is_empty = AtomicBool::new(false);
        let mut drained = std::pin::pin!(admission.drained(|| is_empty.load(Ordering::SeqCst)));
        let mut poll = || drained.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(poll(), Poll::Pending);
        is_empty.store(true, Ordering::SeqCst);
        admission.release();
        assert_eq!(poll(), Poll::Pending, "a session is at work");
        is_empty.store(false, Ordering::SeqCst);
        drop(live);
        assert_eq!(admission.num_live(), 0);
        assert_eq!(poll(), Poll::Pending, "the table is not empty");
        is_empty.store(true, Ordering::SeqCst);
        admission.release();
        assert_eq!(poll(), Poll::Ready(()));
    }
}
