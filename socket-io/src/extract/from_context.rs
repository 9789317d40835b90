//! The trait of what a handler may take as an argument, and the arguments that are parts of its context.

use manager_api::{EventName, NamespaceName, Payload};

use super::rejection::Rejection;
use crate::error::DisconnectReason;
use crate::handler::{Context, DisconnectContext, EventContext, MiddlewareContext};
use crate::socket::Socket;

/// Something that a handler can have as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this handler",
    note = "events offer `Socket`, `SocketIo`, `Data<T>`, `Payload`, `EventName`, `NamespaceName`, `State<T>`, `Query<T>`, `HeaderMap`, `PeerAddr`, `Extension<T>`; connects `Auth<T>` and disconnects `DisconnectReason` instead of data",
    note = "wrap an argument in `Result<_, Rejection>` to handle its absence yourself; `PeerAddr` and `Extension<T>` in `Option` as well"
)]
pub trait FromContext<C: Context>: Sized {
    /// Takes it out of the context.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if it cannot be had; the handler is not called then. An event gets no acknowledgement, a connecting client is
    /// refused.
    fn from_context(context: &C) -> Result<Self, Rejection>;
}

impl<C: Context> FromContext<C> for Socket {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().clone())
    }
}

impl<C: Context> FromContext<C> for NamespaceName {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().namespace().clone())
    }
}

impl FromContext<EventContext> for Payload {
    fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        Ok(context.payload.clone())
    }
}

impl FromContext<EventContext> for EventName {
    fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        Ok(context.event.clone())
    }
}

impl FromContext<DisconnectContext> for DisconnectReason {
    fn from_context(context: &DisconnectContext) -> Result<Self, Rejection> {
        Ok(context.reason)
    }
}

impl<C: Context, T: FromContext<C>> FromContext<C> for Result<T, Rejection> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(T::from_context(context))
    }
}

impl FromContext<MiddlewareContext> for Payload {
    fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        Ok(context.payload.clone())
    }
}

impl FromContext<MiddlewareContext> for EventName {
    fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        Ok(context.event.clone())
    }
}
