//! What is observed of the events that this server delivers: their age, their trace, and the outboxes that they fill.

use std::time::SystemTime;

use manager_api::log::{cut, quietly};
use manager_api::measure::{self, Quantity};
use manager_api::message::Emit;
use tracing::Span;

use super::Hub;
use super::metrics::Counters;
use crate::deliver::Deliver;
use crate::registry::Recipients;

/// Recipients among which one is chosen whose outbox is measured. A bound, because the choice steps over those before it.
const MAX_STEPS: usize = 4_096;

impl<D: Deliver> Hub<D> {
    /// Counts what is malformed in an event of another process and does not keep it from being delivered.
    pub(super) fn note_malformed(&self, emit: &Emit) {
        if emit.num_malformed > 0 {
            Counters::add_many(&self.counters.malformed_extensions, emit.num_malformed.into());
        }
    }

    /// Records how long an event of another process was on its way, now that it is delivered; logs it if it is traced.
    pub(super) fn note_delivered(&self, emit: &Emit, num_clients: u64) {
        if let Some(sent) = emit.sent.filter(|_| measure::is_on()) {
            // The clock of the emitter may be ahead.
            let age = SystemTime::now().duration_since(sent).unwrap_or_default();
            measure::record(Quantity::MessageAge, age.as_secs_f64());
        }
        if emit.trace.is_some() {
            quietly(|| tracing::debug!(clients = num_clients, "delivered an event of another process"));
        }
    }

    /// Records the size of one recipient's outbox, for some events.
    pub(super) fn measure_outbox(&self, recipients: &Recipients<D::Client>) {
        if !measure::is_sampled(Quantity::OutboxBytes) {
            return;
        }
        let len = recipients.iter().take(MAX_STEPS).count();
        let chosen = fastrand::usize(..len.max(1));
        if let Some(member) = recipients.iter().nth(chosen) {
            let bytes = self.deliver.outbox_bytes(&member.handle);
            measure::record(Quantity::OutboxBytes, bytes as f64);
        }
    }
}

/// Returns the span of a delivery within the trace of its event; `None` if the event has no trace, or no subscriber wants it.
pub(super) fn deliver_span(emit: &Emit) -> Option<Span> {
    let parent = emit.trace.as_deref()?;
    let own = parent.child();
    let mut span = Span::none();
    quietly(|| {
        span = tracing::info_span!(
            "deliver",
            trace_id = own.trace_id(),
            span_id = own.span_id(),
            parent_span_id = parent.span_id(),
            event = cut(emit.event.as_str()),
            namespace = cut(emit.namespace.as_str()),
        );
    });
    (!span.is_disabled()).then_some(span)
}
