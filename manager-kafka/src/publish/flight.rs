//! The number of publishes in flight: begun and not complete.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The publishes in flight.
#[derive(Debug, Default)]
pub(super) struct Flights {
    num: AtomicUsize,
    is_closed: AtomicBool,
    is_empty: Notify,
}

/// Guard of one publish in flight.
#[derive(Debug)]
pub(super) struct FlightGuard(Arc<Flights>);

impl Flights {
    /// Counts one more publish; `None` after `close`.
    pub(super) fn begin(flights: &Arc<Self>) -> Option<FlightGuard> {
        // Counted first: `close` is followed by a read of the count, this by a read of the flag.
        flights.num.fetch_add(1, Ordering::SeqCst);
        let guard = FlightGuard(flights.clone());
        (!flights.is_closed()).then_some(guard)
    }

    /// Refuses further publishes.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    /// Returns whether further publishes are refused.
    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    /// Returns whether no publish is in flight.
    pub(super) fn is_empty(&self) -> bool {
        self.num.load(Ordering::SeqCst) == 0
    }

    /// Waits until no publish is in flight.
    pub(super) async fn until_empty(&self) {
        loop {
            let mut empty = pin!(self.is_empty.notified());
            empty.as_mut().enable();
            if self.is_empty() {
                return;
            }
            empty.await;
        }
    }
}

impl Drop for FlightGuard {
    fn drop(&mut self) {
        if self.0.num.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.is_empty.notify_waiters();
        }
    }
}
