//! The chat in an actix-web application: `on_actix [ADDRESS]`.
//!
//! actix-web knows neither tower nor hyper, and hands no connection over. Polls are translated there and back. A WebSocket's bytes go
//! through a pipe in memory, at whose other end hyper hands it to the server: two copies more than elsewhere, and the same server.
//! Each worker has a runtime of its own; a WebSocket stays on the one that accepted it.
//! actix-web does not report that a request was aborted, so the loss of a polling client is only noticed by its heartbeat.

use std::io;

use actix_web::http::StatusCode;
use actix_web::web::{self, Bytes, BytesMut, Data, Payload};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use examples::Failure;
use futures_util::{Stream, StreamExt};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use siokit::SocketIo;
use siokit::server::service::PeerAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// The pipe of a WebSocket, in bytes: it fills first when the client reads slowly, before the server's own limits apply.
const PIPE: usize = 64 * 1024;

fn main() -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(run())
}

async fn run() -> Result<(), Failure> {
    let io = examples::chat()?;
    let data = Data::new(io.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .route("/socket.io/", web::route().to(chat))
            .route("/", web::get().to(async || "There is a chat here."))
    });
    // The chat ends first: actix waits for the requests at hand, and the polls of clients are such.
    let server = server.disable_signals().shutdown_timeout(5).bind(examples::address())?;
    let stopped = examples::stopped();
    io.ready().await;
    for address in server.addrs() {
        examples::announce(address);
    }
    let server = server.run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        stopped.await;
        if let Err(error) = io.close().await {
            examples::log(format_args!("the last messages may be lost: {error}"));
        }
        handle.stop(true).await;
    });
    Ok(server.await?)
}

async fn chat(io: Data<SocketIo>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let answered = if request.headers().contains_key("upgrade") {
        websocket(&io, &request, payload).await
    } else {
        poll(&io, &request, payload).await
    };
    answered.unwrap_or_else(|error| {
        examples::log(format_args!("a request failed: {error}"));
        HttpResponse::InternalServerError().finish()
    })
}

async fn poll(io: &SocketIo, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let limit = io.engine().config().max_payload;
    let body = match payload.to_bytes_limited(limit).await {
        Ok(body) => body.map_err(|error| error.to_string())?,
        Err(_) => return Ok(HttpResponse::PayloadTooLarge().finish()),
    };
    let response = io.engine().handle(translated(request, body)?).await;
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(answer(&parts)?.body(body))
}

async fn websocket(io: &SocketIo, request: &HttpRequest, payload: Payload) -> Result<HttpResponse, Failure> {
    let (near, far) = tokio::io::duplex(PIPE);
    let peer = request.peer_addr();
    let service = tower::service_fn({
        let io = io.clone();
        move |mut request: Request<hyper::body::Incoming>| {
            if let Some(peer) = peer {
                request.extensions_mut().insert(PeerAddr(peer));
            }
            let engine = io.engine().clone();
            async move { Ok::<_, std::convert::Infallible>(engine.handle(request).await) }
        }
    });
    let served = server::Builder::new().serve_connection(TokioIo::new(far), TowerToHyperService::new(service));
    tokio::spawn(served.with_upgrades());
    let (mut sender, connection) = client::handshake(TokioIo::new(near)).await?;
    tokio::spawn(connection.with_upgrades());

    let mut response = sender.send_request(translated(request, Bytes::new())?).await?;
    let upgraded = hyper::upgrade::on(&mut response);
    let (parts, body) = response.into_parts();
    if parts.status != http::StatusCode::SWITCHING_PROTOCOLS {
        return Ok(answer(&parts)?.body(body.collect().await?.to_bytes()));
    }
    let (from_server, to_server) = tokio::io::split(TokioIo::new(upgraded.await?));
    actix_web::rt::spawn(forward(payload, to_server));
    Ok(answer(&parts)?.upgrade("websocket").streaming(chunks(from_server)))
}

/// Forwards the bytes of the client to the server, until either of them ends.
async fn forward(mut payload: Payload, mut to_server: impl tokio::io::AsyncWrite + Unpin) {
    while let Some(Ok(bytes)) = payload.next().await {
        if to_server.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // Tells the server that the client is gone; fails if the server is gone, too.
    let _ = to_server.shutdown().await;
}

/// Returns the bytes of the server as a stream.
fn chunks(from_server: impl AsyncRead + Unpin) -> impl Stream<Item = io::Result<Bytes>> {
    futures_util::stream::unfold(from_server, async |mut from_server| {
        let mut chunk = BytesMut::with_capacity(4 * 1024);
        match from_server.read_buf(&mut chunk).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some((Ok(chunk.freeze()), from_server)),
        }
    })
}

/// The request in the types of hyper: actix-web has older ones.
fn translated(request: &HttpRequest, body: Bytes) -> Result<Request<Full<Bytes>>, Failure> {
    let mut translated = Request::builder()
        .method(request.method().as_str())
        .uri(request.uri().path_and_query().map_or("/", |target| target.as_str()));
    for (name, value) in request.headers() {
        translated = translated.header(name.as_str(), value.as_bytes());
    }
    if let Some(peer) = request.peer_addr() {
        translated = translated.extension(PeerAddr(peer));
    }
    Ok(translated.body(Full::new(body))?)
}

/// The head of a response in the types of actix-web.
fn answer(head: &http::response::Parts) -> Result<actix_web::HttpResponseBuilder, Failure> {
    let mut answer = HttpResponse::build(StatusCode::from_u16(head.status.as_u16())?);
    for (name, value) in &head.headers {
        answer.append_header((name.as_str(), value.as_bytes()));
    }
    Ok(answer)
}
