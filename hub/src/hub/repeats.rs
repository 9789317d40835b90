//! Events with a key: which of them are repeats.

use manager_api::HostId;
use manager_api::cluster::ResponsePart;
use manager_api::log::{LimitedLog, cut, quietly};
use manager_api::message::Emit;

use super::Hub;
use super::metrics::Counters;
use crate::deliver::Deliver;
use crate::recent_keys::Sighting;
use crate::registry::Recipients;

impl<D: Deliver> Hub<D> {
    /// Returns, for a repeat of an event, the number of clients that were handed the first copy. Otherwise its key, if it
    /// has one, is known from now on: before the event is delivered, so that a copy that comes meanwhile, or after a
    /// delivery that panicked halfway, reaches no client twice.
    pub(super) fn repeated(&self, emit: &Emit) -> Option<u64> {
        let key = emit.key.as_ref()?;
        match self.recent_keys.see(&emit.namespace, key) {
            Sighting::First { has_evicted } => {
                if has_evicted {
                    note_evicted(self.options.max_idempotency_keys);
                }
                None
            }
            Sighting::Repeat { num_clients } => {
                Counters::add(&self.counters.repeats);
                let (event, namespace) = (cut(emit.event.as_str()), cut(emit.namespace.as_str()));
                quietly(|| {
                    tracing::debug!(
                        event,
                        namespace,
                        "dropped an event whose idempotency key was seen before"
                    )
                });
                Some(num_clients)
            }
        }
    }

    /// Records how many clients the first copy of an event with a key was handed to.
    pub(super) fn note_handed(&self, emit: &Emit, num_clients: u64) {
        if let Some(key) = &emit.key {
            self.recent_keys.handed(&emit.namespace, key, num_clients);
        }
    }

    /// Returns the recipients of an event of this server: none of a repeat.
    pub(super) async fn first_recipients(&self, emit: &Emit) -> (Recipients<D::Client>, u64) {
        match self.repeated(emit) {
            None => (self.recipients(emit).await, 0),
            Some(num_clients) => (Recipients::none(), num_clients),
        }
    }

    /// Responds to the sender of a repeat, who may be another one than that of the first copy: no client will
    /// acknowledge, and so many were handed the first copy.
    pub(super) fn respond_to_repeat(&self, emit: &Emit, origin: Option<&HostId>, num_clients: u64) {
        if let (Some(request), Some(origin)) = (emit.report, origin) {
            self.respond(origin, request, ResponsePart::Recipients(Vec::new()));
        }
        self.respond_receipt(emit, origin, num_clients);
    }
}

/// Logs that a promise was not kept for as long as it was made.
fn note_evicted(max: usize) {
    static EVICTED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = EVICTED.pass() {
        let text = "forgot an idempotency key before its time, so that a repeat of its event would be delivered: \
                    more are in use than max_idempotency_keys";
        quietly(|| tracing::warn!(suppressed, max, "{text}"));
    }
}
