//! Listeners: where the connections of a server come from.

use std::future::Future;
use std::io;
use std::net::SocketAddr;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

/// A source of connections for [`serve_on`](super::serve_on): TCP, a Unix socket, or one of your own, such as TLS around either.
///
/// ```
/// use std::io;
///
/// use socket_io::service::{Accepted, Listen};
/// use tokio::net::{TcpListener, TcpStream};
///
/// /// Accepts clients of this machine only.
/// struct LocalOnly(TcpListener);
///
/// impl Listen for LocalOnly {
///     type Io = TcpStream;
///
///     async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
///         loop {
///             let (stream, peer) = self.0.accept().await?;
///             if peer.ip().is_loopback() {
///                 return Ok(Accepted::new(stream).peer(peer));
///             }
///         }
///     }
/// }
/// ```
pub trait Listen: Send {
    /// The stream of a connection. When it becomes a WebSocket, a `TcpStream` or `UnixStream` is taken out of the HTTP server, which is faster
    /// than any other stream.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection.
    ///
    /// # Errors
    ///
    /// They are logged, and accepting goes on after a moment.
    ///
    /// # Cancel safety
    ///
    /// No connection may be lost when the future is dropped: what a client can delay, such as a TLS handshake, belongs into
    /// [`Accepted::after`].
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted<Self::Io>>> + Send;
}

/// A connection that was accepted, and what is known about its client.
pub struct Accepted<Io> {
    pub(super) opening: Opening<Io>,
    pub(super) peer: Option<SocketAddr>,
    pub(super) is_secure: bool,
}

/// The stream of a connection, or what makes it.
pub(super) enum Opening<Io> {
    Open(Io),
    Pending(BoxFuture<'static, io::Result<Io>>),
}

impl<Io> Accepted<Io> {
    /// Takes a stream that is ready for HTTP.
    pub fn new(io: Io) -> Self {
        Self::opening(Opening::Open(io))
    }

    /// Takes a stream that is ready once a future has completed, which the task of the connection waits for. The future must end by itself, for
    /// instance after a timeout.
    pub fn after(opening: impl Future<Output = io::Result<Io>> + Send + 'static) -> Self {
        Self::opening(Opening::Pending(opening.boxed()))
    }

    fn opening(opening: Opening<Io>) -> Self {
        Self {
            opening,
            peer: None,
            is_secure: false,
        }
    }

    /// Sets the address of the client, which requests carry as [`PeerAddr`](super::PeerAddr). Default none.
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = Some(peer);
        self
    }

    /// Marks the connection as encrypted, which requests carry as [`Secure`](super::Secure).
    pub fn secure(mut self) -> Self {
        self.is_secure = true;
        self
    }
}

impl Listen for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> io::Result<Accepted<TcpStream>> {
        let (stream, peer) = TcpListener::accept(self).await?;
        // Packets are small and wait for nothing; a socket that cannot be told so still works.
        let _ = stream.set_nodelay(true);
        Ok(Accepted::new(stream).peer(peer))
    }
}

#[cfg(unix)]
impl Listen for UnixListener {
    type Io = UnixStream;

    async fn accept(&mut self) -> io::Result<Accepted<UnixStream>> {
        let (stream, _) = UnixListener::accept(self).await?;
        Ok(Accepted::new(stream))
    }
}
