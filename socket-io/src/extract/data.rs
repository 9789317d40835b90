//! The arguments that are read from what the client sent.

use manager_api::Payload;
use serde::de::DeserializeOwned;

use super::from_context::FromContext;
use super::rejection::Rejection;
use crate::handler::{ConnectContext, EventContext, MiddlewareContext};

/// The arguments of the event, as [`Payload::parse`] reads them: a tuple takes several, everything else the first.
#[derive(Clone, Copy, Debug)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext<EventContext> for Data<T> {
    async fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        parse(&context.payload).map(Data)
    }
}

/// The authentication details that a client gave when it connected: an object; `Option<T>` if it may give none.
///
/// An empty object is what python-socketio's clients send if they give none. It is taken for nothing where it does not fit the type.
#[derive(Clone, Copy, Debug)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromContext<ConnectContext> for Auth<T> {
    async fn from_context(context: &ConnectContext) -> Result<Self, Rejection> {
        let auth = &context.auth;
        let read = parse(auth).or_else(|unfit| match auth.json() {
            "[{}]" => parse(&Payload::empty()).map_err(|_| unfit),
            _ => Err(unfit),
        });
        read.map(Auth)
    }
}

impl<T: DeserializeOwned> FromContext<MiddlewareContext> for Data<T> {
    async fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        parse(&context.payload).map(Data)
    }
}

fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Rejection> {
    // The error's own text is ours; that of its source quotes values.
    payload
        .parse()
        .map_err(|error| Rejection::new(error.to_string()).with_source(error))
}
