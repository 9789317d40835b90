//! What handlers may take as arguments.

use std::fmt;

use manager_api::{EventName, Payload};
use serde::de::DeserializeOwned;

use super::{ConnectContext, Context, DisconnectContext, EventContext};
use crate::error::DisconnectReason;
use crate::server::SocketIo;
use crate::socket::Socket;

/// Something that a handler can have as an argument.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this handler",
    note = "events offer `Socket`, `SocketIo`, `Data<T>`, `Payload`, `EventName`, `State<T>`; connects `Auth<T>` and disconnects `DisconnectReason` instead of data",
    note = "wrap an argument in `Result<_, Rejection>` to handle its absence yourself"
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

/// Says why an argument of a handler cannot be had.
#[derive(Clone, Debug)]
pub struct Rejection(String);

impl Rejection {
    /// Makes a rejection that says why.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejection {}

/// The arguments of the event, as [`Payload::parse`] reads them: a tuple takes several, everything else the first.
#[derive(Clone, Copy, Debug)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext<EventContext> for Data<T> {
    fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        parse(&context.payload).map(Data)
    }
}

/// The authentication details that a client gave when it connected; `Option<T>` if it may give none.
#[derive(Clone, Copy, Debug)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromContext<ConnectContext> for Auth<T> {
    fn from_context(context: &ConnectContext) -> Result<Self, Rejection> {
        parse(&context.auth).map(Auth)
    }
}

/// A clone of a value that the server was [built with](crate::SocketIoBuilder::state).
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

impl<C: Context, T: Clone + Send + Sync + 'static> FromContext<C> for State<T> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        let state = context.socket().states().get::<T>().cloned();
        let missing = || {
            Rejection(format!(
                "the server has no state of type {}",
                std::any::type_name::<T>()
            ))
        };
        state.map(State).ok_or_else(missing)
    }
}

impl<C: Context> FromContext<C> for Socket {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().clone())
    }
}

impl<C: Context> FromContext<C> for SocketIo {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().io())
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

fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Rejection> {
    use std::error::Error as _;
    payload.parse().map_err(|error| match error.source() {
        Some(source) => Rejection(format!("{error}: {source}")),
        None => Rejection(error.to_string()),
    })
}
