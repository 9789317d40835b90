//! Emits within the span of their trace, if they have one.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tracing::Instrument;

use super::Broadcast;
use crate::ack::AckStream;
use crate::id::IntoEventName;
use crate::trace::{self, TraceParent};
use crate::{Error, Payload};

impl Broadcast {
    /// Makes the event a part of a trace, which it carries to the servers that deliver it; see [`trace`].
    /// Default: none.
    pub fn traceparent(mut self, parent: TraceParent) -> Self {
        self.trace = Some(parent);
        self
    }

    pub(super) fn emit_result(
        self,
        event: impl IntoEventName,
        payload: Result<Payload, Error>,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let (sink, scope) = (self.sink.clone(), self.scope);
        let mut emit = match self.into_emit(event, payload) {
            Ok(emit) => emit,
            Err(error) => return std::future::ready(Err(error)).boxed(),
        };
        let span = trace::begin(&mut emit);
        match span.is_disabled() {
            true => sink.emit(emit, scope),
            false => sink.emit(emit, scope).instrument(span).boxed(),
        }
    }

    pub(super) fn emit_expecting(
        self,
        event: impl IntoEventName,
        payload: Result<Payload, Error>,
    ) -> BoxFuture<'static, Result<AckStream, Error>> {
        let (sink, scope, timeout) = (self.sink.clone(), self.scope, self.ack_timeout());
        let emit = self.into_emit(event, payload);
        async move {
            let mut emit = emit?;
            let span = trace::begin(&mut emit);
            Ok(sink.emit_with_ack(emit, scope, timeout).instrument(span).await)
        }
        .boxed()
    }
}
