//! The chat as a layer of an axum application: `on_axum [ADDRESS]`.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use axum::routing::get;
use examples::Failure;
use siokit::server::service::PeerAddr;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let io = examples::chat()?;
    // The application's own routes, for requests that are not Socket.IO's.
    let app = Router::new()
        .route("/", get(async || "There is a chat here."))
        .layer(io.layer())
        .layer(map_request(with_peer)) // the last layer is the first to see a request
        .into_make_service_with_connect_info::<SocketAddr>();

    let listener = TcpListener::bind(examples::address()).await?;
    let stopped = examples::stopped();
    io.ready().await;
    examples::announce(listener.local_addr()?);
    // axum waits for the requests at hand, and the polls of clients are such: closing the server ends them.
    let closed = async move {
        stopped.await;
        if let Err(error) = io.close().await {
            examples::log(format_args!("the last messages may be lost: {error}"));
        }
    };
    axum::serve(listener, app).with_graceful_shutdown(closed).await?;
    Ok(())
}

/// Inserts the client's address for handlers of the chat: axum has a type of its own for it.
async fn with_peer(ConnectInfo(peer): ConnectInfo<SocketAddr>, mut request: Request) -> Request {
    request.extensions_mut().insert(PeerAddr(peer));
    request
}
