//! Requests between the servers of a cluster and their responses, and server discovery.
//!
//! A server announces itself with `sio_hello` when it begins to listen; the servers that receive it respond with
//! `sio_here`; a server that closes sends `sio_bye`. Each server therefore knows which servers to expect responses
//! from. A server that does not respond to a request in time is reported as missing, and is not expected again until a
//! message of it is received. All of this is an extension: python-socketio ignores the messages; its servers do not
//! respond and are not expected to.

mod collect;
mod inspect;
mod peers;
mod report;
mod request;
mod requester;
mod responses;

pub use collect::{AckReport, Gathered, RemoteSocket, ServerResponse, read_data};
pub use inspect::{Receipt, ServerInfo, ServerReceipt};
pub use report::{ClientDetails, RoomInfo, ServerStatus};
pub use request::{Change, ClusterRequest, ClusterResponse, RequestKind, ResponsePart, Selection, SocketInfo};
pub use responses::{Expected, RequestTable, Responses};

pub use collect::server_responses;
pub(crate) use collect::{acknowledgements, counted, sockets};
pub(crate) use inspect::receipt;
pub use inspect::{rooms, servers};
pub use peers::Peers;
pub use requester::{RequestLimits, Requester, in_time, left_until};

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::id::IntoEventName;
use crate::{Error, EventName, HostId, Payload};

/// Default timeout of requests between servers: 5 s, as in Node.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// An event from another server, or from an emitter, for this server itself.
#[derive(Clone, Debug)]
pub struct ServerEvent {
    /// The process that sent it.
    pub from: HostId,
    /// Its name.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
    /// Whether the sender waits for a response.
    pub expects_response: bool,
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

/// A handler of a [`ServerEvent`]; its output is the response, `None` for a response without a value.
pub type ServerEventHandler = Arc<dyn Fn(ServerEvent) -> BoxFuture<'static, Option<Payload>> + Send + Sync>;

/// Creates the request that carries an event for servers.
///
/// # Errors
///
/// [`Config`](crate::ErrorKind::Config) if event or payload cannot be used.
pub fn server_event<T: Serialize + ?Sized>(event: impl IntoEventName, data: &T) -> Result<RequestKind, Error> {
    let (event, payload) = (event.into_event_name()?, Payload::new(data)?);
    Ok(RequestKind::Event { event, payload })
}
