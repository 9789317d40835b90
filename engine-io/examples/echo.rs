//! Sends every message back to its sender:
//! `cargo run -p sio-engine --example echo -- 127.0.0.1:3000`.
//!
//! A second argument is the ping interval in milliseconds; its default, and the timeout, are those
//! that the protocol's test suite expects.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use engine_io::config::AllowedOrigins;
use engine_io::http::PeerAddr;
use engine_io::{Config, Engine, Handler, Handshake, Message, Outgoing, ProtocolError, Session, Socket};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

struct Echo;

struct EchoSession(Socket);

impl Handler for Echo {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        Box::new(EchoSession(socket))
    }
}

impl Session for EchoSession {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let packet = match message {
            Message::Text(text) => Outgoing::text(text),
            Message::Binary(data) => Outgoing::binary(Bytes::copy_from_slice(data)),
        };
        // A closed session needs no echo.
        let _ = self.0.send(packet);
        Ok(())
    }
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let interval = std::env::args()
        .nth(2)
        .and_then(|millis| millis.parse().ok())
        .unwrap_or(300);
    let engine = Engine::new(
        Echo,
        Config {
            path: "/engine.io/".to_owned(),
            ping_interval: Duration::from_millis(interval),
            ping_timeout: Duration::from_millis(200),
            // The suite may run in a browser, from wherever its page is served.
            cors_allowed_origins: AllowedOrigins::Any,
            ..Config::default()
        },
    );
    let listener = TcpListener::bind(address).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let engine = engine.clone();
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
            let engine = engine.clone();
            async move { Ok::<_, Infallible>(engine.handle(request).await) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades(),
        );
    }
}
