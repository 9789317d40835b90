//! How many publishes were begun and not answered.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The publishes that were begun and not answered.
#[derive(Debug, Default)]
pub(super) struct Flight {
    num: AtomicUsize,
    is_closed: AtomicBool,
    is_empty: Notify,
}

/// Counts for one publish.
#[derive(Debug)]
pub(super) struct Aboard(Arc<Flight>);

impl Flight {
    /// Counts one more publish, unless this is closed.
    pub(super) fn board(flight: &Arc<Self>) -> Option<Aboard> {
        // Counted first: whoever closes sees either the count or this look at the flag.
        flight.num.fetch_add(1, Ordering::SeqCst);
        let aboard = Aboard(flight.clone());
        (!flight.is_closed()).then_some(aboard)
    }

    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
    }

    fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::SeqCst)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.num.load(Ordering::SeqCst) == 0
    }

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

impl Drop for Aboard {
    fn drop(&mut self) {
        if self.0.num.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.is_empty.notify_waiters();
        }
    }
}
