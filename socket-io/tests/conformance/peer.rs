//! A client that says exactly what it is told to, on either transport.

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::{SinkExt, StreamExt};
use socket_io::manager_api::Payload;
use socket_io::socket::{CloseReason, DisconnectReason};
use socket_io::{Socket, SocketIo, SocketIoBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::Over;

/// What takes longer than this does not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("happens in time")
}

/// A server whose namespaces `/` and `/admin` answer `echo` with its arguments, emit those of `back` back, and report who leaves.
pub(crate) struct Server {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
    left: mpsc::UnboundedReceiver<(String, DisconnectReason)>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(SocketIo::builder()).await
    }

    pub(crate) async fn with(builder: SocketIoBuilder) -> Self {
        let io = builder.build();
        let (leaves, left) = mpsc::unbounded_channel();
        for name in ["/", "/admin"] {
            let leaves = leaves.clone();
            io.namespace(name)
                .on("echo", async |arguments: Payload| arguments)
                .on("back", async |socket: Socket, arguments: Payload| {
                    socket.emit_payload("back", arguments).await
                })
                .on_disconnect(move |socket: Socket, reason: DisconnectReason| {
                    // The test may have ended.
                    let _ = leaves.send((socket.namespace().to_string(), reason));
                    async {}
                });
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
        Self { io, address, left }
    }

    /// The next client that leaves: its namespace, and why.
    pub(crate) async fn left(&mut self) -> (String, &'static str) {
        let (namespace, reason) = within(self.left.recv()).await.unwrap();
        (namespace, reason.as_str())
    }

    /// So many connections were closed for what their clients said.
    pub(crate) fn expect_refused(&self, count: usize) {
        let closed = self.io.metrics().engine.closed;
        assert_eq!(closed.get(CloseReason::ParseError), count as u64);
    }

    /// The client that a peer has in a namespace, the one it joined last.
    pub(crate) fn socket(&self, namespace: &str, peer: &Peer) -> Socket {
        let sid = peer.sid.as_str().into();
        self.io.namespace(namespace).socket(&sid).expect("it is connected")
    }

    /// A connection that has joined nothing.
    pub(crate) async fn open(&self, over: Over) -> Peer {
        Peer::open(self.address, over).await
    }

    /// A connection whose client is in `/`.
    pub(crate) async fn join(&self, over: Over) -> Peer {
        let mut peer = self.open(over).await;
        peer.join("/").await;
        peer
    }
}

impl Drop for Server {
    /// A connection whose session panics is closed too, which must not pass for a refusal.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.io.metrics().engine.panics, 0, "a session panicked");
        }
    }
}

/// What the server says.
#[derive(Debug, PartialEq)]
pub(crate) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping,
    /// The end; with the code of a WebSocket's close frame, if it has one.
    Closed(Option<u16>),
}

/// What a request of a session that has ended is answered with.
const UNKNOWN_SESSION: &str = "{\"code\":1,\"message\":\"Session ID unknown\"}";

pub(crate) struct Peer {
    transport: Transport,
    /// The public id in the namespace joined last.
    pub(crate) sid: String,
}

enum Transport {
    WebSocket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Polling {
        address: SocketAddr,
        path: String,
        received: VecDeque<String>,
    },
}

impl Peer {
    async fn open(address: SocketAddr, over: Over) -> Self {
        let transport = match over {
            Over::WebSocket => {
                let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
                let (mut stream, _) = within(connect_async(url)).await.unwrap();
                within(stream.next()).await.unwrap().unwrap();
                Transport::WebSocket(Box::new(stream))
            }
            Over::Polling => {
                let path = "/socket.io/?EIO=4&transport=polling";
                let (_, opening) = request(address, "GET", path, "").await;
                let (_, rest) = opening.split_once("\"sid\":\"").unwrap();
                Transport::Polling {
                    address,
                    path: format!("{path}&sid={}", &rest[..20]),
                    received: VecDeque::new(),
                }
            }
        };
        let sid = String::new();
        Self { transport, sid }
    }

    /// Joins a namespace without saying anything else.
    pub(crate) async fn join(&mut self, namespace: &str) {
        let prefix = match namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        self.send(&format!("0{prefix}")).await;
        self.joined(&prefix).await;
    }

    /// Takes the acceptance in a namespace, whose packets begin with `prefix`.
    pub(crate) async fn joined(&mut self, prefix: &str) {
        let reply = self.text().await;
        let sid = reply.strip_prefix(&format!("0{prefix}{{\"sid\":\"")).expect(&reply);
        self.sid = sid.strip_suffix("\"}").expect(&reply).to_owned();
    }

    /// Sends a Socket.IO packet.
    pub(crate) async fn send(&mut self, packet: &str) {
        self.send_engine(&format!("4{packet}")).await;
    }

    /// Sends an Engine.IO packet, which the server takes; to close the connection for it is another matter.
    pub(crate) async fn send_engine(&mut self, packet: &str) {
        if let Some(answer) = self.say(packet).await {
            assert_eq!(answer, (200, "ok".to_owned()), "to {packet}");
        }
    }

    /// Sends an Engine.IO packet, and returns what a POST is answered with.
    pub(crate) async fn say(&mut self, packet: &str) -> Option<(u16, String)> {
        match &mut self.transport {
            Transport::WebSocket(stream) => {
                stream.send(Message::text(packet)).await.unwrap();
                None
            }
            Transport::Polling { address, path, .. } => Some(request(*address, "POST", path, packet).await),
        }
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        match &mut self.transport {
            Transport::WebSocket(stream) => stream.send(Message::binary(bytes.to_vec())).await.unwrap(),
            Transport::Polling { .. } => {
                let packet = format!("b{}", BASE64_STANDARD.encode(bytes));
                self.send_engine(&packet).await;
            }
        }
    }

    async fn pong(&mut self) {
        match &mut self.transport {
            // The connection may have been closed behind its ping; reading tells.
            Transport::WebSocket(stream) => drop(stream.send(Message::text("3")).await),
            Transport::Polling { address, path, .. } => match request(*address, "POST", path, "3").await {
                (200, body) if body == "ok" => {}
                (400, body) if body == UNKNOWN_SESSION => {}
                other => panic!("to a pong: {other:?}"),
            },
        }
    }

    /// What the server says next, pings aside, which are answered.
    pub(crate) async fn next(&mut self) -> Received {
        // Pings alone would keep it waiting for ever.
        within(async {
            loop {
                match self.receive().await {
                    Received::Ping => self.pong().await,
                    received => return received,
                }
            }
        })
        .await
    }

    async fn receive(&mut self) -> Received {
        loop {
            let packet = match &mut self.transport {
                Transport::WebSocket(stream) => match within(stream.next()).await {
                    Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                    Some(Ok(Message::Binary(bytes))) => return Received::Binary(bytes.to_vec()),
                    Some(Ok(Message::Close(frame))) => return Received::Closed(frame.map(|frame| frame.code.into())),
                    other => panic!("neither a message nor a close frame: {other:?}"),
                },
                Transport::Polling {
                    address,
                    path,
                    received,
                } => match received.pop_front() {
                    Some(packet) => packet,
                    None if poll(*address, path, received).await => continue,
                    None => return Received::Closed(None),
                },
            };
            match packet.split_at(1) {
                ("4", message) => return Received::Text(message.to_owned()),
                ("b", base64) => return Received::Binary(BASE64_STANDARD.decode(base64).unwrap()),
                ("1", "") => return Received::Closed(None),
                ("2", "") => return Received::Ping,
                ("6", "") => {}
                _ => panic!("what is {packet}?"),
            }
        }
    }

    /// Waits for a ping that the server sends after it has taken all that was sent to it, and answers.
    pub(crate) async fn expect_ping(&mut self) {
        // The first may have been under way before; the second is sent when the first was answered.
        for _ in 0..2 {
            assert_eq!(self.receive().await, Received::Ping);
            self.pong().await;
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Received::Text(text) => text,
            other => panic!("not text: {other:?}"),
        }
    }

    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.text().await, packet);
    }

    pub(crate) async fn expect_binary(&mut self, bytes: &[u8]) {
        assert_eq!(self.next().await, Received::Binary(bytes.to_vec()));
    }

    /// The server closes the connection without another message.
    pub(crate) async fn expect_closed(&mut self, because: &str) {
        assert_eq!(self.next().await, Received::Closed(None), "after {because}");
    }

    /// The same, with the code that a WebSocket gives for it.
    pub(crate) async fn expect_closed_with(&mut self, code: u16, because: &str) {
        assert_eq!(self.next().await, Received::Closed(Some(code)), "after {because}");
    }

    /// The connection lives, and nothing came that was not looked at.
    pub(crate) async fn expect_alive(&mut self) {
        self.send("2999[\"echo\",\"alive\"]").await;
        self.expect("3999[\"alive\"]").await;
    }
}

/// Makes one HTTP request; returns status and body.
async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    // A server that refuses the length need not read the body.
    let _ = stream.write_all((head + body).as_bytes()).await;
    let mut response = Vec::new();
    let _ = within(stream.read_to_end(&mut response)).await;
    let response = String::from_utf8(response).unwrap();
    let (head, body) = response.split_once("\r\n\r\n").expect("a response");
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// Receives the packets of one poll; `false` if the session is closed.
async fn poll(address: SocketAddr, path: &str, received: &mut VecDeque<String>) -> bool {
    match request(address, "GET", path, "").await {
        (200, body) => {
            received.extend(body.split('\u{1e}').map(str::to_owned));
            true
        }
        (400, body) if body == UNKNOWN_SESSION => false,
        other => panic!("to a poll: {other:?}"),
    }
}
