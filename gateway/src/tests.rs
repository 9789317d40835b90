//! A client over WebSocket for the tests of this crate, and a server for it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use socket_io::SocketIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// The longest wait of a test.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Serves until the test ends.
pub(crate) async fn serve(io: &SocketIo) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let io = io.clone();
    tokio::spawn(async move { socket_io::serve(listener, io, std::future::pending()).await });
    address
}

/// A client whose packets are seen as they are.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    /// Opens a connection; `query` is appended to that of the protocol.
    pub(crate) async fn open(address: SocketAddr, query: &str) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket{query}");
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Self { socket };
        assert!(client.packet().await.starts_with('0'));
        client
    }

    /// Opens a connection, and asks for a namespace; returns the answer, too: `40…` or `44…`.
    pub(crate) async fn connect(address: SocketAddr, auth: &Value) -> (Self, String) {
        let mut client = Self::open(address, "").await;
        client.send(&format!("40{auth}")).await;
        let answer = client.packet().await;
        (client, answer)
    }

    pub(crate) async fn send(&mut self, packet: &str) {
        self.socket.send(Message::text(packet.to_owned())).await.unwrap();
    }

    /// Emits an event, and returns the arguments of its acknowledgement.
    pub(crate) async fn call(&mut self, event: &Value) -> Value {
        self.send(&format!("427{event}")).await;
        let answer = self.packet().await;
        let json = answer.strip_prefix("437").unwrap_or_else(|| panic!("{answer}"));
        serde_json::from_str(json).unwrap()
    }

    /// Returns the next packet that is not a ping.
    pub(crate) async fn packet(&mut self) -> String {
        loop {
            let message = timeout(DEADLINE, self.socket.next()).await.expect("a packet in time");
            let message = message.expect("the connection stays").unwrap();
            let Message::Text(text) = message else { continue };
            if text.as_str() != "2" {
                return text.as_str().to_owned();
            }
            self.send("3").await;
        }
    }
}
