//! The handle of a client.

use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use engine_io::{Handshake, Sent, Transport};
use manager_api::ack::AckStream;
use manager_api::id::IntoEventName;
use manager_api::{Broadcast, Error, EventName, NamespaceName, Payload, Room, Sid};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::client::{Client, Sessions, ages};
use crate::states::States;

/// A client in a namespace. Cloning is cheap; a handle may outlive the client.
#[derive(Clone)]
pub struct Socket {
    client: Arc<Client>,
}

impl Socket {
    pub(crate) fn new(client: Arc<Client>) -> Self {
        Self { client }
    }

    /// Returns the public id of the client: 20 characters, another in each namespace.
    pub fn id(&self) -> &Sid {
        &self.client.sid
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &NamespaceName {
        self.client.namespace()
    }

    /// Emits an event to this client; a tuple is several arguments, `()` none, and binary may stand anywhere in the payload.
    ///
    /// The call has queued the event, and the future is ready: it has the [shape](manager_api::broadcast) of every `emit`. Code that
    /// is not async takes the result by [`into_inner`](Ready::into_inner).
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if event or payload cannot be used, [`NotFound`](manager_api::ErrorKind::NotFound) if the
    /// client is gone, [`TooLarge`](manager_api::ErrorKind::TooLarge) if it reads too slowly: it is disconnected then.
    pub fn emit<T: Serialize + ?Sized>(&self, event: impl IntoEventName, data: &T) -> Ready<Result<(), Error>> {
        ready(Payload::new(data).and_then(|payload| self.queue(event, &payload, false).map(drop)))
    }

    /// Emits an event whose arguments are ready-made.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn emit_payload(&self, event: impl IntoEventName, payload: Payload) -> Ready<Result<(), Error>> {
        ready(self.queue(event, &payload, false).map(drop))
    }

    /// Emits an event that is dropped if the client's connection cannot take it at once; the result tells whether it was taken.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit), but never [`TooLarge`](manager_api::ErrorKind::TooLarge).
    pub fn emit_volatile<T: Serialize + ?Sized>(
        &self,
        event: impl IntoEventName,
        data: &T,
    ) -> Ready<Result<bool, Error>> {
        let sent = Payload::new(data).and_then(|payload| self.queue(event, &payload, true));
        ready(sent.map(|sent| sent != Sent::Dropped))
    }

    fn queue(&self, event: impl IntoEventName, payload: &Payload, volatile: bool) -> Result<Sent, Error> {
        let event = event.into_event_name()?;
        let parser = self.client.parser();
        parser.check(payload)?;
        let packet = parser.event(self.namespace(), event.as_str(), payload, None);
        let sent = self.client.send(packet, volatile)?;
        if sent != Sent::Dropped {
            self.note_sent(&event, payload);
        }
        Ok(sent)
    }

    /// Tells the observer; not of what waits for the acceptance, which may never be sent.
    fn note_sent(&self, event: &EventName, payload: &Payload) {
        if let Some(observer) = self.client.observer().filter(|_| self.client.is_open()) {
            observer.sent(&self.client, event.as_str(), payload);
        }
    }

    /// Emits `message` with a payload to this client.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn send<T: Serialize + ?Sized>(&self, data: &T) -> Ready<Result<(), Error>> {
        self.emit("message", data)
    }

    /// Emits an event to this client and waits for its answer.
    ///
    /// A handler may call its own client: acknowledgements pass the queue of events by. A client that is not accepted yet cannot answer.
    ///
    /// # Errors
    ///
    /// [`Timeout`](manager_api::ErrorKind::Timeout) if the client does not answer, or is gone;
    /// [`Malformed`](manager_api::ErrorKind::Malformed) if the answer does not fit `R`; otherwise as [`emit`](Self::emit).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future forgets the question.
    pub async fn call<T: Serialize + ?Sized, R: DeserializeOwned>(
        &self,
        event: impl IntoEventName,
        data: &T,
        timeout: Duration,
    ) -> Result<R, Error> {
        let answers: AckStream = self.itself().timeout(timeout).emit_with_ack(event, data).await?;
        answers.count(1).one().await
    }

    /// Starts an event for a room, without this client.
    pub fn to(&self, room: impl Into<Room>) -> Broadcast {
        self.broadcast().to(room)
    }

    /// Starts an event for all clients in the namespace but this one.
    pub fn broadcast(&self) -> Broadcast {
        self.client.core().hub.broadcast().of(self.namespace()).skip(self.id())
    }

    /// Enters a room.
    ///
    /// # Errors
    ///
    /// [`NotFound`](manager_api::ErrorKind::NotFound) if the client is gone, [`TooLarge`](manager_api::ErrorKind::TooLarge) if it is in as many
    /// rooms as [allowed](hub::HubOptions::max_rooms_per_client) or the name of the room is too long.
    pub fn join(&self, room: impl Into<Room>) -> Result<(), Error> {
        self.client.enter(room.into())
    }

    /// Leaves a room. The one named by its own id cannot be left.
    ///
    /// # Errors
    ///
    /// [`NotFound`](manager_api::ErrorKind::NotFound) if the client is gone.
    pub fn leave(&self, room: impl Into<Room>) -> Result<(), Error> {
        self.client.leave(&room.into())
    }

    /// Returns the rooms, the client's own first. Until its disconnect handler has ended, those that it was in when it left; none after that,
    /// and while it is not accepted.
    pub fn rooms(&self) -> Vec<Room> {
        self.client.rooms()
    }

    /// Returns the number of bytes that [`set_data`](Self::set_data) takes.
    pub(crate) fn max_data_bytes(&self) -> usize {
        self.client.core().config.hub.max_socket_data_bytes
    }

    /// The event that follows another one for clients that are [told ages](Self::tell_ages).
    pub const AGE_EVENT: &str = ages::EVENT;

    /// Has the client told how old events are, until it leaves: each event that another process of this project published is
    /// followed by the event [`sio:age`](Self::AGE_EVENT) with the milliseconds from its publish to this client's outbox, by the wall
    /// clocks of both, and its name. It is volatile. Processes of python-socketio write no time into events, and own events of this
    /// server have no age.
    ///
    /// For pages that show latencies: it doubles the packets of this client. Returns `false` if 64 clients of this server are told
    /// already, or if it is gone.
    pub fn tell_ages(&self) -> bool {
        self.client.ask_ages()
    }

    /// Disconnects the client from this namespace; its connection and other namespaces stay.
    pub fn disconnect(&self) {
        self.client.disconnect();
    }

    /// Disconnects the client from this namespace at once, then from every other on its connection, and closes the connection.
    pub fn disconnect_all(&self) {
        self.client.disconnect_all();
    }

    /// Tells whether the client is connected, and accepted.
    pub fn is_connected(&self) -> bool {
        self.client.is_open()
    }

    /// Returns the request that opened the connection: headers, query, address.
    pub fn handshake(&self) -> &Handshake {
        &self.client.connection.handshake
    }

    /// Returns the transport that is in use now.
    pub fn transport(&self) -> Transport {
        self.client.connection.socket.transport()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_disconnected(&self) -> bool {
        self.client.is_disconnected()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.client.sessions
    }

    pub(crate) fn states(&self) -> &States {
        &self.client.core().states
    }

    fn itself(&self) -> Broadcast {
        self.client
            .core()
            .hub
            .broadcast()
            .of(self.namespace())
            .to(self.id())
            .local()
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", self.id())
            .field("namespace", self.namespace())
            .finish_non_exhaustive()
    }
}
