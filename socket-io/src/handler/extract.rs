//! What handlers may take as arguments.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use manager_api::{EventName, NamespaceName, Payload};
use serde::de::DeserializeOwned;

use super::{ConnectContext, Context, DisconnectContext, EventContext};
use crate::error::DisconnectReason;
use crate::server::SocketIo;
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

/// Says why an argument of a handler cannot be had.
///
/// It is logged as it displays, which must quote nothing that the client sent; what does is its [source](std::error::Error::source), and
/// logged at the level `trace` only.
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: String,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Rejection {
    /// Makes a rejection that says why, without quoting the client.
    pub fn new(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { reason, source: None }
    }

    /// Adds the error that led to it, which may quote the client.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl StdError for Rejection {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

/// The arguments of the event, as [`Payload::parse`] reads them: a tuple takes several, everything else the first.
#[derive(Clone, Copy, Debug)]
pub struct Data<T>(pub T);

impl<T: DeserializeOwned> FromContext<EventContext> for Data<T> {
    fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        parse(&context.payload).map(Data)
    }
}

/// The authentication details that a client gave when it connected: an object; `Option<T>` if it may give none.
///
/// An empty object is what python-socketio's clients send if they give none. It is taken for nothing where it does not fit the type.
#[derive(Clone, Copy, Debug)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned> FromContext<ConnectContext> for Auth<T> {
    fn from_context(context: &ConnectContext) -> Result<Self, Rejection> {
        let auth = &context.auth;
        let read = parse(auth).or_else(|unfit| match auth.json() {
            "[{}]" => parse(&Payload::empty()).map_err(|_| unfit),
            _ => Err(unfit),
        });
        read.map(Auth)
    }
}

/// A clone of a value that the server was [built with](crate::SocketIoBuilder::state).
#[derive(Clone, Copy, Debug)]
pub struct State<T>(pub T);

impl<C: Context, T: Clone + Send + Sync + 'static> FromContext<C> for State<T> {
    fn from_context(context: &C) -> Result<Self, Rejection> {
        let state = context.socket().states().get::<T>().cloned();
        let missing = || {
            let name = std::any::type_name::<T>();
            Rejection::new(format!("the server has no state of type {name}"))
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

pub(super) fn parse<T: DeserializeOwned>(payload: &Payload) -> Result<T, Rejection> {
    // The error's own text is ours; that of its source quotes values.
    payload
        .parse()
        .map_err(|error| Rejection::new(error.to_string()).with_source(error))
}
