//! A server whose sessions report their events.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use engine_io::http::PeerAddr;
use engine_io::{
    CloseReason, Config, Engine, Handler, Handshake, Message, Outgoing, ProtocolError, ResponseBody, Session, Socket,
};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};

use crate::client::{Pending, Response, Ws};

/// Long enough for a loaded machine; only failing tests wait so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("happens in time")
}

#[derive(Debug)]
pub(crate) enum Event {
    Opened(Socket, Handshake),
    Text(String),
    Binary(Vec<u8>),
    Worked,
    Closed(CloseReason),
    Dropped,
}

pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) engine: Engine,
    /// A permit lets one session end the work that `hold` queued.
    pub(crate) release: Arc<Semaphore>,
    events: mpsc::UnboundedReceiver<Event>,
}

impl Server {
    pub(crate) async fn start(config: Config) -> Self {
        let mut server = Self::new(config, ([127, 0, 0, 1], 0).into());
        server.addr = listen(server.engine.clone()).await;
        server
    }

    /// Serves an engine of the test's own making.
    pub(crate) async fn serve(engine: Engine) -> Self {
        let addr = listen(engine.clone()).await;
        Self {
            addr,
            engine,
            release: Arc::new(Semaphore::new(0)),
            events: mpsc::unbounded_channel().1,
        }
    }

    pub(crate) fn new(config: Config, addr: SocketAddr) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let release = Arc::new(Semaphore::new(0));
        let engine = Engine::new(
            Recorder {
                events: sender,
                release: release.clone(),
            },
            config,
        );
        Self {
            addr,
            engine,
            release,
            events,
        }
    }

    pub(crate) async fn event(&mut self) -> Event {
        within(self.events.recv()).await.expect("the handler lives")
    }

    pub(crate) fn no_event(&mut self) {
        if let Ok(event) = self.events.try_recv() {
            panic!("unexpected {event:?}");
        }
    }

    pub(crate) async fn opened(&mut self) -> (Socket, Handshake) {
        match self.event().await {
            Event::Opened(socket, handshake) => (socket, handshake),
            event => panic!("{event:?} instead of an opening"),
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.event().await {
            Event::Text(text) => text,
            event => panic!("{event:?} instead of a text"),
        }
    }

    /// Awaits the end of a session, messages before it aside.
    pub(crate) async fn closed(&mut self) -> CloseReason {
        loop {
            match self.event().await {
                Event::Closed(reason) => return reason,
                Event::Dropped => panic!("dropped before it was closed"),
                _ => {}
            }
        }
    }

    /// Awaits that a session was closed for a reason, and then dropped.
    pub(crate) async fn gone(&mut self, reason: CloseReason) {
        assert_eq!(self.closed().await, reason);
        loop {
            match self.event().await {
                Event::Dropped => break,
                Event::Closed(_) => panic!("closed twice"),
                _ => {}
            }
        }
        assert_eq!(self.engine.metrics().closed.get(reason), 1);
        assert_eq!(self.engine.metrics().open_sessions, 0);
    }

    pub(crate) async fn http(&self, method: &str, target: &str, headers: &str, body: &[u8]) -> Response {
        Pending::start(self.addr, method, target, headers, body)
            .await
            .response()
            .await
    }

    pub(crate) async fn get(&self, target: &str) -> Response {
        self.http("GET", target, "", b"").await
    }

    pub(crate) async fn post(&self, sid: &str, body: &[u8]) -> Response {
        self.http("POST", &poll(sid), "", body).await
    }

    pub(crate) async fn poll(&self, sid: &str) -> Pending {
        Pending::start(self.addr, "GET", &poll(sid), "", b"").await
    }

    /// Opens a session that polls; returns its secret name, and its socket.
    pub(crate) async fn polling(&mut self) -> (String, Socket) {
        let response = self.get("/?EIO=4&transport=polling").await;
        assert_eq!(response.status, 200);
        let socket = self.opened().await.0;
        assert_eq!(sid_of(&response.body), socket.id());
        (socket.id().to_owned(), socket)
    }

    /// Opens a session on a WebSocket, and reads its opening packet.
    pub(crate) async fn websocket(&mut self) -> (Ws, Socket) {
        let mut ws = Ws::connect(self.addr, "/?EIO=4&transport=websocket").await;
        let socket = self.opened().await.0;
        assert_eq!(sid_of(&ws.text().await), socket.id());
        (ws, socket)
    }
}

async fn listen(engine: Engine) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let engine = engine.clone();
            let service = service_fn(move |request| respond(engine.clone(), peer, request));
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
        }
    });
    addr
}

async fn respond(
    engine: Engine,
    peer: SocketAddr,
    mut request: hyper::Request<hyper::body::Incoming>,
) -> Result<hyper::Response<ResponseBody>, Infallible> {
    request.extensions_mut().insert(PeerAddr(peer));
    Ok(engine.handle(request).await)
}

pub(crate) fn poll(sid: &str) -> String {
    format!("/?EIO=4&transport=polling&sid={sid}")
}

fn sid_of(packet: &str) -> &str {
    packet.strip_prefix(r#"0{"sid":""#).unwrap().split('"').next().unwrap()
}

struct Recorder {
    events: mpsc::UnboundedSender<Event>,
    release: Arc<Semaphore>,
}

impl Handler for Recorder {
    fn open(&self, socket: Socket, handshake: Handshake) -> Box<dyn Session> {
        if handshake.query().contains("panic") {
            panic!("as the client asked");
        }
        if handshake.query().contains("greet") {
            socket.send(Outgoing::text("hello")).unwrap();
        }
        let _ = self.events.send(Event::Opened(socket.clone(), handshake));
        Box::new(Recording {
            events: self.events.clone(),
            release: self.release.clone(),
            socket,
            work: None,
        })
    }
}

/// Sends every message back; some of them have effects.
struct Recording {
    events: mpsc::UnboundedSender<Event>,
    release: Arc<Semaphore>,
    socket: Socket,
    work: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Session for Recording {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let (event, echo) = match message {
            Message::Text(text) => (Event::Text(text.to_owned()), Outgoing::text(text)),
            Message::Binary(data) => (
                Event::Binary(data.to_vec()),
                Outgoing::binary(Bytes::copy_from_slice(data)),
            ),
        };
        let _ = self.events.send(event);
        match message {
            Message::Text("panic") => panic!("as the client asked"),
            Message::Text("panic at work") => self.work = Some(Box::pin(async { panic!("as the client asked") })),
            Message::Text("refuse") => return Err(ProtocolError::new("as the client asked")),
            Message::Text("close") => self.socket.close(),
            Message::Text("hold") => {
                let release = self.release.clone();
                self.work = Some(Box::pin(async move { release.acquire().await.unwrap().forget() }));
            }
            _ => {
                let _ = self.socket.send(echo);
            }
        }
        Ok(())
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(work) = &mut self.work {
            std::task::ready!(work.as_mut().poll(cx));
            self.work = None;
            let _ = self.events.send(Event::Worked);
        }
        Poll::Ready(())
    }

    fn is_input_full(&self) -> bool {
        self.work.is_some()
    }

    fn close(&mut self, reason: CloseReason) {
        let _ = self.events.send(Event::Closed(reason));
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.events.send(Event::Dropped);
    }
}

/// Starts a poll and makes sure that it waits.
pub(crate) async fn waiting_poll(server: &Server, sid: &str, socket: &Socket) -> Pending {
    let pending = server.poll(sid).await;
    within(async {
        while !socket.is_writable() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    pending
}
