//! An event on its way through middleware to its handler.

use manager_api::Payload;

use crate::extract::Rejection;
use crate::handler::{BoxHandler, EventContext, HandlerError, MiddlewareContext, Pass};

/// What became of an event that had to pass middleware.
pub(super) enum Filtered {
    /// Its handler ran; these are the arguments of the acknowledgement.
    Handled(Payload),
    /// It passed, but has no handler, or middleware disconnected its client.
    Unhandled,
    /// Middleware did not let it pass.
    Refused(HandlerError),
    /// Middleware or its handler could not be called.
    Unfit(Rejection),
    /// Its handler failed.
    Failed(HandlerError),
}

pub(super) async fn run(
    steps: Box<[BoxHandler<MiddlewareContext>]>,
    handler: Option<BoxHandler<EventContext>>,
    mut context: EventContext,
) -> Filtered {
    for step in steps {
        let context_of_step = MiddlewareContext {
            socket: context.socket.clone(),
            event: context.event.clone(),
            payload: context.payload.clone(),
        };
        match step.call(context_of_step).await {
            Ok(Ok(Pass::Unchanged)) => {}
            Ok(Ok(Pass::With(payload))) => context.payload = payload,
            Ok(Err(reason)) => return Filtered::Refused(reason),
            Err(rejection) => return Filtered::Unfit(rejection),
        }
        if context.socket.is_disconnected() {
            return Filtered::Unhandled;
        }
    }
    let Some(handler) = handler else {
        return Filtered::Unhandled;
    };
    match handler.call(context).await {
        Ok(Ok(payload)) => Filtered::Handled(payload),
        Ok(Err(error)) => Filtered::Failed(error),
        Err(rejection) => Filtered::Unfit(rejection),
    }
}
