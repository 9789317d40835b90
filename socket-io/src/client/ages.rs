//! The ages of events, told to clients that asked for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use manager_api::Payload;
use manager_api::message::Emit;

use super::recipient::Recipient;
use crate::config::Parser;

/// Clients of a server that are told ages at a time: each costs a packet more for each event, which is encoded for it alone.
const MAX_ASKING: usize = 64;

/// The event that tells a client how old the one before it is: `["sio:age", milliseconds, event]`.
pub(crate) const EVENT: &str = "sio:age";

/// The clients of a server that are told the ages of events: while there are none, events cost nothing more.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    num_asking: AtomicUsize,
}

impl Ages {
    /// Counts a client that asks; `false` if as many do as are told.
    pub(crate) fn ask(&self) -> bool {
        let one_more = |num: usize| (num < MAX_ASKING).then_some(num + 1);
        let counted = self
            .num_asking
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.is_ok()
    }

    /// Forgets one that had asked.
    pub(crate) fn cease(&self) {
        self.num_asking.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells whether any client asks.
    pub(crate) fn are_asked(&self) -> bool {
        self.num_asking.load(Ordering::Relaxed) > 0
    }

    /// Tells a client that asked how old the event is that it was just sent, if its publisher wrote the time into it. That is
    /// dropped where the client reads slowly: it must not make that worse.
    pub(crate) fn tell<C: Recipient>(client: &C, emit: &Emit, parser: Parser) {
        let Some(sent) = emit.sent.filter(|_| client.asks_ages()) else {
            return;
        };
        // The clock of the publisher may be ahead.
        let age = SystemTime::now().duration_since(sent).unwrap_or_default();
        let milliseconds = (age.as_secs_f64() * 1e5).round() / 100.0;
        let Ok(payload) = Payload::new(&(milliseconds, emit.event.as_str())) else {
            return;
        };
        // A client that is gone needs none.
        let _ = client.send(parser.event(client.namespace(), EVENT, &payload, None), true);
    }
}
