//! A listener of its own for the server, without a web framework.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use engine_io::BoxError;
use engine_io::http::{PacedStream, PeerAddr, Progress, Secure};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use manager_api::log::{LimitedLog, quietly};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;

use super::host::HostRequired;
use super::listen::{Accepted, Listen, Opening};
use super::not_found::NotFound;
use crate::server::SocketIo;

/// Serves Socket.IO on a listener until `shutdown` completes; everything else is 404, and a request of HTTP/1.1 without a `Host` 400.
///
/// Then no new connection is accepted, every client is disconnected (`server shutting down`), their handlers finish, and the manager is
/// flushed and closed. Connections that are idle, have sent half a request or do not read their answer delay that by less than a second;
/// a request that is at work has five seconds, a handler of a client ten.
///
/// An answer that its client does not read is given up after [`http_write_timeout`](crate::config::Config::http_write_timeout), a connection on
/// which no request comes after [`http_idle_timeout`](crate::config::Config::http_idle_timeout).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let io = socket_io::SocketIo::new();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// socket_io::serve(listener, io, async { tokio::signal::ctrl_c().await.ok(); }).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// If the manager cannot be flushed at the end. Errors of single connections are logged, errors of accepting (too many open files) too;
/// accepting goes on after a moment.
pub async fn serve(
    listener: TcpListener,
    io: SocketIo,
    shutdown: impl Future<Output = ()>,
) -> Result<(), manager_api::Error> {
    serve_with(listener, io, NotFound, shutdown).await
}

/// As [`serve`], but other requests are answered by a service.
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_with<S, R>(
    listener: TcpListener,
    io: SocketIo,
    fallback: S,
    shutdown: impl Future<Output = ()>,
) -> Result<(), manager_api::Error>
where
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    serve_on(listener, io, fallback, shutdown).await
}

/// As [`serve_with`], on a listener of any kind.
///
/// To shut down without a storm of reconnecting clients, let `shutdown` [drain](SocketIo::drain) the server before it completes:
///
/// ```no_run
/// # use std::time::Duration;
/// # use socket_io::service::{NotFound, serve_on};
/// # async fn example(listener: tokio::net::TcpListener) -> Result<(), socket_io::Error> {
/// let io = socket_io::SocketIo::new();
/// let shutdown = async {
///     tokio::signal::ctrl_c().await.ok();
///     io.drain(Duration::from_secs(20)).await;
/// };
/// serve_on(listener, io.clone(), NotFound, shutdown).await
/// # }
/// ```
///
/// # Errors
///
/// As [`serve`].
pub async fn serve_on<L, S, R>(
    mut listener: L,
    io: SocketIo,
    fallback: S,
    shutdown: impl Future<Output = ()>,
) -> Result<(), manager_api::Error>
where
    L: Listen,
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    let service = HostRequired(io.layer().layer(fallback));
    let patience = {
        let config = &io.core().config;
        Patience {
            idle: config.http_idle_timeout,
            write: config.http_write_timeout,
        }
    };
    let (stop, stopped) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => drop(tokio::spawn(connection(accepted, service.clone(), patience, stopped.clone()))),
                Err(error) => accept_failed(&error).await,
            },
            () = &mut shutdown => break,
        }
    }
    drop((listener, stopped));
    // A connection that sees the change finishes its request; clients on a WebSocket are the server's to disconnect.
    stop.send_replace(());
    let closed = io.close().await;
    // Every connection holds a receiver, so this completes when the last is gone.
    let _ = tokio::time::timeout(LAST_REQUESTS + LAST_PROGRESS, stop.closed()).await;
    closed
}

/// How long answers under way may take at shutdown.
const LAST_REQUESTS: Duration = Duration::from_secs(5);

/// How long a connection may stand still at shutdown, unless its request is at work: idle, with half a request, or with an answer that its
/// client does not read.
const LAST_PROGRESS: Duration = Duration::from_millis(250);

/// The largest head of a request, and the buffer it is read into, in bytes.
const HEAD_BYTES: usize = 16 * 1024;

/// How a connection is served.
#[derive(Clone, Copy)]
struct Patience {
    idle: Duration,
    write: Duration,
}

/// Serves a connection, once its stream is open.
async fn connection<Io, S, R>(accepted: Accepted<Io>, service: S, patience: Patience, mut stopped: watch::Receiver<()>)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let Accepted {
        opening,
        peer,
        is_secure,
    } = accepted;
    let opened = match opening {
        Opening::Open(stream) => Ok(stream),
        Opening::Pending(opening) => tokio::select! {
            opened = opening => opened,
            _ = stopped.changed() => return,
        },
    };
    match opened {
        Ok(stream) => http(stream, Client { peer, is_secure }, service, patience, stopped).await,
        Err(error) => quietly(|| tracing::debug!(target: "socket_io", %error, "a connection did not open")),
    }
}

/// What is known about the client of a connection.
#[derive(Clone, Copy)]
struct Client {
    peer: Option<SocketAddr>,
    is_secure: bool,
}

impl Client {
    /// Tells a request who sent it.
    fn mark(self, request: &mut Request<Incoming>) {
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(PeerAddr(peer));
        }
        if self.is_secure {
            request.extensions_mut().insert(Secure);
        }
    }
}

/// Answers the requests of a connection.
async fn http<Io, S, R>(stream: Io, client: Client, service: S, patience: Patience, mut stopped: watch::Receiver<()>)
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn StdError + Send + Sync>> + 'static,
    S::Future: Send + 'static,
    R: http_body::Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let stream = PacedStream::new(stream, patience.write);
    let progress = stream.progress();
    // Requests of one connection are answered one after the other.
    let at_work = Arc::new(AtomicBool::new(false));
    let working = at_work.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        client.mark(&mut request);
        let mut service = service.clone();
        let working = working.clone();
        async move {
            working.store(true, Ordering::Relaxed);
            std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
            let response = service.call(request).await;
            working.store(false, Ordering::Relaxed);
            response
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(patience.idle)
        .max_buf_size(HEAD_BYTES);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = &mut connection => served,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            let is_at_work = || at_work.load(Ordering::Relaxed);
            finish(connection, is_at_work, &progress).await
        }
    };
    if let Err(error) = served {
        quietly(|| tracing::debug!(target: "socket_io", %error, "a connection ended early"));
    }
}

/// Lets the last request be answered, while its answer is being made or read.
async fn finish<T, E>(
    mut connection: Pin<&mut impl Future<Output = Result<T, E>>>,
    is_at_work: impl Fn() -> bool,
    progress: &Progress,
) -> Result<(), E> {
    let deadline = Instant::now() + LAST_REQUESTS;
    loop {
        let before = progress.num_writes();
        if let Ok(served) = tokio::time::timeout(LAST_PROGRESS, connection.as_mut()).await {
            return served.map(drop);
        }
        let moves = is_at_work() || progress.num_writes() != before;
        if !moves || Instant::now() >= deadline {
            return Ok(());
        }
    }
}

/// Lets some connections end before accepting again: the error is likely to be their number.
async fn accept_failed(error: &io::Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        quietly(|| tracing::error!(target: "socket_io", suppressed, %error, "cannot accept a connection"));
    }
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
