//! The chat in a stack of tower services, HTTP/1 or HTTP/2 as the client likes: `on_tower [ADDRESS]`.

use std::convert::Infallible;

use examples::Failure;
use http::{HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use siokit::server::service::PeerAddr;
use tokio::net::TcpListener;
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = examples::chat()?;
    let stack = ServiceBuilder::new()
        .map_response(tagged) // layers around the chat see its responses, too
        .layer(io.layer())
        .concurrency_limit(100) // layers behind it see the rest only
        .service(service_fn(rest));

    let listener = TcpListener::bind(examples::address()).await?;
    let mut stopped = std::pin::pin!(examples::stopped());
    io.ready().await;
    examples::announce(listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = examples::accepted(|| listener.accept()) => accepted,
            () = &mut stopped => break,
        };
        let with_peer = move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer)); // so that handlers see who is there
            request
        };
        let service = ServiceBuilder::new().map_request(with_peer).service(stack.clone());
        let service = TowerToHyperService::new(service);
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            let connection = builder.serve_connection_with_upgrades(TokioIo::new(examples::paced(stream)), service);
            if let Err(error) = connection.await {
                examples::log(format_args!("a connection ended early: {error}"));
            }
        });
    }
    io.close().await?;
    Ok(())
}

fn tagged<B>(mut response: Response<B>) -> Response<B> {
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-stack"), HeaderValue::from_static("tower"));
    response
}

async fn rest(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    Ok(Response::new(format!(
        "There is a chat here, but not at {}.",
        request.uri().path()
    )))
}
