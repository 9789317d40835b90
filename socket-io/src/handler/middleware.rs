//! What events pass before they are handled.

use std::fmt::Display;

use manager_api::{EventName, Payload};
use serde::de::DeserializeOwned;

use super::extract::parse;
use super::{Context, Data, FromContext, HandlerError, IntoOutcome, Rejection};
use crate::socket::Socket;

/// What [event middleware](crate::Handlers::use_event) is called with.
#[derive(Clone, Debug)]
pub struct MiddlewareContext {
    /// The client that emitted the event.
    pub socket: Socket,
    /// The event's name.
    pub event: EventName,
    /// Its arguments, as earlier middleware left them.
    pub payload: Payload,
}

/// What becomes of an event that middleware has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pass {
    /// It goes on as it is.
    Unchanged,
    /// It goes on with other arguments.
    With(Payload),
}

impl Context for MiddlewareContext {
    /// How the event goes on, or why it does not.
    type Outcome = Result<Pass, HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
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

impl<T: DeserializeOwned> FromContext<MiddlewareContext> for Data<T> {
    fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        parse(&context.payload).map(Data)
    }
}

impl IntoOutcome<MiddlewareContext> for Pass {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(self)
    }
}

impl IntoOutcome<MiddlewareContext> for () {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(Pass::Unchanged)
    }
}

impl IntoOutcome<MiddlewareContext> for bool {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        if self {
            Ok(Pass::Unchanged)
        } else {
            Err("refused".to_owned())
        }
    }
}

impl IntoOutcome<MiddlewareContext> for Payload {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        Ok(Pass::With(self))
    }
}

impl<T: IntoOutcome<MiddlewareContext>, E: Display> IntoOutcome<MiddlewareContext> for Result<T, E> {
    fn into_outcome(self) -> Result<Pass, HandlerError> {
        self.map_err(|error| error.to_string())?.into_outcome()
    }
}
