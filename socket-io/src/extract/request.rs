//! The arguments that are parts of the request that opened the connection.

use http::HeaderMap;
use serde::de::DeserializeOwned;

use engine_io::http::PeerAddr;

use super::from_context::FromContext;
use super::rejection::Rejection;
use crate::handler::Context;

/// The query of the request that opened the connection, read into a type as axum's `Query` does.
///
/// The keys of the protocol (`EIO`, `transport`, `t`) are in it too.
///
/// ```
/// # use socket_io::{Socket, SocketIo};
/// # use socket_io::extract::Query;
/// # let io = SocketIo::new();
/// #[derive(serde::Deserialize)]
/// struct Wish { room: String }
///
/// io.namespace("/").on_connect(async |socket: Socket, Query(wish): Query<Wish>| socket.join(wish.room).is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<C: Context, T: DeserializeOwned> FromContext<C> for Query<T> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let query = serde_urlencoded::from_str(context.socket().handshake().query());
        let unfit = |error| Rejection::new("the query has another form than expected").with_source(error);
        query.map(Query).map_err(unfit)
    }
}

/// A clone of a value among the extensions of the request that opened the connection, such as a tower layer puts there.
///
/// ```
/// # use socket_io::SocketIo;
/// # use socket_io::extract::Extension;
/// # let io = SocketIo::new();
/// #[derive(Clone)]
/// struct User { is_employed: bool }
///
/// io.namespace("/staff").on_connect(async |Extension(user): Extension<User>| user.is_employed);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Extension<T>(pub T);

impl<C: Context, T: Clone + Send + Sync + 'static> FromContext<C> for Extension<T> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let value = context.socket().handshake().extensions().get::<T>().cloned();
        let missing = || {
            let name = std::any::type_name::<T>();
            Rejection::new(format!("the request has no extension of type {name}"))
        };
        value.map(Extension).ok_or_else(missing)
    }
}

/// `None` if there is no such value. `Option` is for what can be absent and nothing else: data that does not fit must not pass for
/// data that was not sent.
impl<C: Context, T: Clone + Send + Sync + 'static> FromContext<C> for Option<Extension<T>> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(Extension::from_context(context).await.ok())
    }
}

/// All headers of the request that opened the connection, decoded for each handler that asks; for a single one,
/// [`Handshake::header`](engine_io::Handshake::header) is cheaper.
impl<C: Context> FromContext<C> for HeaderMap {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(context.socket().handshake().headers())
    }
}

/// The address of the peer that opened the connection, if the host framework provides it: [`serve`](crate::serve()) does. Behind a proxy
/// it is the proxy's.
impl<C: Context> FromContext<C> for PeerAddr {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        let address = context.socket().handshake().peer_addr();
        let unknown = || Rejection::new("the address of the client is not known");
        address.map(PeerAddr).ok_or_else(unknown)
    }
}

/// `None` if the address is not known, as on a Unix socket.
impl<C: Context> FromContext<C> for Option<PeerAddr> {
    async fn from_context(context: &C) -> Result<Self, Rejection> {
        Ok(PeerAddr::from_context(context).await.ok())
    }
}
