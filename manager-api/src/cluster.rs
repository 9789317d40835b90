//! Questions about the whole cluster, and what the servers tell each other beside events for clients.
//!
//! A server that begins to listen says *hello*; those that hear it answer that they are *here*; one that closes says *bye*. So everybody
//! knows whose answers to wait for. Whoever does not answer a question in time is named as missing and no longer waited for, until it is
//! heard again. All of this is an extension: python-socketio ignores the messages, its servers answer nothing and are not waited for.

mod collect;
mod peers;
mod request;
mod requester;
mod responses;

pub use collect::{AckReport, Gathered, RemoteSocket, ServerResponse, read_data};
pub use request::{Change, ClusterRequest, ClusterResponse, RequestKind, ResponsePart, Selection, SocketInfo};
pub use responses::{RequestTable, Responses};

pub(crate) use collect::{acknowledgements, counted, sockets};
pub use collect::{server_responses, servers};
pub use peers::Peers;
pub use requester::{RequestLimits, Requester, in_time, left_until};

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, EventName, HostId, Payload};

/// How long the servers are waited for unless something else is said: 5 s, as in Node.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An event from another server, or from an emitter, for this server itself.
#[derive(Clone, Debug)]
pub struct ServerEvent {
    /// Who sent it.
    pub from: HostId,
    /// Its name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
    /// Whether the sender waits for an answer.
    pub is_asked: bool,
}

impl ServerEvent {
    /// Reads the arguments into a type, as [`Payload::parse`] does.
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::ErrorKind::Malformed) if they do not fit `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.payload.parse()
    }
}

/// What answers a [`ServerEvent`]; `None` if it has no answer to give.
pub type ServerEventHandler = Arc<dyn Fn(ServerEvent) -> BoxFuture<'static, Option<Payload>> + Send + Sync>;

/// Makes the request that carries an event for servers.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if event or payload cannot be used.
pub fn server_event<T: Serialize + ?Sized>(event: &str, data: &T) -> Result<RequestKind, Error> {
    let (event, payload) = (EventName::new(event)?, Payload::new(data)?);
    Ok(RequestKind::Event { event, payload })
}
