//! The contexts that handlers are called with, and what becomes of their return values.

use std::error::Error as StdError;

use manager_api::{EventName, Payload};

use crate::error::{DisconnectReason, Refusal};
use crate::socket::Socket;

/// What a handler of an event is called with.
#[derive(Clone, Debug)]
pub struct EventContext {
    /// The client that emitted the event.
    pub socket: Socket,
    /// The event's name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
}

/// What a connect handler is called with.
#[derive(Clone, Debug)]
pub struct ConnectContext {
    /// The client that wants to connect. What it is sent, and the rooms it enters, take effect when it is accepted.
    pub socket: Socket,
    /// The authentication details it gave: an object, or nothing.
    pub auth: Payload,
}

/// What a disconnect handler is called with.
#[derive(Clone, Debug)]
pub struct DisconnectContext {
    /// The client that is gone. It is in no room any more.
    pub socket: Socket,
    /// Why.
    pub reason: DisconnectReason,
}

/// What a handler can be called with: [`EventContext`], [`ConnectContext`], [`DisconnectContext`], or [`MiddlewareContext`].
pub trait Context: Send + Sync + Sized + 'static {
    /// What becomes of the handler's return value.
    type Outcome: Send + 'static;

    /// The client that it is about.
    fn socket(&self) -> &Socket;
}

impl Context for EventContext {
    /// The arguments of the acknowledgement, or why there is none.
    type Outcome = Result<Payload, HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Context for ConnectContext {
    /// Acceptance or refusal.
    type Outcome = Result<(), Refusal>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl Context for DisconnectContext {
    type Outcome = Result<(), HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// What [event middleware](crate::handler::Handlers::use_event) is called with.
#[derive(Clone, Debug)]
pub struct MiddlewareContext {
    /// The client that emitted the event.
    pub socket: Socket,
    /// The event's name.
    pub event: EventName,
    /// Its arguments, as earlier middleware left them.
    pub payload: Payload,
}

impl Context for MiddlewareContext {
    /// How the event goes on, or why it does not.
    type Outcome = Result<Pass, HandlerError>;

    fn socket(&self) -> &Socket {
        &self.socket
    }
}

/// What becomes of an event that middleware has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pass {
    /// It goes on as it is.
    Unchanged,
    /// It goes on with other arguments.
    With(Payload),
}

/// Says why a handler failed; it is logged with its sources, and the client gets no acknowledgement.
///
/// Texts and all errors that are `Send` and `Sync` convert into it, so that `?` works on them. Sources that may quote the client
/// (those of a [`Rejection`](crate::extract::Rejection), and of an [`Error`](manager_api::Error) of the kind
/// [`Malformed`](manager_api::ErrorKind::Malformed)) are logged at the level `trace` only.
pub type HandlerError = Box<dyn StdError + Send + Sync>;
