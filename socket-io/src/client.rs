//! One client in one namespace, as everything inside the server sees it.

mod connecting;
mod deliver;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine_io::{Outgoing, SendError, Sent};
use manager_api::ack::ClientKey;
use manager_api::log::{Escaped, quietly};
use manager_api::{Error, ErrorKind, Room, Sid};

use crate::connection::Connection;
use crate::error::{DisconnectReason, Refusal};
use crate::namespace::NamespaceState;
use crate::observe::Observe;
use crate::parser::Parser;
use crate::session::Sessions;
pub(crate) use connecting::Connecting;
pub(crate) use deliver::HubDelivery;

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

/// What takes effect when the client is accepted.
#[derive(Default)]
struct Waiting {
    /// With a number that tells in which order they were entered.
    rooms: HashMap<Room, u64>,
    num_entered: u64,
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
            aside: Mutex::new(Some(Box::new(Aside::Waiting(Waiting::default())))),
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
        let mut aside = self.aside();
        if self.is_closed() {
            return;
        }
        let (hub, namespace) = (&self.connection.server.hub, &self.namespace.name);
        let key = match hub.registry().add(namespace, &self.sid, self.clone()) {
            Ok(key) => key,
            // Twenty random characters do not repeat.
            Err(error) => {
                return quietly(
                    || tracing::error!(target: "socket_io", error = ?Escaped(error), "a client could not be registered"),
                );
            }
        };
        self.key.store(key, Ordering::Relaxed);
        // Not before the registry knows it: a command finds it here or there.
        self.connection.server.connecting().remove(&self.sid);
        let Waiting { rooms, packets, .. } = match aside.take().map(|aside| *aside) {
            Some(Aside::Waiting(waiting)) => waiting,
            _ => Waiting::default(),
        };
        let mut rooms: Vec<_> = rooms.into_iter().collect();
        rooms.sort_unstable_by_key(|(_, number)| *number);
        for (room, _) in rooms {
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
        match was {
            Was::Open => self.remove(reason),
            _ => self.connection.server.connecting().remove(&self.sid),
        }
        was
    }

    /// Takes the client out of everything it was in, and has its disconnect handlers run.
    fn remove(self: &Arc<Self>, reason: DisconnectReason) {
        let (hub, namespace) = (&self.connection.server.hub, &self.namespace.name);
        let rooms = hub.remove(namespace, &self.sid, self.key());
        if let Some(observer) = hub.deliver().observer.of_all() {
            observer.disconnected(self, reason, &rooms);
        }
        // The disconnect handler may ask for them, and nothing else.
        if self.namespace.on_disconnect().is_some() {
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

    /// Returns the rooms it is in, or was in when it left if its disconnect handler has not ended; its own first.
    pub(crate) fn rooms(&self) -> Vec<Room> {
        let registry = self.connection.server.hub.registry();
        let rooms = registry.rooms_of(&self.namespace.name, &self.sid);
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
        match self.aside().as_deref_mut() {
            Some(Aside::Waiting(waiting)) if waiting.cost + packet.cost() > self.max_waiting() => {
                let text = "too much waits for the client to be accepted";
                Err(Error::new(ErrorKind::TooLarge, text))
            }
            Some(Aside::Waiting(waiting)) => {
                waiting.cost += packet.cost();
                waiting.packets.push(packet);
                Ok(None)
            }
            _ if self.is_closed() => Err(gone(self)),
            _ => Ok(Some(packet)),
        }
    }

    /// What may wait for the acceptance: no more than the outbox would take.
    fn max_waiting(&self) -> usize {
        self.connection.server.config.engine.outbox_hard_limit
    }

    /// Enters a room now, or when the client is accepted.
    pub(crate) fn enter(&self, room: Room) -> Result<(), Error> {
        let server = &self.connection.server;
        if let Some(Aside::Waiting(waiting)) = self.aside().as_deref_mut() {
            if waiting.rooms.contains_key(&room) || room == Room::from(&self.sid) {
                return Ok(());
            }
            let limits = server.config.hub.room_limits();
            limits.check(&self.sid, waiting.rooms.len(), &room)?;
            waiting.num_entered += 1;
            waiting.rooms.insert(room, waiting.num_entered);
            return Ok(());
        }
        server.hub.enter(&self.namespace.name, &self.sid, &room).map(drop)
    }

    pub(crate) fn leave(&self, room: &Room) -> Result<(), Error> {
        if let Some(Aside::Waiting(waiting)) = self.aside().as_deref_mut() {
            waiting.rooms.remove(room);
            return Ok(());
        }
        let hub = &self.connection.server.hub;
        hub.leave(&self.namespace.name, &self.sid, room).map(drop)
    }

    fn aside(&self) -> MutexGuard<'_, Option<Box<Aside>>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone(client: &Client) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("client {} is not connected any more", client.sid),
    )
}
