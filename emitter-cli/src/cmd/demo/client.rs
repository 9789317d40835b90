//! A client as a browser would be one: Socket.IO over WebSocket, on a socket of its own.

use std::net::SocketAddr;

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::failure::Failure;

pub(super) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What of the protocol matters to a client that sends text and receives it.
enum Packet {
    Open,
    Connected,
    Event(String, Value),
    Answer(Value),
    Other,
}

impl Client {
    /// Connects to the namespace `/`.
    pub(super) async fn connect(addr: SocketAddr) -> Result<Client, Failure> {
        let url = format!("ws://{addr}/socket.io/?EIO=4&transport=websocket");
        let connected = tokio_tungstenite::connect_async(url)
            .await
            .context("cannot connect a client");
        let (socket, _) = connected.map_err(Failure::Broker)?;
        let mut client = Client { socket };
        while !matches!(client.packet().await?, Packet::Open) {}
        client.send("40").await?;
        while !matches!(client.packet().await?, Packet::Connected) {}
        Ok(client)
    }

    /// Emits an event with one argument and returns the first argument of its acknowledgement.
    pub(super) async fn call(&mut self, event: &str, argument: &str) -> Result<Value, Failure> {
        self.send(&format!("420{}", json!([event, argument]))).await?;
        loop {
            if let Packet::Answer(answer) = self.packet().await? {
                return Ok(answer);
            }
        }
    }

    /// Waits for an event of this name and returns its first argument.
    pub(super) async fn event(&mut self, wanted: &str) -> Result<Value, Failure> {
        loop {
            match self.packet().await? {
                Packet::Event(event, argument) if event == wanted => return Ok(argument),
                _ => {}
            }
        }
    }

    /// Answers heartbeats, until the connection is lost.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost but events that are not waited for.
    pub(super) async fn idle(&mut self) -> Failure {
        loop {
            if let Err(failure) = self.packet().await {
                return failure;
            }
        }
    }

    async fn packet(&mut self) -> Result<Packet, Failure> {
        loop {
            let received = self
                .socket
                .next()
                .await
                .context("the server closed the client's connection");
            let message = received
                .map_err(Failure::Broker)?
                .context("the client's connection broke");
            let Message::Text(text) = message.map_err(Failure::Broker)? else {
                continue;
            };
            match text.as_str() {
                "2" => self.send("3").await?,
                text => return Ok(Packet::parse(text)),
            }
        }
    }

    async fn send(&mut self, packet: &str) -> Result<(), Failure> {
        let sent = self
            .socket
            .send(Message::text(packet))
            .await
            .context("the client's connection broke");
        sent.map_err(Failure::Broker)
    }
}

impl Packet {
    fn parse(text: &str) -> Packet {
        let body = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        if text.starts_with('0') {
            Packet::Open
        } else if text.starts_with("40") {
            Packet::Connected
        } else if let Some(rest) = text.strip_prefix("42") {
            let mut array = body(rest.trim_start_matches(|letter: char| letter.is_ascii_digit()));
            let event = array[0].as_str().unwrap_or_default().to_owned();
            Packet::Event(event, array.get_mut(1).map(Value::take).unwrap_or_default())
        } else if let Some(rest) = text.strip_prefix("430") {
            Packet::Answer(body(rest).get_mut(0).map(Value::take).unwrap_or_default())
        } else {
            Packet::Other
        }
    }
}
