//! The session of a connection: the part that only the connection's own task touches.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use bytes::Bytes;
use engine_io::{CloseReason, Message, ProtocolError, Session};
use manager_api::EventName;
use manager_api::log::quietly;

use super::allowance::Allowance;
use super::assembly::Assembly;
use super::link::Connection;
use super::load::Load;
use super::member::{Member, member, open_member};
use super::work::{self, Job};
use crate::config::Parser;
use crate::error::DisconnectReason;
use crate::handler::{DisconnectContext, EventContext};
use crate::log;
use crate::namespace::Directory;
use crate::packet::msgpack;
use crate::packet::{self, Kind, Packet};
use crate::socket::Socket;

/// The part of a connection that only its own task touches.
pub(crate) struct ConnectionSession {
    pub(super) connection: Arc<Connection>,
    pub(super) namespaces: Arc<Directory>,
    pub(super) members: Vec<Member>,
    assembly: Option<Box<Assembly>>,
    pub(super) load: Load,
    allowance: Allowance,
    /// A packet was against the rules; the connection closes for it.
    is_refused: bool,
}

impl ConnectionSession {
    pub(crate) fn new(connection: Arc<Connection>, namespaces: Arc<Directory>) -> Self {
        Self {
            connection,
            namespaces,
            members: Vec::new(),
            assembly: None,
            load: Load::default(),
            allowance: Allowance::default(),
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
        let mut decoded = msgpack::decode(bytes, msgpack::limits(&self.connection.core.config))?;
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
        let core = &self.connection.core;
        if self.allowance.take(core.config.max_events_per_second) {
            core.counters.event_pause();
        }
        if packet.json.is_empty() {
            // It names no event: nothing runs and nothing is acknowledged, as in Node.
            return open_member(&mut self.members, packet.namespace).map(drop);
        }
        let (name, payload) = packet::event(packet.json, attachments, self.connection.core.config.parser)?;
        let member = open_member(&mut self.members, packet.namespace)?;
        let client = &member.client;
        if let Some(observer) = client.observer() {
            observer.received(client, &name, &payload);
        }
        let handler = member.namespace.on_event(&name);
        if handler.is_none() {
            log::unhandled_event(client.subject(), &name);
        }
        let steps = member.namespace.before_event();
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
        let Some(job) = job else { return Ok(()) };
        let connection = &self.connection;
        if self.load.is_too_much(job.size(), &connection.core.queued) {
            connection.core.queued.shed(&connection.socket);
        } else {
            member.work.push(job, &mut self.load);
        }
        Ok(())
    }

    /// Acknowledgements pass the queue by: the handler that waits for one may be the very one that runs.
    fn acknowledge(&mut self, packet: Packet<'_>, attachments: Vec<Bytes>) -> Result<(), ProtocolError> {
        let payload = packet::ack_payload(packet.json, attachments, self.connection.core.config.parser)?;
        let client = &open_member(&mut self.members, packet.namespace)?.client;
        // Without an id it answers nothing, and is passed over as in Node.
        if let Some(id) = packet.id {
            let hub = &client.core().hub;
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
                || tracing::debug!(target: "socket_io", sid = %client.sid, namespace = crate::log::name(client.namespace().as_str()), %reason, "client disconnected"),
            );
            if let Some(handler) = member.namespace.on_disconnect() {
                let socket = Socket::new(client);
                let context = DisconnectContext { socket, reason };
                member.work.push(Job::Disconnect(handler, context), &mut self.load);
            }
        }
    }
}

impl ConnectionSession {
    fn receive(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let config = &self.connection.core.config;
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

    /// Closes the connection if attachments are overdue, or too many for all together; pending while some are awaited.
    fn poll_assembly(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(assembly) = &mut self.assembly else {
            return Poll::Ready(());
        };
        if assembly.count(&self.connection.socket).is_err() {
            self.assembly = None;
            return Poll::Ready(());
        }
        if assembly.poll_overdue(cx).is_pending() {
            return Poll::Pending;
        }
        quietly(|| tracing::debug!(target: "socket_io", "closing a connection whose attachments did not come in time"));
        self.assembly = None;
        self.connection.socket.close();
        Poll::Ready(())
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
        self.load.count(&self.connection.core.queued);
        let limit = self.connection.core.config.max_events_per_second;
        if self.poll_assembly(cx).is_pending() | self.allowance.poll_renewed(limit, cx).is_pending() {
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
        // A thread that closes a client is about to say so, and wakes this task: until then it is not done.
        match self.members.iter().any(Member::is_about_to_end) {
            true => Poll::Pending,
            false => poll,
        }
    }

    fn is_input_full(&self) -> bool {
        let core = &self.connection.core;
        let limits = &core.config;
        let is_full =
            self.load.events as usize >= limits.max_queued_events || self.load.bytes >= limits.max_queued_bytes;
        is_full || self.allowance.is_used_up() || self.load.has_to_wait(&core.queued)
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
        self.allowance.end();
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
    /// Removes the clients from their rooms, also if the task was dropped.
    fn drop(&mut self) {
        for member in &self.members {
            member
                .client
                .close(DisconnectReason::Connection(CloseReason::TransportError));
            member.client.end();
        }
        self.connection.ended.close();
        self.load.release(&self.connection.core.queued);
    }
}
