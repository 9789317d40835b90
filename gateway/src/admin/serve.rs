//! The listener of the operator's tools.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use engine_io::http::PacedStream;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use manager_api::log::{LimitedLog, quietly};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower_service::Service;

use crate::respond::{Body, Responding};

/// Connections at once; further ones wait to be accepted. Probes and scrapers need a few.
const MAX_CONNECTIONS: usize = 64;
/// How long a connection may be silent: until a whole head of a request, the next one included, has come.
const IDLE: Duration = Duration::from_secs(30);
/// How long a response may stand still because it is not read.
const WRITE: Duration = Duration::from_secs(10);
/// The largest head of a request, and the buffer it is read into, in bytes.
const HEAD_BYTES: usize = 16 * 1024;
/// How long responses under way may take at shutdown.
const LAST_RESPONSES: Duration = Duration::from_secs(1);
/// The wait after a failure to accept: the error is likely to be the number of open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves metrics and health on a listener until `shutdown` completes, then gives responses under way a second.
///
/// At most 64 connections are served at once; one that is silent for 30 s, or does not read for 10 s, is closed. It shares the
/// runtime, and nothing else, with the server: it responds while the broker stands still. Errors of accepting are logged, and
/// accepting goes on after a moment.
///
/// # Cancel safety
///
/// Dropping the future closes the listener; connections that are open end as described, at the latest.
pub async fn serve<S>(listener: TcpListener, service: S, shutdown: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = Responding>,
    S: Clone + Send + Sync + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (stop, stopped) = watch::channel(());
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        tokio::select! {
            (accepted, place) = accept(&listener, &places) => match accepted {
                Ok(stream) => drop(tokio::spawn(connection(stream, service.clone(), place, stopped.clone()))),
                Err(error) => accept_failed(&error).await,
            },
            () = &mut shutdown => break,
        }
    }
    drop((listener, stopped));
    stop.send_replace(());
    // Every connection holds a receiver.
    let _ = tokio::time::timeout(LAST_RESPONSES, stop.closed()).await;
}

/// Accepts a connection once there is a place for it.
async fn accept(listener: &TcpListener, places: &Arc<Semaphore>) -> (io::Result<TcpStream>, OwnedSemaphorePermit) {
    let place = places.clone().acquire_owned().await.expect("it is never closed");
    (listener.accept().await.map(|(stream, _)| stream), place)
}

async fn connection<S>(stream: TcpStream, service: S, _place: OwnedSemaphorePermit, mut stopped: watch::Receiver<()>)
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = Responding>,
    S: Clone + Send + Sync + 'static,
{
    let stream = TokioIo::new(PacedStream::new(stream, WRITE));
    let service = service_fn(move |request: Request<Incoming>| service.clone().call(request));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES);
    let mut connection = std::pin::pin!(builder.serve_connection(stream, service));
    let served = tokio::select! {
        served = &mut connection => served,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(LAST_RESPONSES, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        quietly(|| tracing::debug!(%error, "a connection of the operator's tools ended early"));
    }
}

async fn accept_failed(error: &io::Error) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        quietly(|| tracing::error!(suppressed, %error, "cannot accept a connection of the operator's tools"));
    }
    tokio::time::sleep(PAUSE).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;
    use crate::admin::AdminService;
    use crate::health::Health;

    async fn request(address: std::net::SocketAddr, line: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).await.unwrap();
        response
    }

    #[tokio::test]
    async fn one_listener_has_metrics_and_health_and_ends_when_it_is_told() {
        let health = Health::new(socket_io::SocketIo::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let serving = tokio::spawn(serve(listener, AdminService::new(&health), async {
            drop(stopped.await)
        }));
        let page = request(address, "GET /metrics").await;
        assert!(
            page.starts_with("HTTP/1.1 200 ") && page.contains("\nsio_ready 1\n"),
            "{page}"
        );
        assert!(page.contains("content-type: text/plain; version=0.0.4"), "{page}");
        assert!(request(address, "GET /health/ready").await.ends_with("\r\n\r\nready\n"));
        health.start_draining();
        let draining = request(address, "GET /health/ready").await;
        assert!(
            draining.starts_with("HTTP/1.1 503 ") && draining.ends_with("draining\n"),
            "{draining}"
        );
        assert!(request(address, "GET /health/live").await.starts_with("HTTP/1.1 200 "));
        let head = request(address, "HEAD /health/live").await;
        assert!(
            head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(request(address, "GET /").await.contains("404 Not Found"));
        assert!(request(address, "POST /metrics").await.contains("allow: GET, HEAD"));
        // One that stays open and asks for nothing does not hold up the end.
        let _idle = TcpStream::connect(address).await.unwrap();
        stop.send(()).unwrap();
        tokio::time::timeout(Duration::from_secs(5), serving)
            .await
            .unwrap()
            .unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
