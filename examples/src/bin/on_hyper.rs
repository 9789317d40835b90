//! The chat on hyper alone: `on_hyper [ADDRESS]`. `siokit::serve` does the same, with limits and care for the last requests.

use examples::Failure;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use siokit::server::service::PeerAddr;
use tokio::net::TcpListener;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = examples::chat()?;
    let listener = TcpListener::bind(examples::address()).await?;
    let mut stopped = std::pin::pin!(examples::stopped());
    io.ready().await;
    examples::announce(listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = examples::accepted(|| listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        let chat = io.service();
        let service = service_fn(move |mut request: Request<Incoming>| {
            // For handlers: `PeerAddr`, or `socket.handshake().peer_addr()`.
            request.extensions_mut().insert(PeerAddr(peer));
            chat.clone().oneshot(request)
        });
        let connection = http1::Builder::new()
            .serve_connection(TokioIo::new(examples::paced(stream)), service)
            .with_upgrades(); // WebSockets begin as upgrades
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                examples::log(format_args!("a connection ended early: {error}"));
            }
        });
    }
    io.close().await?;
    Ok(())
}
