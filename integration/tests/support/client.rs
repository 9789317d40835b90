//! A minimal WebSocket client.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::within;

/// A number that `Load` emitted, and who did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered {
    pub(crate) origin: String,
    pub(crate) number: u64,
}

/// A client in `/`.
pub(crate) struct Client {
    stream: WebSocketStream<TcpStream>,
    pub(crate) sid: String,
    num_calls: u64,
}

impl Client {
    /// Connects, and joins `rooms`.
    pub(crate) async fn connect(address: SocketAddr, rooms: &[&str]) -> Self {
        let (mut client, accepted) = Self::ask(address, "40").await;
        let sid = accepted
            .strip_prefix("40{\"sid\":\"")
            .and_then(|rest| rest.split('"').next());
        client.sid = sid.expect(&accepted).to_owned();
        for room in rooms {
            assert_eq!(client.call("join", room).await, "[true]");
        }
        client
    }

    /// Opens a connection and asks to join a namespace with this packet; returns the answer, too.
    pub(crate) async fn ask(address: SocketAddr, connect: &str) -> (Self, String) {
        let stream = TcpStream::connect(address).await.unwrap();
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = within("the handshake", client_async(url, stream)).await.unwrap();
        let mut client = Self {
            stream,
            sid: String::new(),
            num_calls: 0,
        };
        assert!(client.packet().await.starts_with("0{"));
        client.send(connect).await;
        let answer = client.packet().await;
        (client, answer)
    }

    /// Emits an event with one argument and returns the arguments of the answer, as JSON.
    ///
    /// # Panics
    ///
    /// When something else comes first.
    pub(crate) async fn call(&mut self, event: &str, argument: &str) -> String {
        self.num_calls += 1;
        let id = self.num_calls;
        let arguments = serde_json::json!([event, argument]);
        self.send(&format!("42{id}{arguments}")).await;
        let answer = self.packet().await;
        let prefix = format!("43{id}");
        answer.strip_prefix(&prefix).expect(&answer).to_owned()
    }

    /// Sends a packet.
    pub(crate) async fn send(&mut self, packet: &str) {
        self.stream.send(Message::text(packet)).await.unwrap();
    }

    /// Returns the next packet, pings aside; `None` if the server closed the connection. Pings do not extend the limit.
    pub(crate) async fn next_packet(&mut self) -> Option<String> {
        within("a packet", self.unlimited_packet()).await
    }

    async fn unlimited_packet(&mut self) -> Option<String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) if text.as_str() == "2" => self.send("3").await,
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(other)) => panic!("not a text packet: {other:?}"),
            }
        }
    }

    /// Returns the next packet.
    pub(crate) async fn packet(&mut self) -> String {
        self.next_packet().await.expect("the connection stays")
    }

    /// Returns the arguments of the next event, which must be called `event`.
    pub(crate) async fn event<T: DeserializeOwned>(&mut self, event: &str) -> T {
        let packet = self.packet().await;
        let arguments = packet.strip_prefix("42").expect(&packet);
        let mut arguments: Vec<Value> = serde_json::from_str(arguments).unwrap();
        assert_eq!(arguments.remove(0), event);
        serde_json::from_value(Value::Array(arguments)).unwrap()
    }

    /// Returns the next number; `None` at the event `end`.
    pub(crate) async fn next_number(&mut self) -> Option<Numbered> {
        let packet = self.packet().await;
        if packet == "42[\"end\"]" {
            return None;
        }
        let arguments = packet.strip_prefix("42").expect(&packet);
        let (event, origin, number, _): (String, String, u64, String) =
            serde_json::from_str(arguments).unwrap_or_else(|error| panic!("{error}: {packet}"));
        assert_eq!(event, "m");
        Some(Numbered { origin, number })
    }

    /// Reads in the background, until the event `end`.
    pub(crate) fn read(mut self) -> Reader {
        let (sender, seen) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            while let Some(number) = self.next_number().await {
                sender.send_modify(|seen| seen.push(number.number));
            }
        });
        Reader { seen, task }
    }

    /// Returns the numbers until the event `end`.
    pub(crate) async fn numbers(&mut self) -> Vec<Numbered> {
        let mut numbers = Vec::new();
        while let Some(number) = self.next_number().await {
            numbers.push(number);
        }
        numbers
    }
}

/// A client that is read in the background, and the numbers that it has got.
pub(crate) struct Reader {
    seen: watch::Receiver<Vec<u64>>,
    task: JoinHandle<()>,
}

impl Reader {
    pub(crate) fn len(&self) -> usize {
        self.seen.borrow().len()
    }

    /// Waits until the client has got `count` numbers.
    pub(crate) async fn until_len(&self, count: usize) {
        let mut seen = self.seen.clone();
        let enough = seen.wait_for(|seen| seen.len() >= count);
        within("the numbers", enough).await.expect("the reader goes on");
    }

    /// Waits for the event `end`, and returns all numbers.
    pub(crate) async fn finish(self) -> Vec<u64> {
        within("the end", self.task).await.unwrap();
        self.seen.borrow().clone()
    }
}
