//! The servers that the test suites of the official Engine.IO clients want:
//! `cargo run -p sio-engine --example engine_suites -- javascript|java ADDRESS`.
//!
//! Results, with the suites' own Node server and with this one: JavaScript (engine.io-client 6.6.6)
//! 82 of 83 (twice: one test, another each time, ran out of time on a busy machine) and 83 of 83;
//! Java (engine.io-client 2.1, the tests that need a server) 25 of 25 with both, TLS by a proxy.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use engine_io::config::{AllowRequest, AllowedOrigins, Forbidden};
use engine_io::{Config, Engine, Handler, Handshake, Message, Outgoing, ProtocolError, ResponseBody, Session, Socket};
use http::{HeaderMap, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The headers of the last POST of each session.
type LastPosts = Arc<Mutex<HashMap<String, HeaderMap>>>;

/// Greets, then sends every message back; some texts ask JavaScript's server for something else.
struct Greeter {
    is_java: bool,
    posts: LastPosts,
}

struct GreetedSession {
    socket: Socket,
    is_java: bool,
    posts: LastPosts,
}

impl GreetedSession {
    /// The headers of the last POST, as JSON.
    fn headers(&self) -> String {
        let posts = self.posts.lock().expect("no holder panics");
        let headers = posts
            .get(self.socket.id())
            .map_or_else(Vec::new, |headers| headers.iter().collect());
        let text = |value: &HeaderValue| format!("{:?}", value.to_str().unwrap_or_default());
        let fields = headers
            .into_iter()
            .map(|(name, value)| format!("\"{name}\":{}", text(value)));
        format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
    }
}

impl Handler for Greeter {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        // A closed session needs no packets, here and below.
        let _ = socket.send(Outgoing::text("hi"));
        let (is_java, posts) = (self.is_java, self.posts.clone());
        Box::new(GreetedSession { socket, is_java, posts })
    }
}

impl Session for GreetedSession {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let packet = match message {
            Message::Text("give binary") if !self.is_java => Outgoing::binary(Bytes::from_static(&[0, 1, 2, 3, 4])),
            Message::Text("give utf8") if !self.is_java => Outgoing::text("пойду спать всем спокойной ночи"),
            Message::Text("sendHeaders") if !self.is_java => Outgoing::text(&self.headers()),
            Message::Text(text) => Outgoing::text(text),
            Message::Binary(data) => Outgoing::binary(Bytes::copy_from_slice(data)),
        };
        let _ = self.socket.send(packet);
        Ok(())
    }
}

fn config(is_java: bool) -> Config {
    let is_denied = |query: &str| query.split('&').any(|pair| pair.starts_with("deny"));
    Config {
        path: "/engine.io/".to_owned(),
        ping_interval: Duration::from_millis(500),
        max_payload: if is_java { 1_000_000 } else { 100 },
        cors_allowed_origins: AllowedOrigins::Any,
        allow_request: AllowRequest::matching(move |request| match request.uri.query() {
            Some(query) if is_denied(query) => Err(Forbidden::default()),
            _ => Ok(()),
        }),
        ..Config::default()
    }
}

fn note_post(posts: &LastPosts, request: &Request<Incoming>) {
    let query = request.uri().query().unwrap_or_default();
    let sid = query.split('&').find_map(|pair| pair.strip_prefix("sid="));
    if let (Some(sid), &Method::POST) = (sid, request.method()) {
        let mut posts = posts.lock().expect("no holder panics");
        posts.insert(sid.to_owned(), request.headers().clone());
    }
}

/// The cookies that the JavaScript suite wants with a handshake.
fn set_cookies(headers: &mut HeaderMap) {
    for cookie in [
        "1=1; Max-Age=86400",
        "2=2; Path=/; HttpOnly; Secure; SameSite=Strict",
        "3=3; Max-Age=0",
        "4=4; Expires=Thu, 01 Jan 2026 00:00:00 GMT",
    ] {
        headers.append(header::SET_COOKIE, HeaderValue::from_static(cookie));
    }
}

/// Responds as the suites want it, with headers of their own.
async fn respond(
    engine: Engine,
    request: Request<Incoming>,
    is_java: bool,
) -> Result<Response<ResponseBody>, Infallible> {
    let echoed = request.headers().get("x-engineio").cloned();
    let is_first = !request.uri().query().is_some_and(|query| query.contains("sid="));
    let mut response = engine.handle(request).await;
    let headers = response.headers_mut();
    if let Some(value) = echoed {
        headers.append("x-engineio", HeaderValue::from_static("hi"));
        headers.append("x-engineio", value);
    }
    if is_first && !is_java {
        set_cookies(headers);
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> io::Result<()> {
    let is_java = std::env::args().nth(1).as_deref() == Some("java");
    let address = std::env::args().nth(2).unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let posts = LastPosts::default();
    let greeter = Greeter {
        is_java,
        posts: posts.clone(),
    };
    let engine = Engine::new(greeter, config(is_java));
    let listener = TcpListener::bind(address).await?;
    // It serves on although standard output is closed or full.
    let _ = writeln!(io::stdout(), "listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let (engine, posts) = (engine.clone(), posts.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            note_post(&posts, &request);
            respond(engine.clone(), request, is_java)
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades(),
        );
    }
}
