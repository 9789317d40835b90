//! One connection: its packets in, and the work that its clients' handlers have to do.

mod assembly;
mod connect;
mod ended;
mod work;

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use engine_io::{CloseReason, Handshake, Message, ProtocolError, Session, Socket as EngineSocket};
use manager_api::EventName;
use manager_api::log::{Escaped, quietly};

use crate::client::Client;
use crate::error::DisconnectReason;
use crate::handler::{DisconnectContext, EventContext};
use crate::log;
use crate::packet::msgpack::{self, Limits};
use crate::packet::{self, Kind, Packet};
use crate::parser::Parser;
use crate::server::Server;
use crate::socket::Socket;
use assembly::Assembly;
use ended::Ended;
use work::{Job, Load, Work};

/// What all clients of a connection share.
pub(crate) struct Connection {
    pub(crate) socket: EngineSocket,
    pub(crate) handshake: Handshake,
    pub(crate) server: Arc<Server>,
    /// Its place among those that have joined nothing; 0 if it has none.
    place: AtomicU64,
    /// Clients that left by another hand than the connection's own task.
    ended: Ended,
    /// Every client is to be disconnected, and the connection closed.
    is_ending: AtomicBool,
}

impl Connection {
    pub(crate) fn new(socket: EngineSocket, handshake: Handshake, server: Arc<Server>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            handshake,
            server,
            place: AtomicU64::new(0),
            ended: Ended::new(),
            is_ending: AtomicBool::new(false),
        })
    }

    pub(crate) fn set_place(&self, place: u64) {
        self.place.store(place, Ordering::Relaxed);
    }

    /// Some client of this connection was accepted, or the connection is gone: it is none of those that have joined nothing.
    pub(crate) fn settle(&self) {
        if self.place.load(Ordering::Relaxed) == 0 {
            return;
        }
        let place = self.place.swap(0, Ordering::Relaxed);
        if place != 0 {
            self.server.unjoined.forget(place);
        }
    }

    /// Has the disconnect handlers run for a client that left.
    pub(crate) fn ended(&self, client: Arc<Client>, reason: DisconnectReason) {
        if let Err(client) = self.ended.push(client, reason) {
            // No handler runs any more.
            client.end();
        }
        self.socket.wake_session();
    }

    /// Disconnects every client, then closes. Only the connection's task knows who they are, so that task does it.
    pub(crate) fn disconnect_all(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.socket.wake_session();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.settle();
    }
}

/// The part of a connection that only its own task touches.
pub(crate) struct ConnectionSession {
    connection: Arc<Connection>,
    members: Vec<Member>,
    assembly: Option<Box<Assembly>>,
    load: Load,
    /// A packet was against the rules; the connection closes for it.
    is_refused: bool,
}

/// A client of this connection and what its handlers have to do, in order.
struct Member {
    client: Arc<Client>,
    work: Work,
    /// Its end was noted, and its disconnect handler queued: until then it stays, though it is closed already.
    is_ended: bool,
}

impl ConnectionSession {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            members: Vec::new(),
            assembly: None,
            load: Load::default(),
            is_refused: false,
        }
    }

    fn take(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>) -> Result<(), ProtocolError> {
        match packet.kind {
            Kind::Connect => self.connect(packet),
            Kind::Disconnect => self.disconnect(packet),
            Kind::Event => self.event(packet, attachments),
            Kind::Ack => self.acknowledge(packet, attachments),
        }
    }

    fn take_msgpack(&mut self, bytes: &[u8]) -> Result<(), ProtocolError> {
        let mut decoded = msgpack::decode(bytes, Limits::of(&self.connection.server.config))?;
        let attachments = mem::take(&mut decoded.attachments);
        self.take(decoded.packet(), attachments)
    }

    fn disconnect(&mut self, packet: Packet<'_>) -> Result<(), ProtocolError> {
        if !packet.json.is_empty() {
            return Err(ProtocolError::new("a DISCONNECT with data"));
        }
        // Node closes the connection for leaving what was not joined. Here it changes nothing: a client that leaves does not know yet
        // that the server has put it out at the same moment.
        if let Some(member) = member(&mut self.members, packet.namespace) {
            member.client.close(DisconnectReason::ClientNamespaceDisconnect);
        }
        Ok(())
    }

    fn event(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>) -> Result<(), ProtocolError> {
        if packet.json.is_empty() {
            // It names no event: nothing runs and nothing is acknowledged, as in Node.
            return open_member(&mut self.members, packet.namespace).map(drop);
        }
        let (name, payload) = packet::event(packet.json, attachments, self.connection.server.config.parser)?;
        let member = open_member(&mut self.members, packet.namespace)?;
        let client = &member.client;
        if let Some(observer) = client.observer() {
            observer.received(client, &name, &payload);
        }
        let handler = client.namespace.on_event(&name);
        if handler.is_none() {
            log::unhandled_event(client, &name);
        }
        let steps = client.namespace.before_event();
        let socket = || Socket::new(client.clone());
        let job = match (steps, handler) {
            (None, None) => None,
            (None, Some((event, handler))) => {
                let context = EventContext {
                    socket: socket(),
                    event,
                    payload,
                };
                Some(Job::Event(handler, context, packet.id))
            }
            // Middleware sees all events, but for the one whose name is empty, which no function can be called with.
            (Some(steps), None) => EventName::new(&name).ok().map(|event| {
                let context = EventContext {
                    socket: socket(),
                    event,
                    payload,
                };
                Job::Filtered(steps, None, context, packet.id)
            }),
            (Some(steps), Some((event, handler))) => {
                let context = EventContext {
                    socket: socket(),
                    event,
                    payload,
                };
                Some(Job::Filtered(steps, Some(handler), context, packet.id))
            }
        };
        if let Some(job) = job {
            member.work.push(job, &mut self.load);
        }
        Ok(())
    }

    /// Acknowledgements pass the queue by: the handler that waits for one may be the very one that runs.
    fn acknowledge(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>) -> Result<(), ProtocolError> {
        let payload = packet::ack_payload(packet.json, attachments, self.connection.server.config.parser)?;
        let client = &open_member(&mut self.members, packet.namespace)?.client;
        // Without an id it answers nothing, and is passed over as in Node.
        if let Some(id) = packet.id {
            let hub = &client.connection.server.hub;
            hub.acknowledge(client.key(), &client.sid, id, payload);
        }
        Ok(())
    }

    /// Queues the disconnect handlers of clients that left.
    fn note_ended(&mut self) {
        for (client, reason) in self.connection.ended.take() {
            let Some(member) = self
                .members
                .iter_mut()
                .find(|member| Arc::ptr_eq(&member.client, &client))
            else {
                continue;
            };
            member.is_ended = true;
            quietly(
                || tracing::debug!(target: "socket_io", namespace = ?Escaped(&client.namespace.name), %reason, "client disconnected"),
            );
            if let Some(handler) = client.namespace.on_disconnect() {
                let socket = Socket::new(client);
                let context = DisconnectContext { socket, reason };
                member.work.push(Job::Disconnect(handler, context), &mut self.load);
            }
        }
    }
}

impl ConnectionSession {
    fn receive(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let config = &self.connection.server.config;
        if config.parser == Parser::MsgPack {
            return match message {
                Message::Binary(bytes) => self.take_msgpack(bytes),
                Message::Text(_) => Err(ProtocolError::new("text from a client whose packets are binary")),
            };
        }
        match (message, self.assembly.take()) {
            (Message::Text(text), None) => {
                let packet = Packet::parse(text)?;
                if packet.num_attachments == 0 {
                    return self.take(packet, Vec::new());
                }
                self.assembly = Some(Assembly::start(text, packet.num_attachments, config)?);
                Ok(())
            }
            (Message::Binary(bytes), Some(mut assembly)) => {
                if !assembly.add(bytes)? {
                    self.assembly = Some(assembly);
                    return Ok(());
                }
                let (text, attachments) = assembly.finish();
                self.take(Packet::parse(&text)?, attachments)
            }
            (Message::Text(_), Some(_)) => Err(ProtocolError::new("text where an attachment was due")),
            (Message::Binary(_), None) => Err(ProtocolError::new("an attachment that belongs to nothing")),
        }
    }

    fn disconnect_all(&mut self) {
        for member in &self.members {
            member.client.disconnect();
        }
        self.connection.socket.close();
    }
}

impl Session for ConnectionSession {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let received = self.receive(message);
        self.is_refused |= received.is_err();
        received
    }

    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.connection.is_ending.swap(false, Ordering::AcqRel) {
            self.disconnect_all();
        }
        let mut budget = work::BUDGET;
        let mut poll = Poll::Ready(());
        // A handler may end clients, whose disconnect handlers are then due at once.
        loop {
            self.note_ended();
            for member in &mut self.members {
                if member
                    .work
                    .poll(&member.client, &mut self.load, &mut budget, cx)
                    .is_pending()
                {
                    poll = Poll::Pending;
                }
            }
            if budget == 0 || !self.connection.ended.has_some() {
                break;
            }
        }
        if self.poll_assembly(cx).is_pending() {
            poll = Poll::Pending;
        }
        self.members.retain(|member| {
            let is_over = member.is_ended || member.client.is_refused();
            let stays = !is_over || !member.work.is_done();
            if !stays {
                // Its disconnect handler has ended, and was the last that might have asked for them.
                member.client.end();
            }
            stays
        });
        if budget == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // Whoever ends a client on another thread is about to say so, and wakes us: until then this is not done.
        match self.members.iter().any(Member::is_about_to_end) {
            true => Poll::Pending,
            false => poll,
        }
    }

    fn is_input_full(&self) -> bool {
        let limits = &self.connection.server.config;
        self.load.events >= limits.max_queued_events || self.load.bytes >= limits.max_queued_bytes
    }

    fn upgraded(&mut self) {
        for member in &self.members {
            if let Some(observer) = member.client.observer().filter(|_| member.client.is_open()) {
                observer.upgraded(&member.client);
            }
        }
    }

    fn close(&mut self, reason: CloseReason) {
        self.assembly = None;
        self.connection.settle();
        // Node speaks of a parse error only where a message of the transport below cannot be read.
        let reason = if self.is_refused {
            CloseReason::ForcedClose
        } else {
            reason
        };
        for member in &self.members {
            member.client.close(DisconnectReason::Connection(reason));
        }
    }
}

impl Drop for ConnectionSession {
    /// Whatever became of the task: no client stays behind in a room.
    fn drop(&mut self) {
        for member in &self.members {
            member
                .client
                .close(DisconnectReason::Connection(CloseReason::TransportError));
            member.client.end();
        }
        self.connection.ended.close();
    }
}

impl Member {
    fn new(client: Arc<Client>) -> Self {
        Self {
            client,
            work: Work::default(),
            is_ended: false,
        }
    }

    /// It is closed, but its disconnect handler is not queued yet.
    fn is_about_to_end(&self) -> bool {
        !self.is_ended && self.client.is_closed() && !self.client.is_refused()
    }
}

fn member<'a>(members: &'a mut [Member], namespace: &str) -> Option<&'a mut Member> {
    let is_it = |member: &&mut Member| member.client.namespace.name == namespace && member.client.is_open();
    members.iter_mut().find(is_it)
}

fn open_member<'a>(members: &'a mut [Member], namespace: &str) -> Result<&'a mut Member, ProtocolError> {
    let not_joined = ProtocolError::new("a packet for a namespace that the client has not joined");
    member(members, namespace).ok_or(not_joined)
}
