//! A WebSocket client that speaks in packets, and a server for it.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use socket_io::{SocketIo, SocketIoBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// What takes longer than this does not happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("happens in time")
}

/// Makes one HTTP request, and returns the response as it stands.
pub(crate) async fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    request_on(TcpStream::connect(address).await.unwrap(), method, path, body).await
}

/// The same, on a connection of the caller's making.
pub(crate) async fn request_on(mut stream: TcpStream, method: &str, path: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes()).await.unwrap();
    let mut response = String::new();
    within(stream.read_to_string(&mut response)).await.unwrap();
    response
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct TestServer {
    pub(crate) io: SocketIo,
    pub(crate) address: SocketAddr,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(SocketIo::builder()).await
    }

    pub(crate) async fn with(builder: SocketIoBuilder) -> Self {
        let io = builder.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(socket_io::serve(listener, io.clone(), std::future::pending()));
        Self { io, address }
    }

    /// A connection that has joined nothing.
    pub(crate) async fn open(&self) -> Client {
        Client::open(self.address).await
    }

    /// A connection whose client is in `/`.
    pub(crate) async fn connect(&self) -> Client {
        let mut client = self.open().await;
        client.join("/").await;
        client
    }

    /// Waits until the server has no client in any namespace any more.
    pub(crate) async fn is_empty(&self) {
        within(async {
            while self.io.metrics().engine.open_sessions > 0 || self.io.namespace("/").num_clients() > 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Drop for TestServer {
    /// A connection whose session panics is closed too, which must not pass for anything else.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.io.metrics().engine.panics, 0, "a session panicked");
        }
    }
}

pub(crate) struct Client {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) sid: String,
    /// The secret id of the connection.
    pub(crate) engine_sid: String,
}

impl Client {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, "", &[]).await
    }

    /// Opens a connection with more in its query, and with headers.
    pub(crate) async fn open_with(address: SocketAddr, query: &str, headers: &[(&'static str, &str)]) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (stream, _) = within(connect_async(request)).await.unwrap();
        let mut client = Self {
            stream,
            sid: String::new(),
            engine_sid: String::new(),
        };
        let open = client.text().await;
        let sid = open.strip_prefix("0{\"sid\":\"").expect(&open);
        client.engine_sid = sid[..20].to_owned();
        client
    }

    pub(crate) async fn join(&mut self, namespace: &str) {
        let prefix = if namespace == "/" {
            String::new()
        } else {
            format!("{namespace},")
        };
        self.send(&format!("40{prefix}")).await;
        let reply = self.text().await;
        let sid = reply.strip_prefix(&format!("40{prefix}{{\"sid\":\"")).expect(&reply);
        self.sid = sid.trim_end_matches("\"}").to_owned();
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.stream.send(Message::text(packet)).await.unwrap();
    }

    pub(crate) async fn send_binary(&mut self, bytes: &'static [u8]) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.stream.send(Message::binary(bytes)).await.unwrap();
    }

    /// Sends what the server may refuse by closing the connection.
    pub(crate) async fn send_bytes_if_open(&mut self, bytes: Vec<u8>) {
        let _ = self.stream.send(Message::binary(bytes)).await;
    }

    /// The next packet of the server, pings aside; `None` if it closed the connection.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match within(self.stream.next()).await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(message)) => return Some(message),
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Message::Text(text)) => text.as_str().to_owned(),
            other => panic!("not a text packet: {other:?}"),
        }
    }

    pub(crate) async fn binary(&mut self) -> Vec<u8> {
        match self.next().await {
            Some(Message::Binary(bytes)) => bytes.to_vec(),
            other => panic!("not a binary packet: {other:?}"),
        }
    }

    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.text().await, packet);
    }

    /// The server closes the connection without another packet.
    pub(crate) async fn expect_closed(&mut self) {
        assert_eq!(self.next().await, None);
    }
}
