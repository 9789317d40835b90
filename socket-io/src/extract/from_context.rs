//! The trait of what a handler may take as an argument, and the arguments that are parts of its context.

use std::future::Future;

use manager_api::{EventName, NamespaceName, Payload};

use super::rejection::Rejection;
use crate::error::DisconnectReason;
use crate::handler::{Context, DisconnectContext, EventContext, MiddlewareContext};
use crate::socket::Socket;

/// Something that a handler can have as an argument.
///
/// A type of your own is one if it can be made from the context. An `async fn` does it, and may ask a database or another service.
///
/// ```
/// use socket_io::extract::{FromContext, Rejection, State};
/// use socket_io::handler::Context;
/// use socket_io::{Socket, SocketIo};
///
/// # #[derive(Clone)]
/// # struct Db;
/// # impl Db {
/// #     async fn user(&self, _: &str) -> Result<String, std::io::Error> { Ok("Ada".to_owned()) }
/// # }
/// struct User { name: String }
///
/// impl<C: Context> FromContext<C> for User {
///     async fn from_context(context: &C) -> Result<Self, Rejection> {
///         let State(db) = State::<Db>::from_context(context).await?;
///         let socket = Socket::from_context(context).await?;
///         let token = socket.handshake().header("authorization").ok_or_else(|| Rejection::new("no token"))?;
///         let name = db.user(token).await.map_err(|error| Rejection::new("no user").with_source(error))?;
///         Ok(Self { name })
///     }
/// }
///
/// let io = SocketIo::builder().state(Db).build();
/// io.namespace("/").on("who am I", async |user: User| user.name);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an argument of this handler",
    note = "events offer `Socket`, `SocketIo`, `Data<T>`, `Payload`, `EventName`, `NamespaceName`, `State<T>`, `Query<T>`, `HeaderMap`, `PeerAddr`, `Extension<T>`; connects `Auth<T>` and disconnects `DisconnectReason` instead of data",
    note = "wrap an argument in `Result<_, Rejection>` to handle its absence yourself; `PeerAddr` and `Extension<T>` in `Option` as well"
)]
pub trait FromContext<C: Context>: Sized {
    /// Takes it out of the context, and may wait for what it needs to do so. The next event of the client waits with it.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if it cannot be had; the handler is not called then. An event gets no acknowledgement, a connecting client is
    /// refused.
    fn from_context(context: &C) -> impl Future<Output = Result<Self, Rejection>> + Send;
}

impl<C: Context> FromContext<C> for Socket {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().clone())
    }
}

impl<C: Context> FromContext<C> for NamespaceName {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().namespace().clone())
    }
}

impl FromContext<EventContext> for Payload {
    async fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        Ok(context.payload.clone())
    }
}

impl FromContext<EventContext> for EventName {
    async fn from_context(context: &EventContext) -> Result<Self, Rejection> {
        Ok(context.event.clone())
    }
}

impl FromContext<DisconnectContext> for DisconnectReason {
    async fn from_context(context: &DisconnectContext) -> Result<Self, Rejection> {
        Ok(context.reason)
    }
}

impl<C: Context, T: FromContext<C>> FromContext<C> for Result<T, Rejection> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(T::from_context(context).await)
    }
}

impl FromContext<MiddlewareContext> for Payload {
    async fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        Ok(context.payload.clone())
    }
}

impl FromContext<MiddlewareContext> for EventName {
    async fn from_context(context: &MiddlewareContext) -> Result<Self, Rejection> {
        Ok(context.event.clone())
    }
}
