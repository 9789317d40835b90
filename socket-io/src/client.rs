//! One client in one namespace, as everything inside the server sees it.

mod connecting;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_io::{Outgoing, SendError, Sent};
use manager_api::{ClientKey, Deliver, Emit, Error, ErrorKind, Escaped, Message, Namespace, Pressure, Room, Sid};

use crate::connection::Connection;
use crate::error::{DisconnectReason, Refusal};
use crate::namespace::NamespaceState;
use crate::observe::{Observe, Observer};
use crate::parser::Parser;
use crate::session::Sessions;
pub(crate) use connecting::Connecting;

/// The connect handler has not accepted the client yet: what is sent to it waits.
const CONNECTING: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;
/// Closed by the server, which has no use for what the client sent before it learned of that.
const DISCONNECTED: u8 = 3;
/// Closed without ever having been accepted: nobody is told of its end.
const REFUSED: u8 = 4;

/// What a client was before it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Connecting,
    Open,
    Closed,
}

pub(crate) struct Client {
    pub(crate) sid: Sid,
    pub(crate) namespace: Arc<NamespaceState>,
    pub(crate) connection: Arc<Connection>,
    state: AtomicU8,
    key: AtomicU64,
    pub(crate) sessions: Sessions,
    /// Gone once the client is accepted or refused.
    waiting: Mutex<Option<Box<Waiting>>>,
}

/// What takes effect when the client is accepted.
#[derive(Default)]
struct Waiting {
    rooms: Vec<Room>,
    packets: Vec<Outgoing>,
    /// What the packets cost in the outbox, which they would all go to at once.
    cost: usize,
}

impl Client {
    pub(crate) fn new(namespace: Arc<NamespaceState>, connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            sid: Sid::random(),
            namespace,
            connection,
            state: AtomicU8::new(CONNECTING),
            key: AtomicU64::new(0),
            sessions: Sessions::default(),
            waiting: Mutex::new(Some(Box::default())),
        })
    }

    pub(crate) fn key(&self) -> ClientKey {
        self.key.load(Ordering::Relaxed)
    }

    /// How the packets of its connection are written.
    pub(crate) fn parser(&self) -> Parser {
        self.connection.server.config.parser
    }

    /// Returns whoever looks on at its namespace now.
    pub(crate) fn observer(&self) -> Option<&dyn Observe> {
        let observer = &self.connection.server.hub.deliver().observer;
        observer.of(&self.namespace.name)
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) >= CLOSED
    }

    /// Lets the client in: registers it, then sends the acceptance and what waited for it.
    ///
    /// It is registered first, so that whoever learns of the acceptance can reach it at once; what is delivered meanwhile waits for the
    /// lock and leaves after the acceptance.
    pub(crate) fn accept(self: &Arc<Self>) {
        let mut waiting = self.waiting();
        if self.is_closed() {
            return;
        }
        let (hub, namespace) = (&self.connection.server.hub, &self.namespace.name);
        let key = match hub.registry().add(namespace, &self.sid, self.clone()) {
            Ok(key) => key,
            // Twenty random characters do not repeat.
            Err(error) => {
                return tracing::error!(target: "socket_io", error = ?Escaped(error), "a client could not be registered");
            }
        };
        self.key.store(key, Ordering::Relaxed);
        // Not before the registry knows it: a command finds it here or there.
        self.connection.server.connecting().remove(&self.sid);
        let Waiting { rooms, packets, .. } = *waiting.take().unwrap_or_default();
        for room in rooms {
            // Cannot fail: the client was registered just now, and leaves only by `close`, which waits for the lock.
            let _ = hub.registry().enter(namespace, &self.sid, &room);
        }
        let acceptance = self.parser().connect(namespace, &self.sid);
        for packet in std::iter::once(acceptance).chain(packets) {
            // A connection that is gone is cleaned up by its own task.
            let _ = self.connection.socket.send(packet);
        }
        self.state.store(OPEN, Ordering::Release);
        self.connection.settle();
        if let Some(observer) = hub.deliver().observer.of_all() {
            observer.connected(self);
        }
    }

    /// Tells whether the client is closed and was never accepted.
    pub(crate) fn is_refused(&self) -> bool {
        self.state.load(Ordering::Acquire) == REFUSED
    }

    /// Tells whether the server disconnected the client, so that none of its events is handled any more.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.state.load(Ordering::Acquire) == DISCONNECTED
    }

    /// Ends the membership, once; tells what it was. The disconnect handlers run on the connection's task.
    pub(crate) fn close(self: &Arc<Self>, reason: DisconnectReason) -> Was {
        let mut waiting = self.waiting();
        let (was, now) = match (self.state.load(Ordering::Acquire), reason) {
            (CONNECTING, _) => (Was::Connecting, REFUSED),
            (OPEN, DisconnectReason::ServerNamespaceDisconnect) => (Was::Open, DISCONNECTED),
            (OPEN, _) => (Was::Open, CLOSED),
            _ => return Was::Closed,
        };
        // Under the lock of `waiting`, as every change of the state is.
        self.state.store(now, Ordering::Release);
        *waiting = None;
        drop(waiting);
        match was {
            Was::Open => self.remove(reason),
            _ => self.connection.server.connecting().remove(&self.sid),
        }
        was
    }

    /// Takes the client out of everything it was in, and has its disconnect handlers run.
    fn remove(self: &Arc<Self>, reason: DisconnectReason) {
        let (hub, namespace) = (&self.connection.server.hub, &self.namespace.name);
        let observer = &hub.deliver().observer;
        let rooms = observer
            .of(namespace)
            .and_then(|_| hub.registry().rooms_of(namespace, &self.sid));
        hub.remove(namespace, &self.sid, self.key());
        if let Some(observer) = observer.of_all() {
            observer.disconnected(self, reason, &rooms.unwrap_or_default());
        }
        self.connection.ended(self.clone(), reason);
    }

    /// Disconnects the client from the namespace; the connection stays.
    pub(crate) fn disconnect(self: &Arc<Self>) {
        match self.close(DisconnectReason::ServerNamespaceDisconnect) {
            Was::Open => {
                // If the connection is gone, so is the client.
                let _ = self
                    .connection
                    .socket
                    .send(self.parser().disconnect(&self.namespace.name));
            }
            Was::Connecting => {
                self.send_refusal(&Refusal::default());
                // Its connect handler may hang; the connection's task drops it.
                self.connection.socket.wake_session();
            }
            Was::Closed => {}
        }
    }

    /// Does not let the client in, unless its fate is decided already.
    pub(crate) fn refuse(self: &Arc<Self>, refusal: &Refusal) {
        if self.close(DisconnectReason::ServerNamespaceDisconnect) == Was::Connecting {
            self.send_refusal(refusal);
        }
    }

    fn send_refusal(&self, refusal: &Refusal) {
        let namespace = self.namespace.name.as_str();
        let packet = self.parser().connect_error(namespace, &refusal.to_json());
        // A connection that is gone needs no refusal.
        let _ = self.connection.socket.send(packet);
    }

    /// Disconnects the client from the namespace at once, then from every other on its connection, and closes the connection.
    pub(crate) fn disconnect_all(self: &Arc<Self>) {
        self.disconnect();
        self.connection.disconnect_all();
    }

    pub(crate) fn send(&self, packet: Outgoing, volatile: bool) -> Result<Sent, Error> {
        if !self.is_open() {
            let Some(packet) = self.wait_with(packet)? else {
                return Ok(Sent::Queued);
            };
            return self.send_now(packet, volatile);
        }
        self.send_now(packet, volatile)
    }

    fn send_now(&self, packet: Outgoing, volatile: bool) -> Result<Sent, Error> {
        let socket = &self.connection.socket;
        let sent = if volatile {
            socket.send_volatile(packet)
        } else {
            socket.send(packet)
        };
        sent.map_err(|error| match error {
            SendError::Overflow => Error::new(ErrorKind::TooLarge, "the client reads too slowly").with_source(error),
            _ => gone(self),
        })
    }

    /// Keeps a packet until the client is accepted; gives it back if that has happened.
    fn wait_with(&self, packet: Outgoing) -> Result<Option<Outgoing>, Error> {
        match &mut *self.waiting() {
            Some(waiting) if waiting.cost + packet.cost() > self.max_waiting() => {
                let text = "too much waits for the client to be accepted";
                Err(Error::new(ErrorKind::TooLarge, text))
            }
            Some(waiting) => {
                waiting.cost += packet.cost();
                waiting.packets.push(packet);
                Ok(None)
            }
            None if self.is_closed() => Err(gone(self)),
            None => Ok(Some(packet)),
        }
    }

    /// What may wait for the acceptance: no more than the outbox would take.
    fn max_waiting(&self) -> usize {
        self.connection.server.config.engine.outbox_hard_limit
    }

    /// Enters a room now, or when the client is accepted.
    pub(crate) fn enter(&self, room: Room) -> Result<(), Error> {
        if let Some(waiting) = &mut *self.waiting() {
            waiting.rooms.push(room);
            return Ok(());
        }
        let hub = &self.connection.server.hub;
        hub.enter(&self.namespace.name, &self.sid, &room).map(drop)
    }

    pub(crate) fn leave(&self, room: &Room) -> Result<(), Error> {
        if let Some(waiting) = &mut *self.waiting() {
            waiting.rooms.retain(|other| other != room);
            return Ok(());
        }
        let hub = &self.connection.server.hub;
        hub.leave(&self.namespace.name, &self.sid, room).map(drop)
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Box<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(client: &Client) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("client {} is not connected any more", client.sid),
    )
}

/// How the hub reaches the clients of this server.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) parser: Parser,
    pub(crate) observer: Observer,
    pub(crate) connecting: Connecting,
}

impl Deliver for Local {
    type Client = Arc<Client>;
    type Packet = Outgoing;

    fn encode(&self, emit: &Emit, ack: Option<u64>) -> Outgoing {
        let event = emit.event.as_str();
        let packet = self.parser.event(&emit.namespace, event, &emit.payload, ack);
        match emit.is_uncompressed {
            true => packet.uncompressed(),
            false => packet,
        }
    }

    fn deliver(&self, client: &Arc<Client>, packet: &Outgoing, volatile: bool) -> Pressure {
        // A client that is gone, or goes for being too slow, is counted by the engine.
        match client.send(packet.clone(), volatile) {
            Ok(Sent::Congested) => Pressure::High,
            Ok(Sent::Dropped) | Err(_) => Pressure::Refused,
            Ok(_) => Pressure::Low,
        }
    }

    fn disconnect(&self, client: &Arc<Client>) {
        client.disconnect();
    }

    fn close(&self, client: &Arc<Client>) {
        client.disconnect_all();
    }

    fn is_watched(&self, namespace: &Namespace) -> bool {
        self.observer.of(namespace).is_some()
    }

    fn delivered(&self, client: &Arc<Client>, emit: &Emit) {
        if let Some(observer) = self.observer.of_all() {
            observer.sent(client, emit.event.as_str(), &emit.payload);
        }
    }

    fn entered(&self, client: &Arc<Client>, room: &Room) {
        if let Some(observer) = self.observer.of_all() {
            observer.entered(client, room);
        }
    }

    fn left(&self, client: &Arc<Client>, room: &Room) {
        if let Some(observer) = self.observer.of_all() {
            observer.left(client, room);
        }
    }

    fn command_connecting(&self, command: &Message) -> bool {
        self.connecting.command(command)
    }
}
