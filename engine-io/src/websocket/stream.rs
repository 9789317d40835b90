//! The stream of a WebSocket, and the terms that were agreed on for it.

use tokio::io::{AsyncRead, AsyncWrite};

/// A stream that can carry a WebSocket.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// The terms that were agreed on with the client of a WebSocket.
#[derive(Clone, Copy)]
pub(crate) struct Terms {
    /// permessage-deflate.
    pub(crate) deflate: bool,
    /// The client wants bytes as base64.
    pub(crate) base64: bool,
}
