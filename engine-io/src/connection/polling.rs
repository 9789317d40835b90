//! The long-polling state of an engine session: pending requests, unsent bodies, and its upgrade.

use std::sync::Weak;
use std::task::Waker;

/// The long-polling state of one session.
#[derive(Default)]
pub(crate) struct Polling {
    /// The GET that waits for packets.
    pub(crate) get: Option<PendingGet>,
    /// How far a POST has come.
    pub(crate) post: PostPhase,
    /// Wakes a POST that waits for the session, or for a GET.
    pub(crate) post_waker: Option<Waker>,
    /// The next GET is the last: it gets the close packet.
    pub(crate) close_armed: bool,
    /// How far a WebSocket has come with replacing long-polling.
    pub(crate) upgrade: Upgrade,
    /// Wakes the probe of a WebSocket when the session closes.
    pub(crate) probe_waker: Option<Waker>,
    /// Long response bodies that the HTTP server may not have asked for wholly.
    pub(crate) bodies: Vec<Weak<dyn UnsentBody>>,
}

/// A GET that waits.
pub(crate) struct PendingGet {
    /// Wakes the GET when there are packets.
    pub(crate) waker: Option<Waker>,
    /// It is to end with a NOOP packet.
    pub(crate) noop: bool,
    /// When it arrived.
    pub(crate) phase: PollPhase,
}

/// When a GET arrived: one that arrives after the probe of a WebSocket waits for a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollPhase {
    /// The upgrade ends it, so that the client can move.
    BeforeProbe,
    /// The client is likely to move before there are packets for it.
    AfterProbe,
}

/// How far a POST has come; there is one at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PostPhase {
    /// There is none.
    #[default]
    None,
    /// Its body is being read.
    Reading,
    /// Its body is not read any further: bodies of all clients together are too long.
    Refused,
    /// Its packets are being handled.
    Handling,
}

/// How far a WebSocket has come with replacing long-polling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Upgrade {
    /// No WebSocket is open.
    #[default]
    None,
    /// A WebSocket is open, and has not sent its probe.
    Opened,
    /// Its probe was answered.
    Probed,
}

/// The bytes of a response that the HTTP server has not asked for yet.
pub(crate) trait UnsentBody: Send + Sync {
    /// Releases the bytes; the HTTP server gets an error in their place.
    fn release(&self);
}

impl Polling {
    /// Returns the phase in which a GET that arrives now would be.
    pub(crate) fn phase(&self) -> PollPhase {
        match self.upgrade {
            Upgrade::Probed => PollPhase::AfterProbe,
            Upgrade::None | Upgrade::Opened => PollPhase::BeforeProbe,
        }
    }

    /// Makes a GET wait; returns its phase.
    pub(crate) fn begin_get(&mut self) -> PollPhase {
        let phase = self.phase();
        self.get = Some(PendingGet {
            waker: None,
            noop: false,
            phase,
        });
        phase
    }

    /// Ends the GET that waits, if it arrived in that phase, so that an upgrade need not wait for
    /// it; returns its waker.
    pub(crate) fn end_get_with_noop(&mut self, phase: PollPhase) -> Option<Waker> {
        let get = self.get.as_mut().filter(|get| get.phase == phase)?;
        get.noop = true;
        get.waker.take()
    }

    /// Allows the next POST.
    pub(crate) fn end_post(&mut self) {
        self.post = PostPhase::None;
        self.post_waker = None;
    }

    /// Registers a long response, so that [`release`] can take its bytes back.
    pub(crate) fn watch(&mut self, body: Weak<dyn UnsentBody>) {
        self.bodies.retain(|body| body.strong_count() > 0);
        self.bodies.push(body);
    }

    /// Returns the wakers of all requests that wait for something to happen to the session.
    pub(crate) fn waiters(&mut self) -> impl Iterator<Item = Waker> {
        let get = self.get.as_mut().and_then(|get| get.waker.take());
        [get, self.post_waker.take(), self.probe_waker.take()]
            .into_iter()
            .flatten()
    }
}

/// Releases what responses still hold. No lock of a session may be held: the last handle of a
/// response locks its session when it is dropped.
pub(crate) fn release(bodies: Vec<Weak<dyn UnsentBody>>) {
    bodies.iter().filter_map(Weak::upgrade).for_each(|body| body.release());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Default)]
    struct Body(AtomicUsize);

    impl UnsentBody for Body {
        fn release(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn only_a_get_of_the_right_phase_is_ended() {
        let mut polling = Polling::default();
        assert!(
            polling.end_get_with_noop(PollPhase::BeforeProbe).is_none(),
            "none waits"
        );
        assert_eq!(polling.begin_get(), PollPhase::BeforeProbe);
        polling.get.as_mut().unwrap().waker = Some(Waker::noop().clone());
        assert!(polling.end_get_with_noop(PollPhase::AfterProbe).is_none());
        assert!(!polling.get.as_ref().unwrap().noop);
        assert!(polling.end_get_with_noop(PollPhase::BeforeProbe).is_some());
        assert!(polling.get.as_ref().unwrap().noop);
    }

    #[test]
    fn a_get_after_the_probe_is_told_apart() {
        let mut polling = Polling {
            upgrade: Upgrade::Opened,
            ..Polling::default()
        };
        assert_eq!(polling.begin_get(), PollPhase::BeforeProbe);
        polling.upgrade = Upgrade::Probed;
        assert_eq!(polling.begin_get(), PollPhase::AfterProbe);
    }

    #[test]
    fn every_request_that_waits_is_woken_once() {
        let mut polling = Polling::default();
        polling.begin_get();
        polling.get.as_mut().unwrap().waker = Some(Waker::noop().clone());
        polling.post_waker = Some(Waker::noop().clone());
        polling.probe_waker = Some(Waker::noop().clone());
        assert_eq!(polling.waiters().count(), 3);
        assert_eq!(polling.waiters().count(), 0);
    }

    #[test]
    fn bodies_are_released_while_they_are_there_and_forgotten_after() {
        let (kept, dropped) = (Arc::new(Body::default()), Arc::new(Body::default()));
        let mut polling = Polling::default();
        let weak: Weak<Body> = Arc::downgrade(&dropped);
        polling.watch(weak);
        drop(dropped);
        let weak: Weak<Body> = Arc::downgrade(&kept);
        polling.watch(weak);
        assert_eq!(polling.bodies.len(), 1);
        release(std::mem::take(&mut polling.bodies));
        assert_eq!(kept.0.load(Ordering::Relaxed), 1);
    }
}
