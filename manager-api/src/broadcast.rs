//! The builder of events and commands, common to emitters and servers.
//!
//! # The shape of `emit`
//!
//! [`Broadcast`], [`Emitter`](crate::Emitter), and `SocketIo`, `Namespace` and `Socket` of a server emit in one shape:
//!
//! ```text
//! emit(event, &data).await -> Result<(), Error>
//! ```
//!
//! | part | what |
//! |---|---|
//! | `event` | text, or an [`EventName`](crate::EventName), which is not validated again: [`IntoEventName`] |
//! | `&data` | anything that serde can write: a tuple is several arguments, `()` none; see [`Payload::new`] |
//! | the future | borrows nothing, is `Send`, and can be spawned; nothing is promised unless it is awaited |
//! | `Ok(())` | clients of this server have been sent the event, and the broker, if there is one, has accepted it |
//!
//! `emit_payload(event, payload)` is the same with a finished [`Payload`], and `send(&data)` with the event `message`. A `Socket` has
//! one recipient, on this server: its future is ready when it is returned, so that code that is not async can take the result out of it.

mod cluster;
mod keyed;
mod traced;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;

use crate::ack::AckStream;
use crate::cluster::{Change, RequestKind, RequestLimits, Responses, Selection};
use crate::id::{IntoEventName, IntoNamespaceName};
use crate::message::{Emit, Message, Target};
use crate::trace::TraceParent;
use crate::wire::DecodeLimits;
use crate::{Error, ErrorKind, IdempotencyKey, NamespaceName, Payload, Room, Sid};
use cluster::check_count;

/// Default timeout of acknowledgements, unless [`Broadcast::timeout`] sets another one.
pub const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(60);

/// The destination of a [`Broadcast`]: the broker alone, or this host's clients first.
pub trait Sink: Send + Sync + 'static {
    /// Checks whether an event can be emitted, before anything is sent. Default: [`Payload::check_for_json`], because a
    /// sink that does not know the encoding of the clients' packets must assume JSON.
    fn check(&self, emit: &Emit) -> Result<(), Error> {
        emit.payload.check_for_json()
    }

    /// Emits; completes when the broker has accepted it.
    fn emit(self: Arc<Self>, emit: Emit, scope: Scope) -> BoxFuture<'static, Result<(), Error>>;

    /// Emits and collects acknowledgements. A failure to publish is the first item of the stream.
    fn emit_with_ack(self: Arc<Self>, emit: Emit, scope: Scope, timeout: Duration) -> BoxFuture<'static, AckStream>;

    /// Emits, collects acknowledgements, and requests from every server the recipients of the event.
    fn emit_with_report(
        self: Arc<Self>,
        emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(AckStream, Responses), Error>>;

    /// Emits, and requests from every server the number of clients that the event was handed to.
    fn emit_with_receipt(
        self: Arc<Self>,
        emit: Emit,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Responses, Error>>;

    /// Sends a request to every server.
    fn request(
        self: Arc<Self>,
        kind: RequestKind,
        scope: Scope,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<Responses, Error>>;

    /// Moves or disconnects clients.
    fn change(
        self: Arc<Self>,
        clients: Selection,
        change: Change,
        scope: Scope,
    ) -> BoxFuture<'static, Result<(), Error>>;

    /// Returns the maximum number of clients in the responses to one request.
    fn max_sockets(&self) -> usize;

    /// Returns the maximum bytes of these clients. Default that of [`RequestLimits`].
    fn max_sockets_bytes(&self) -> usize {
        RequestLimits::default().max_sockets_bytes
    }

    /// Returns the limits within which servers accept a message. Default: [`DecodeLimits::default`].
    fn message_limits(&self) -> DecodeLimits {
        DecodeLimits::default()
    }

    /// Carries out any other command: disconnect, enter, leave, close.
    fn command(self: Arc<Self>, message: Message, scope: Scope) -> BoxFuture<'static, Result<(), Error>>;
}

/// The reach of an event or a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// To the clients of every server on the channel.
    #[default]
    Cluster,
    /// To the clients of this server only; an emitter has none.
    Local,
}

/// An event being addressed: choose namespace and rooms, exclude some, then emit.
///
/// Nothing is checked before the final verb: an invalid namespace or event name is reported by the call that would have
/// sent it, and nothing is sent then.
///
/// ```no_run
/// # async fn example(emitter: manager_api::Emitter) -> Result<(), manager_api::Error> {
/// emitter.of("/chat").to("lobby").to("hall").except("muted").emit("news", &("hello", 1)).await?;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens until `emit` or another verb is called and awaited"]
#[derive(Clone)]
pub struct Broadcast {
    sink: Arc<dyn Sink>,
    namespace: Result<NamespaceName, Arc<str>>,
    target: Target,
    skip: Vec<Sid>,
    except: Vec<Room>,
    volatile: bool,
    is_uncompressed: bool,
    scope: Scope,
    timeout: Option<Duration>,
    trace: Option<TraceParent>,
    key: Option<Result<IdempotencyKey, Arc<str>>>,
}

impl Broadcast {
    /// Starts an event for all clients in `/`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self {
            sink,
            namespace: Ok(NamespaceName::root()),
            target: Target::Everyone,
            skip: Vec::new(),
            except: Vec::new(),
            volatile: false,
            is_uncompressed: false,
            scope: Scope::Cluster,
            timeout: None,
            trace: None,
            key: None,
        }
    }

    /// Chooses the namespace. Default `/`.
    pub fn of(mut self, namespace: impl IntoNamespaceName) -> Self {
        self.namespace = namespace
            .into_namespace_name()
            .map_err(|error| error.to_string().into());
        self
    }

    /// Adds a room, or a client by its id; a client in several of the rooms receives the event once.
    pub fn to(mut self, room: impl Into<Room>) -> Self {
        self.target.add(room.into());
        self
    }

    /// Adds several rooms. With none added by this or [`to`](Self::to), the event is for all clients in the namespace.
    pub fn to_all<R: Into<Room>>(self, rooms: impl IntoIterator<Item = R>) -> Self {
        rooms.into_iter().fold(self, Self::to)
    }

    /// Excludes the members of a room.
    ///
    /// On our servers only: python-socketio does not support it and delivers to them. Use [`skip`](Self::skip) for
    /// single clients, which both support.
    pub fn except(mut self, room: impl Into<Room>) -> Self {
        self.except.push(room.into());
        self
    }

    /// Excludes one client.
    pub fn skip(mut self, sid: impl Into<Sid>) -> Self {
        self.skip.push(sid.into());
        self
    }

    /// Allows the event to be dropped for a client whose connection cannot accept it at once.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Chooses whether the event may be compressed where the transport does that. Default true.
    ///
    /// Choose false for data that is compressed already, and where a secret is sent together with text that another
    /// party controls: the length of the compressed packet would leak information about the secret.
    pub fn compress(mut self, compress: bool) -> Self {
        self.is_uncompressed = !compress;
        self
    }

    /// Restricts the event, request or command to the clients of this server. An emitter has no clients, so nothing is
    /// sent then.
    pub fn local(mut self) -> Self {
        self.scope = Scope::Local;
        self
    }

    /// Sets the timeout. Default [`DEFAULT_ACK_TIMEOUT`] for acknowledgements of clients,
    /// [`DEFAULT_REQUEST_TIMEOUT`](crate::cluster::DEFAULT_REQUEST_TIMEOUT) for responses of servers.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Emits an event with a payload, as [`Payload::new`] reads it: a tuple is several arguments, `()` none.
    ///
    /// A server delivers to its own clients first, then publishes. Completes when the broker has accepted the event.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if namespace, event or payload cannot be used, [`ErrorKind::TooLarge`] if there are more
    /// rooms, clients or attachments than a [limit](DecodeLimits) allows: nothing was sent. Otherwise the errors of
    /// [`ClientManager::publish`](crate::ClientManager::publish); clients of this server have received the event all
    /// the same.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the event unsent, or sent without a report.
    pub fn emit<T: Serialize + ?Sized>(
        self,
        event: impl IntoEventName,
        data: &T,
    ) -> BoxFuture<'static, Result<(), Error>> {
        let payload = Payload::new(data);
        self.emit_result(event, payload)
    }

    /// Emits an event whose arguments are a finished [`Payload`].
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn emit_payload(self, event: impl IntoEventName, payload: Payload) -> BoxFuture<'static, Result<(), Error>> {
        self.emit_result(event, Ok(payload))
    }

    /// Emits an event and collects the clients' acknowledgements, until [`timeout`](Self::timeout) or a
    /// [count](AckStream::count).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if namespace, event or payload cannot be used. A failure to publish is yielded by the
    /// stream, because clients of this server may acknowledge all the same.
    pub fn emit_with_ack<T: Serialize + ?Sized>(
        self,
        event: impl IntoEventName,
        data: &T,
    ) -> BoxFuture<'static, Result<AckStream, Error>> {
        let payload = Payload::new(data);
        self.emit_expecting(event, payload)
    }

    /// Emits an event whose arguments are a finished [`Payload`], and collects acknowledgements.
    ///
    /// # Errors
    ///
    /// As [`emit_with_ack`](Self::emit_with_ack).
    pub fn emit_payload_with_ack(
        self,
        event: impl IntoEventName,
        payload: Payload,
    ) -> BoxFuture<'static, Result<AckStream, Error>> {
        self.emit_expecting(event, Ok(payload))
    }

    /// Emits `message` with a payload.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn send<T: Serialize + ?Sized>(self, data: &T) -> BoxFuture<'static, Result<(), Error>> {
        self.emit("message", data)
    }

    /// Disconnects a client from the namespace, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit). It is not an error if no server has that client.
    pub fn disconnect(self, sid: impl Into<Sid>) -> BoxFuture<'static, Result<(), Error>> {
        let sid = sid.into();
        self.command(|namespace| Message::Disconnect { sid, namespace })
    }

    /// Puts a client into a room, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit); [`ErrorKind::TooLarge`] also if the client is on this server and a limit does not allow
    /// it to enter the room. Other servers count and log that. It is not an error if no server has that client.
    pub fn enter_room(self, sid: impl Into<Sid>, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        let (sid, room) = (sid.into(), room.into());
        self.command(|namespace| Message::EnterRoom { sid, room, namespace })
    }

    /// Removes a client from a room, wherever it is connected.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit). It is not an error if no server has that client.
    pub fn leave_room(self, sid: impl Into<Sid>, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        let (sid, room) = (sid.into(), room.into());
        self.command(|namespace| Message::LeaveRoom { sid, room, namespace })
    }

    /// Removes all clients from a room, on every server. The clients are not notified.
    ///
    /// # Errors
    ///
    /// As [`emit`](Self::emit).
    pub fn close_room(self, room: impl Into<Room>) -> BoxFuture<'static, Result<(), Error>> {
        let room = room.into();
        self.command(|namespace| Message::CloseRoom { room, namespace })
    }

    fn command(self, message: impl FnOnce(NamespaceName) -> Message) -> BoxFuture<'static, Result<(), Error>> {
        let (sink, scope) = (self.sink.clone(), self.scope);
        let message = self.checked_namespace().map(message);
        match message {
            Ok(message) => sink.command(message, scope),
            Err(error) => std::future::ready(Err(error)).boxed(),
        }
    }

    fn ack_timeout(&self) -> Duration {
        self.timeout.unwrap_or(DEFAULT_ACK_TIMEOUT)
    }

    fn into_emit(self, event: impl IntoEventName, payload: Result<Payload, Error>) -> Result<Emit, Error> {
        let mut emit = Emit::new(self.checked_namespace()?, event.into_event_name()?, payload?);
        emit.target = self.target;
        emit.skip = self.skip;
        emit.except = self.except;
        emit.volatile = self.volatile;
        emit.is_uncompressed = self.is_uncompressed;
        emit.trace = self.trace.map(Box::new);
        emit.key = keyed::checked(self.key)?;
        let limits = self.sink.message_limits();
        let num_attachments = emit.payload.attachments().len();
        check_count("attachments", num_attachments, limits.max_attachments)?;
        let num_names = emit.target.rooms().len() + emit.skip.len() + emit.except.len();
        check_count("names", num_names, limits.max_names)?;
        self.sink.check(&emit)?;
        Ok(emit)
    }

    fn checked_namespace(&self) -> Result<NamespaceName, Error> {
        let namespace = self.namespace.clone();
        namespace.map_err(|text| Error::new(ErrorKind::Config, &*text))
    }
}

impl std::fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Broadcast")
            .field("namespace", &self.namespace)
            .field("target", &self.target)
            .field("skip", &self.skip)
            .field("except", &self.except)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
