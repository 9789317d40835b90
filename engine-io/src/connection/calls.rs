//! Calls into sessions: one at a time, their panics caught, their work polled by exactly one task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use crate::close::CloseReason;
use crate::connection::admission::Live;
use crate::connection::cell::SessionCell;
use crate::connection::driver::{Driver, wake};
use crate::connection::session::EngineSession;
use crate::session::Session;

/// A session panicked; its connection is closed for it.
pub(crate) struct Panicked;

impl EngineSession {
    /// Makes the session with the handler.
    pub(crate) fn open(self: &Arc<Self>, make: impl FnOnce() -> Box<dyn Session>) -> Result<(), Panicked> {
        let result = self.catch(make);
        if result.is_err() {
            self.fail(CloseReason::ForcedClose);
        }
        let mut cell = self.cell();
        cell.session = Some(result?);
        cell.live = Some(Live::new(&self.core.admission));
        drop(cell);
        if self.state().closed().is_some() {
            // It closed before there was a session whose `close` could be called.
            self.wake_driver();
        }
        Ok(())
    }

    /// Calls the session, unless it is dropped or its `close` was called.
    pub(crate) fn call<R>(self: &Arc<Self>, call: impl FnOnce(&mut dyn Session) -> R) -> Result<Option<R>, Panicked> {
        let mut cell = self.cell();
        if cell.close_called {
            return Ok(None);
        }
        let Some(session) = &mut cell.session else {
            return Ok(None);
        };
        let result = self.catch(|| call(session.as_mut()));
        drop(cell);
        if result.is_err() {
            self.fail(CloseReason::ForcedClose);
        }
        result.map(Some)
    }

    /// Returns whether the session accepts no more messages for now.
    pub(crate) fn is_input_full(self: &Arc<Self>) -> bool {
        matches!(self.call(|session| session.is_input_full()), Ok(Some(true)))
    }

    /// Polls the session's work, after its `close` if the connection is closed. Ready when nothing
    /// is left.
    pub(crate) fn drive(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.drive_if(cx, |_| true)
    }

    /// Polls the work if `still` holds for the driver: another task may have taken over. Ready when
    /// nothing is left, or when it did.
    fn drive_if(self: &Arc<Self>, cx: &mut Context<'_>, still: impl FnOnce(&Driver) -> bool) -> Poll<()> {
        let mut cell = self.cell();
        let closed = {
            let state = self.state();
            // Asked under the session's lock: a task that takes over polls after this one, and its
            // waker stays the last.
            if !still(&state.driver) {
                return Poll::Ready(());
            }
            state.closed()
        };
        // The `close` of a session that is still being made is called when it is there.
        let SessionCell {
            session: Some(session),
            close_called,
            ..
        } = &mut *cell
        else {
            return Poll::Ready(());
        };
        let was_closed = *close_called;
        *close_called |= closed.is_some();
        let result = self.catch(|| {
            if let (Some(reason), false) = (closed, was_closed) {
                session.close(reason);
            }
            session.poll_work(cx)
        });
        if closed.is_some() && !matches!(result, Ok(Poll::Pending)) {
            let done = (cell.session.take(), cell.live.take());
            drop(cell);
            let _ = self.catch(|| drop(done));
            return Poll::Ready(());
        }
        drop(cell);
        result.unwrap_or_else(|Panicked| {
            self.fail(CloseReason::ForcedClose);
            // The driver must come back to call `close`.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Calls the session's `close` and drops it with the work that is left: for a task that is
    /// itself dropped.
    pub(crate) fn abandon(self: &Arc<Self>, reason: CloseReason) {
        let mut cell = self.cell();
        let close_called = std::mem::replace(&mut cell.close_called, true);
        let session = cell.session.take();
        let _live = cell.live.take();
        drop(cell);
        let _ = self.catch(|| {
            let Some(mut session) = session else { return };
            if !close_called {
                session.close(reason);
            }
        });
    }

    /// Makes sure that a task polls the session's work, because there may be new.
    pub(crate) fn wake_driver(self: &Arc<Self>) {
        let mut state = self.state();
        match &mut state.driver {
            Driver::WebSocketTask => {
                let waker = state.task.wake_session();
                drop(state);
                wake(waker);
            }
            Driver::Runner { woken, waker } => {
                *woken = true;
                let waker = waker.take();
                drop(state);
                wake(waker);
            }
            Driver::Idle => {
                state.driver = Driver::new_runner();
                drop(state);
                self.core.spawn(Runner(Some(self.clone())));
            }
        }
    }

    /// Polls the work right here if no task does; what is not done at once goes to a task of its
    /// own.
    pub(crate) fn drive_here(self: &Arc<Self>) {
        let mut state = self.state();
        if !matches!(state.driver, Driver::Idle) {
            drop(state);
            return self.wake_driver();
        }
        state.driver = Driver::new_runner();
        drop(state);
        if self.run(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.core.spawn_here(Runner(Some(self.clone())));
        }
    }

    /// Polls the work as the runner: ready when there is none, or when another task polls it.
    fn run(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut state = self.state();
            let Driver::Runner { woken, waker } = &mut state.driver else {
                return Poll::Ready(());
            };
            *woken = false;
            *waker = Some(cx.waker().clone());
            drop(state);
            let done = self.drive_if(cx, Driver::is_runner);
            let mut state = self.state();
            let post = state.polling.as_mut().and_then(|polling| polling.post_waker.take());
            let finished = match &state.driver {
                Driver::Runner { woken, .. } => done.is_ready() && !woken,
                _ => true,
            };
            if finished && state.driver.is_runner() {
                state.driver = Driver::Idle;
            }
            drop(state);
            // A POST may wait until the session accepts messages again.
            wake(post);
            if finished {
                return Poll::Ready(());
            }
            if done.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Locks the session of the protocol above; the state may be locked under it, never the other
    /// way round.
    fn cell(&self) -> MutexGuard<'_, SessionCell> {
        self.cell.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls foreign code; a panic is caught, counted and logged.
    fn catch<R>(&self, call: impl FnOnce() -> R) -> Result<R, Panicked> {
        catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
            self.core.counters.panics.add(1);
            self.core
                .logs
                .panic
                .warn("a session panicked; its connection is closed");
            Panicked
        })
    }
}

/// The task that polls a session's work while there is some, until it is done.
struct Runner(Option<Arc<EngineSession>>);

impl Future for Runner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(session) = &self.0 else { return Poll::Ready(()) };
        ready!(session.run(cx));
        self.0 = None;
        Poll::Ready(())
    }
}

impl Drop for Runner {
    /// Its runtime ends: new work starts another runner, on another runtime.
    fn drop(&mut self) {
        let Some(session) = self.0.take() else { return };
        let mut state = session.state();
        if !state.driver.is_runner() {
            return;
        }
        state.driver = Driver::Idle;
        let closed = state.closed();
        drop(state);
        // A caller that is at work in the session, maybe this very thread, takes care of its end
        // afterwards.
        if let Some(reason) = closed
            && session.cell.try_lock().is_ok()
        {
            session.abandon(reason);
        }
    }
}
