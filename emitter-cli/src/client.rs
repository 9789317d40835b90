//! A client of Socket.IO over WebSocket, for one namespace; it speaks to any server of protocol 5.

mod packet;
mod target;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use manager_api::{NamespaceName, Payload};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::failure::Failure;
use crate::output::printable;
use packet::{Kind, Packet};
use target::Stream;
pub(crate) use target::Target;

/// How long saying goodbye may take.
const CLOSE: Duration = Duration::from_secs(1);
/// The bytes of attachments of one packet.
const MAX_ATTACHED: usize = 64 << 20;
/// The characters of what a server sent that a failure repeats.
const MAX_QUOTED: usize = 100;

/// A client that was accepted in its namespace.
pub(crate) struct Client {
    socket: WebSocketStream<Stream>,
    namespace: NamespaceName,
    /// Silence after which the server counts as dead.
    patience: Duration,
    /// A packet whose attachments have not all been received.
    incomplete: Option<(Packet, Vec<Bytes>)>,
    /// The id that the server gave it.
    pub(crate) sid: String,
}

/// The answer of a server to a client that wants into a namespace.
pub(crate) enum Opened {
    Accepted(Box<Client>),
    /// With what the server says about it: JSON.
    Refused(Box<RawValue>),
}

/// What a server sent.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// An event; with an id if the server waits for an acknowledgement.
    Event(Content, Option<u64>),
    /// The acknowledgement of the event with this id.
    Ack(Content, u64),
    /// The end of the membership in the namespace.
    Disconnected,
}

/// The arguments of an event, its name first, or of an acknowledgement; and their attachments in the order of their placeholders.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) values: VecDeque<Box<RawValue>>,
    pub(crate) attachments: Vec<Bytes>,
}

/// What the server says when a connection opens.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handshake {
    ping_interval: u64,
    ping_timeout: u64,
}

/// What the server says when it accepts a client.
#[derive(Deserialize)]
struct Accepted {
    sid: String,
}

impl Client {
    /// Connects, and enters a namespace with `auth`, which is JSON. The caller limits the time that this may take.
    ///
    /// # Errors
    ///
    /// [`Failure::Broker`] if the server cannot be reached, or does not speak Socket.IO.
    pub(crate) async fn connect(
        target: &Target,
        namespace: &NamespaceName,
        auth: Option<&RawValue>,
    ) -> Result<Opened, Failure> {
        let mut client = Self {
            socket: target.open().await?,
            namespace: namespace.clone(),
            patience: Duration::MAX,
            incomplete: None,
            sid: String::new(),
        };
        let Some(Message::Text(open)) = client.message().await? else {
            return Err(strange("", "before it opened the connection"));
        };
        let handshake = open
            .strip_prefix('0')
            .and_then(|json| serde_json::from_str::<Handshake>(json).ok());
        let Some(handshake) = handshake else {
            return Err(strange(&open, "instead of opening the connection"));
        };
        let silence = handshake.ping_interval.saturating_add(handshake.ping_timeout);
        client.patience = Duration::from_millis(silence.max(1));
        let auth = auth.map_or("", RawValue::get);
        client.send(packet::write(Kind::Connect, namespace, None, auth)).await?;
        loop {
            let (packet, _) = client.packet().await?;
            match packet.kind {
                Kind::Connect => {
                    let accepted: Option<Accepted> = serde_json::from_str(&packet.json).ok();
                    client.sid = accepted.map(|accepted| accepted.sid).unwrap_or_default();
                    return Ok(Opened::Accepted(Box::new(client)));
                }
                Kind::ConnectError => {
                    let said = RawValue::from_string(packet.json).map_err(|_| strange("", "as a refusal"))?;
                    return Ok(Opened::Refused(said));
                }
                _ => {}
            }
        }
    }

    /// Emits an event; with an id if it is to be acknowledged.
    pub(crate) async fn emit(&mut self, event: &str, payload: &Payload, id: Option<u64>) -> Result<(), Failure> {
        let name = serde_json::Value::from(event).to_string();
        let separator = if payload.is_empty() { "" } else { "," };
        let json = format!("[{name}{separator}{}]", String::from_utf8_lossy(payload.inner_json()));
        let attachments = payload.attachments();
        self.send(packet::write(
            Kind::Event(attachments.len()),
            &self.namespace,
            id,
            &json,
        ))
        .await?;
        for attachment in attachments {
            self.deliver(Message::Binary(attachment.clone())).await?;
        }
        Ok(())
    }

    /// Waits for what the server sends; answers its heartbeats meanwhile.
    ///
    /// # Errors
    ///
    /// [`Failure::Broker`] if the connection is lost, or the server is silent for longer than it promised.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Arrived, Failure> {
        loop {
            let (packet, attachments) = self.packet().await?;
            let content = |json: &str| {
                let values = serde_json::from_str(json).map_err(|_| strange(json, "as arguments"))?;
                Ok(Content { values, attachments })
            };
            match (packet.kind, packet.id) {
                (Kind::Event(_), id) => return Ok(Arrived::Event(content(&packet.json)?, id)),
                (Kind::Ack(_), Some(id)) => return Ok(Arrived::Ack(content(&packet.json)?, id)),
                (Kind::Disconnect, _) => return Ok(Arrived::Disconnected),
                _ => {}
            }
        }
    }

    /// Leaves the namespace and closes the connection, as far as that succeeds in time.
    pub(crate) async fn close(mut self) {
        let goodbye = async {
            self.send(packet::write(Kind::Disconnect, &self.namespace.clone(), None, ""))
                .await?;
            // The server has read all before when it closes, too.
            self.socket.close(None).await.map_err(|error| lost(&error))?;
            while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
            Ok::<_, Failure>(())
        };
        // It ends anyway.
        let _ = timeout(CLOSE, goodbye).await;
    }

    /// Waits for a packet of the namespace, with its attachments.
    async fn packet(&mut self) -> Result<(Packet, Vec<Bytes>), Failure> {
        loop {
            match self.message().await? {
                Some(Message::Text(text)) => match text.as_str() {
                    "2" => self.deliver(Message::text("3")).await?,
                    "1" => return Err(Failure::broker("the server closed the connection")),
                    text => self.begin(text)?,
                },
                Some(Message::Binary(bytes)) => self.attach(bytes)?,
                _ => {}
            }
            if let Some((packet, attachments)) = self
                .incomplete
                .take_if(|(packet, attachments)| attachments.len() == packet.kind.num_attachments())
                && packet.namespace == self.namespace.as_str()
            {
                return Ok((packet, attachments));
            }
        }
    }

    /// Takes the text of a packet.
    fn begin(&mut self, text: &str) -> Result<(), Failure> {
        let Some(text) = text.strip_prefix('4') else {
            return Ok(());
        };
        let packet = Packet::parse(text).ok_or_else(|| strange(text, "as a packet"))?;
        self.incomplete = Some((packet, Vec::new()));
        Ok(())
    }

    /// Takes an attachment of the packet before.
    fn attach(&mut self, bytes: Bytes) -> Result<(), Failure> {
        let Some((_, attachments)) = &mut self.incomplete else {
            return Err(Failure::broker("the server sent binary that belongs to no event"));
        };
        attachments.push(bytes);
        match attachments.iter().map(Bytes::len).sum::<usize>() > MAX_ATTACHED {
            true => Err(Failure::broker("the server sent an event of more than 64 MiB")),
            false => Ok(()),
        }
    }

    /// Waits for a message of the WebSocket; `None` for those that it handles itself.
    async fn message(&mut self) -> Result<Option<Message>, Failure> {
        let Ok(received) = timeout(self.patience, self.socket.next()).await else {
            let text = format!("the server is silent for more than {:?}: no heartbeat", self.patience);
            return Err(Failure::broker(text));
        };
        match received {
            Some(Ok(Message::Close(_))) | None => Err(Failure::broker("the server closed the connection")),
            Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => Ok(Some(message)),
            Some(Ok(_)) => Ok(None),
            Some(Err(error)) => Err(lost(&error)),
        }
    }

    async fn send(&mut self, packet: String) -> Result<(), Failure> {
        self.deliver(Message::text(packet)).await
    }

    async fn deliver(&mut self, message: Message) -> Result<(), Failure> {
        self.socket.send(message).await.map_err(|error| lost(&error))
    }
}

fn lost(error: &tungstenite::Error) -> Failure {
    Failure::broker(format!("the connection to the server broke: {error}"))
}

/// The failure of a server that sent what does not belong there.
fn strange(text: &str, place: &str) -> Failure {
    let quoted: String = text.chars().take(MAX_QUOTED).collect();
    Failure::broker(format!(
        "the server sent {:?} {place}: is it one of Socket.IO?",
        printable(&quoted)
    ))
}
