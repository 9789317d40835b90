//! Calls into sessions: one at a time, their panics caught, their work polled by exactly one task.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use crate::engine::Live;
use crate::shared::{Shared, wake};
use crate::state::Driver;
use crate::{CloseReason, Session};

/// A session, until its work is done.
#[derive(Default)]
pub(crate) struct SessionCell {
    session: Option<Box<dyn Session>>,
    /// Counts the session until it is dropped.
    live: Option<Live>,
    told: bool,
}

/// A session panicked; its connection is closed for it.
pub(crate) struct Panicked;

/// There is no session; the connection is closed.
pub(crate) struct NotOpened;

impl Shared {
    /// Lets the handler make the session.
    pub(crate) fn open_session(self: &Arc<Self>, make: impl FnOnce() -> Box<dyn Session>) -> Result<(), NotOpened> {
        let result = self.catch(make);
        if result.is_err() {
            self.fail(CloseReason::ForcedClose);
        }
        let mut cell = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        cell.session = Some(result.map_err(|Panicked| NotOpened)?);
        cell.live = Some(Live::new(&self.engine));
        drop(cell);
        if self.state().closed().is_some() {
            // Closed before there was a session to tell.
            self.wake_driver();
        }
        Ok(())
    }

    /// Calls the session, unless it is gone or was told of its end.
    pub(crate) fn with_session<R>(
        self: &Arc<Self>,
        call: impl FnOnce(&mut dyn Session) -> R,
    ) -> Result<Option<R>, Panicked> {
        let mut cell = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        if cell.told {
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

    /// Polls the session's work, after telling it if the connection is gone. Ready when nothing is left.
    pub(crate) fn drive(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.drive_if(cx, |_| true)
    }

    fn drive_if(self: &Arc<Self>, cx: &mut Context<'_>, still: impl FnOnce(&Driver) -> bool) -> Poll<()> {
        let mut cell = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = {
            let state = self.state();
            // Asked under the session's lock: whoever takes over polls after us, and its waker stays the last.
            if !still(&state.driver) {
                return Poll::Ready(());
            }
            state.closed()
        };
        // A session that is still being made is told when it is there.
        let SessionCell {
            session: Some(session),
            told,
            ..
        } = &mut *cell
        else {
            return Poll::Ready(());
        };
        let told_before = *told;
        *told |= closed.is_some();
        let result = self.catch(|| {
            if let (Some(reason), false) = (closed, told_before) {
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
            // Whoever drives must come back to tell the session.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    /// Tells the session of its end and drops it, whatever work is left: for a task that is itself dropped.
    pub(crate) fn abandon_session(self: &Arc<Self>, reason: CloseReason) {
        let mut cell = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let told = std::mem::replace(&mut cell.told, true);
        let session = cell.session.take();
        let _live = cell.live.take();
        drop(cell);
        let _ = self.catch(|| {
            let Some(mut session) = session else { return };
            if !told {
                session.close(reason);
            }
        });
    }

    /// Makes sure that somebody polls the session's work, because there may be new.
    pub(crate) fn wake_driver(self: &Arc<Self>) {
        let mut state = self.state();
        match &mut state.driver {
            Driver::WebSocketTask => {
                let waker = state.task.wake_session();
                drop(state);
                wake(waker);
            }
            Driver::Runner { session_woken, waker } => {
                *session_woken = true;
                let waker = waker.take();
                drop(state);
                wake(waker);
            }
            Driver::Idle => {
                state.driver = Driver::Runner {
                    session_woken: false,
                    waker: None,
                };
                drop(state);
                self.engine.spawn(Runner(Some(self.clone())));
            }
        }
    }

    /// Polls the work right here if nobody drives it; what is not done at once goes to a task of its own.
    pub(crate) fn drive_here(self: &Arc<Self>) {
        let mut state = self.state();
        if !matches!(state.driver, Driver::Idle) {
            drop(state);
            return self.wake_driver();
        }
        state.driver = Driver::Runner {
            session_woken: false,
            waker: None,
        };
        drop(state);
        if self.run(&mut Context::from_waker(Waker::noop())).is_pending() {
            self.engine.spawn_here(Runner(Some(self.clone())));
        }
    }

    /// Polls the work as the runner: ready when there is none, or when another drives it.
    fn run(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut state = self.state();
            let Driver::Runner { session_woken, waker } = &mut state.driver else {
                return Poll::Ready(());
            };
            *session_woken = false;
            *waker = Some(cx.waker().clone());
            drop(state);
            let done = self.drive_if(cx, |driver| matches!(driver, Driver::Runner { .. }));
            let mut state = self.state();
            let post = state.polling.as_mut().and_then(|polling| polling.post_waker.take());
            let finished = match &state.driver {
                Driver::Runner { session_woken, .. } => done.is_ready() && !session_woken,
                _ => true,
            };
            if finished && matches!(state.driver, Driver::Runner { .. }) {
                state.driver = Driver::Idle;
            }
            drop(state);
            // A POST may wait until the session is no longer input_full.
            wake(post);
            if finished {
                return Poll::Ready(());
            }
            if done.is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn catch<R>(&self, call: impl FnOnce() -> R) -> Result<R, Panicked> {
        catch_unwind(AssertUnwindSafe(call)).map_err(|_| {
            self.engine.counters.panics.add(1);
            self.engine
                .logs
                .panic
                .warn("a session panicked; its connection is closed");
            Panicked
        })
    }
}

/// The task that polls a session's work while there is some, until it is done.
struct Runner(Option<Arc<Shared>>);

impl Future for Runner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(shared) = &self.0 else { return Poll::Ready(()) };
        ready!(shared.run(cx));
        self.0 = None;
        Poll::Ready(())
    }
}

impl Drop for Runner {
    /// Its runtime ends: whoever brings new work has to start another one, on another runtime.
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut state = shared.state();
        if !matches!(state.driver, Driver::Runner { .. }) {
            return;
        }
        state.driver = Driver::Idle;
        let closed = state.closed();
        drop(state);
        // Whoever is at work in the session, maybe this very thread, takes care of its end afterwards.
        if let Some(reason) = closed
            && shared.session.try_lock().is_ok()
        {
            shared.abandon_session(reason);
        }
    }
}
