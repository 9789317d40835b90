//! One client in one namespace: its state, from connecting to closed, and what is kept of it.

pub(crate) mod ages;
mod connecting;
mod deliver;
mod observe;
mod recipient;
mod sessions;
mod waiting;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use engine_io::{Outgoing, SendError, Sent};
use manager_api::ack::ClientKey;
use manager_api::cluster::ClientDetails;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, quietly};
use manager_api::{Error, ErrorKind, NamespaceName, Room, Sid};

use crate::config::Parser;
use crate::connection::{Connection, Core};
use crate::error::{DisconnectReason, Refusal};
use crate::log::Subject;
pub(crate) use ages::Ages;
pub(crate) use connecting::Connecting;
pub(crate) use deliver::HubDelivery;
pub(crate) use observe::{Observe, Observer};
pub(crate) use recipient::Recipient;
pub(crate) use sessions::{Sessions, SharedData};
use waiting::Waiting;

/// The connect handler has not accepted the client yet: what is sent to it waits.
const CONNECTING: u8 = 0;
const OPEN: u8 = 1;
const CLOSED: u8 = 2;
/// Closed by the server, which has no use for what the client sent before it learned of that.
const DISCONNECTED: u8 = 3;
/// Closed without ever having been accepted: no handler learns of its end.
const REFUSED: u8 = 4;

/// What a client was before it was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Was {
    Connecting,
    Open,
    Closed,
}

/// A namespace, as its clients see it. It exists for as long as they do.
pub(crate) trait Membership: Send + Sync + 'static {
    /// Returns its name.
    fn name(&self) -> &NamespaceName;

    /// Returns whether a handler wants to learn of clients that leave.
    fn has_disconnect_handler(&self) -> bool;
}

/// A client in a namespace.
pub(crate) struct Client {
    pub(crate) sid: Sid,
    membership: Arc<dyn Membership>,
    pub(crate) connection: Arc<Connection>,
    state: AtomicU8,
    /// Whether it is told the ages of events. Written under the lock.
    asks_ages: AtomicBool,
    key: AtomicU64,
    pub(crate) sessions: Sessions,
    /// Nothing while the client is open.
    aside: Mutex<Option<Box<Aside>>>,
}

/// What is kept of a client that is not registered, so that one that is takes no memory for it.
enum Aside {
    /// It is not accepted yet.
    Waiting(Waiting),
    /// It is gone; the rooms it was in, for its disconnect handler.
    Left(Vec<Room>),
}

impl Client {
    pub(crate) fn new(membership: Arc<dyn Membership>, connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            sid: Sid::random(),
            membership,
            connection,
            state: AtomicU8::new(CONNECTING),
            asks_ages: AtomicBool::new(false),
            key: AtomicU64::new(0),
            sessions: Sessions::default(),
            aside: Mutex::new(Some(Box::new(Aside::Waiting(Waiting::default())))),
        })
    }

    /// Returns the name of its namespace.
    pub(crate) fn namespace(&self) -> &NamespaceName {
        self.membership.name()
    }

    /// Returns what it shares with the other clients of its server.
    pub(crate) fn core(&self) -> &Core {
        &self.connection.core
    }

    /// Returns what lines of the log name it by.
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            sid: &self.sid,
            namespace: self.namespace(),
        }
    }

    pub(crate) fn key(&self) -> ClientKey {
        self.key.load(Ordering::Relaxed)
    }

    /// How the packets of its connection are written.
    pub(crate) fn parser(&self) -> Parser {
        self.core().config.parser
    }

    /// Returns the observer of its namespace, if it is watched now.
    pub(crate) fn observer(&self) -> Option<&dyn Observe<Self>> {
        let observer = &self.core().hub.deliver().observer;
        observer.of(self.namespace())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == OPEN
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.load(Ordering::Acquire) >= CLOSED
    }

    /// Accepts the client: registers it, then sends the acceptance and what waited for it.
    ///
    /// It is registered first, so that a peer that learns of the acceptance can reach it at once; what is delivered meanwhile waits for the
    /// lock and leaves after the acceptance.
    pub(crate) fn accept(self: &Arc<Self>) {
        let mut aside = self.aside();
        if self.is_closed() {
            return;
        }
        let (hub, namespace) = (&self.core().hub, self.namespace());
        let key = match hub.registry().add(namespace, &self.sid, self.clone()) {
            Ok(key) => key,
            // Twenty random characters do not repeat.
            Err(error) => {
                return quietly(
                    || tracing::error!(target: "socket_io", sid = %self.sid, namespace = crate::log::name(namespace.as_str()), error = ?Escaped(error), "a client could not be registered"),
                );
            }
        };
        self.key.store(key, Ordering::Relaxed);
        // Not before the registry knows it: a command finds it here or there.
        self.core().connecting().remove(&self.sid);
        let (rooms, packets) = match aside.take().map(|aside| *aside) {
            Some(Aside::Waiting(waiting)) => waiting.into_parts(),
            _ => Default::default(),
        };
        for room in rooms {
            // Cannot fail: the client was registered just now, leaves only by `close`, which waits for the lock, and the limits were kept.
            let _ = hub.registry().enter(namespace, &self.sid, &room);
        }
        let acceptance = self.parser().connect(namespace, &self.sid);
        for packet in std::iter::once(acceptance).chain(packets) {
            // A connection that is gone is cleaned up by its own task.
            let _ = self.connection.socket.send(packet);
        }
        self.state.store(OPEN, Ordering::Release);
        self.connection.settle();
        self.connection.socket.mark_accepted();
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
        let mut aside = self.aside();
        let (was, now) = match (self.state.load(Ordering::Acquire), reason) {
            (CONNECTING, _) => (Was::Connecting, REFUSED),
            (OPEN, DisconnectReason::ServerNamespaceDisconnect) => (Was::Open, DISCONNECTED),
            (OPEN, _) => (Was::Open, CLOSED),
            _ => return Was::Closed,
        };
        // Under the lock, as every change of the state is.
        self.state.store(now, Ordering::Release);
        let waiting = aside.take();
        drop(aside);
        drop(waiting);
        // No other thread asks any more.
        if self.asks_ages() {
            self.core().hub.deliver().ages.cease();
        }
        match was {
            Was::Open => self.remove(reason),
            _ => self.core().connecting().remove(&self.sid),
        }
        was
    }

    /// Takes the client out of everything it was in, and has its disconnect handlers run.
    fn remove(self: &Arc<Self>, reason: DisconnectReason) {
        let (hub, namespace) = (&self.core().hub, self.namespace());
        let rooms = hub.remove(namespace, &self.sid, self.key());
        if let Some(observer) = hub.deliver().observer.of_all() {
            observer.disconnected(self, reason, &rooms);
        }
        // The disconnect handler may ask for them, and nothing else.
        if self.membership.has_disconnect_handler() {
            *self.aside() = Some(Box::new(Aside::Left(rooms)));
        }
        self.connection.ended(self.clone(), reason);
    }

    /// Forgets what was kept for the disconnect handler, which has ended.
    pub(crate) fn end(&self) {
        let left = self.aside().take();
        drop(left);
        self.sessions.end();
    }

    /// Has the client told the ages of events from now on; `false` if too many are.
    pub(crate) fn ask_ages(&self) -> bool {
        let _aside = self.aside(); // A client that closes meanwhile is not counted for ever.
        let is_told = self.asks_ages() || (!self.is_closed() && self.core().hub.deliver().ages.ask());
        self.asks_ages.store(is_told, Ordering::Relaxed);
        is_told
    }

    /// Returns the rooms it is in, or was in when it left if its disconnect handler has not ended; its own first.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        let registry = self.core().hub.registry();
        let rooms = registry.rooms_of(self.namespace(), &self.sid);
        rooms.unwrap_or_else(|| match self.aside().as_deref() {
            Some(Aside::Left(rooms)) => rooms.clone(),
            _ => Vec::new(),
        })
    }

    /// Disconnects the client from the namespace; the connection stays.
    pub(crate) fn disconnect(self: &Arc<Self>) {
        match self.close(DisconnectReason::ServerNamespaceDisconnect) {
            Was::Open => {
                // If the connection is gone, so is the client.
                let _ = self.connection.socket.send(self.parser().disconnect(self.namespace()));
            }
            Was::Connecting => {
                self.send_refusal(&Refusal::default());
                // Its connect handler may hang; the connection's task drops it.
                self.connection.socket.wake_session();
            }
            Was::Closed => {}
        }
    }

    /// Refuses the client, unless it was accepted or closed before.
    pub(crate) fn refuse(self: &Arc<Self>, refusal: &Refusal) {
        if self.close(DisconnectReason::ServerNamespaceDisconnect) == Was::Connecting {
            self.send_refusal(refusal);
        }
    }

    fn send_refusal(&self, refusal: &Refusal) {
        let namespace = self.namespace().as_str();
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

    /// Keeps a packet until the client is accepted; returns it if that has happened.
    fn wait_with(&self, packet: Outgoing) -> Result<Option<Outgoing>, Error> {
        match self.aside().as_deref_mut() {
            Some(Aside::Waiting(waiting)) => waiting.push(packet, self.max_waiting()).map(|()| None),
            _ if self.is_closed() => Err(gone(self)),
            _ => Ok(Some(packet)),
        }
    }

    /// What may wait for the acceptance: no more than the outbox would take.
    fn max_waiting(&self) -> usize {
        self.core().config.engine.outbox_hard_limit
    }

    /// Enters a room now, or when the client is accepted.
    pub(crate) fn enter(&self, room: Room) -> Result<(), Error> {
        if let Some(Aside::Waiting(waiting)) = self.aside().as_deref_mut() {
            return waiting.enter(&self.sid, room, self.core().config.hub.room_limits());
        }
        self.core().hub.enter(self.namespace(), &self.sid, &room).map(drop)
    }

    pub(crate) fn leave(&self, room: &Room) -> Result<(), Error> {
        if let Some(Aside::Waiting(waiting)) = self.aside().as_deref_mut() {
            waiting.leave(room);
            return Ok(());
        }
        self.core().hub.leave(self.namespace(), &self.sid, room).map(drop)
    }

    fn aside(&self) -> MutexGuard<'_, Option<Box<Aside>>> {
        self.aside.lock().unpoisoned()
    }
}

impl Recipient for Client {
    fn sid(&self) -> &Sid {
        &self.sid
    }

    fn namespace(&self) -> &NamespaceName {
        self.namespace()
    }

    fn send(&self, packet: Outgoing, volatile: bool) -> Result<Sent, Error> {
        self.send(packet, volatile)
    }

    fn asks_ages(&self) -> bool {
        self.asks_ages.load(Ordering::Relaxed)
    }

    fn outbox_bytes(&self) -> usize {
        self.connection.socket.buffered_bytes()
    }

    fn enter(&self, room: Room) -> Result<(), Error> {
        self.enter(room)
    }

    fn leave(&self, room: &Room) -> Result<(), Error> {
        self.leave(room)
    }

    fn disconnect(self: &Arc<Self>) {
        Client::disconnect(self);
    }

    fn disconnect_all(self: &Arc<Self>) {
        Client::disconnect_all(self);
    }

    fn details(&self) -> ClientDetails {
        let connection = &self.connection;
        ClientDetails {
            data: self.sessions.data(),
            // A clock that was set back counts as a connection of this moment.
            connected_for: Some(connection.handshake.time().elapsed().unwrap_or_default()),
            transport: Some(connection.socket.transport().as_str().into()),
        }
    }
}

fn gone(client: &Client) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("client {} is not connected any more", client.sid),
    )
}
