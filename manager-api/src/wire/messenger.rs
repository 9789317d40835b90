//! The [`Messenger`] of a process, and the [`Wire`] that makes one.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use super::DecodeLimits;
use crate::message::{Emit, Envelope, Message};
use crate::{ClientManager, Error, ErrorKind, HostId, NamespaceName, Room, Sid};

/// How messages are written for a broker: their encoding, and the topics that they travel on.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Checks that a manager has what the wire needs.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if it lacks something: [topics](crate::topics).
    fn check(&self, manager: &dyn ClientManager) -> Result<(), Error>;

    /// Opens a messenger for a process over a manager. Nothing is sent.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    fn open(&self, manager: Arc<dyn ClientManager>, process: Process) -> Result<Arc<dyn Messenger>, Error>;
}

/// The process that a [`Messenger`] is opened for.
#[derive(Clone, Debug)]
pub struct Process {
    /// The id under which it publishes, and to which responses are addressed.
    pub host_id: HostId,
    /// What it receives.
    pub role: Role,
    /// The limits of a message that it receives.
    pub limits: DecodeLimits,
}

/// What a process receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Callbacks and responses.
    Emitter,
    /// Every message, and it responds to requests.
    Server,
}

impl Process {
    /// Describes an emitter with a random id and the default limits.
    pub fn emitter() -> Self {
        Self {
            host_id: HostId::random(),
            role: Role::Emitter,
            limits: DecodeLimits::default(),
        }
    }
}

/// Sends the messages of one process to the others of its fleet, and receives theirs.
pub trait Messenger: Send + Sync + 'static {
    /// Returns the manager that carries the messages.
    fn manager(&self) -> &Arc<dyn ClientManager>;

    /// Returns the process.
    fn process(&self) -> &Process;

    /// Encodes a message. The `host_id` of the envelope is that of this process; for a [`Message::Callback`] it is the
    /// recipient.
    fn encode(&self, envelope: Envelope) -> Encoded;

    /// Encodes a message of this process, and publishes it when the future is polled.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the wire has no such message, otherwise those of
    /// [`ClientManager::publish`].
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`].
    fn publish(&self, message: Message) -> BoxFuture<'static, Result<(), Error>> {
        let host_id = Some(self.process().host_id.clone());
        self.encode(Envelope::new(host_id, message)).publish
    }

    /// Returns whether an event can carry a [key](crate::IdempotencyKey), by which its receivers drop repeats. Default
    /// true.
    fn carries_keys(&self) -> bool {
        true
    }

    /// Refuses an event with a key that the wire cannot carry; to be called before anything is sent.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config), because each copy would be delivered.
    fn check_key(&self, emit: &Emit) -> Result<(), Error> {
        if emit.key.is_none() || self.carries_keys() {
            return Ok(());
        }
        let text = "this wire cannot carry an idempotency key: its servers would deliver each copy of the event";
        Err(Error::new(ErrorKind::Config, text))
    }

    /// Begins to receive. It must be called before [`servers`](Self::servers).
    ///
    /// # Errors
    ///
    /// Those of [`ClientManager::subscribe`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>>;

    /// Returns the other servers that will respond to a request about a namespace, once their responses will be
    /// received.
    ///
    /// # Errors
    ///
    /// Those of [`ClientManager::subscribe`]; [`Busy`](crate::ErrorKind::Busy) if more namespaces are in use than the
    /// wire can receive responses about.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing that is not repeated by the next call.
    fn servers<'a>(&'a self, namespace: &'a NamespaceName) -> BoxFuture<'a, Result<Servers, Error>>;

    /// Receives the messages about a namespace from now on, on a wire with topics for each. Default: nothing to do,
    /// because all messages are on one channel. The messages arrive some time later.
    fn attend(&self, _namespace: &NamespaceName) {}

    /// Returns whether other servers may know of this one, which has to say [bye](Message::Bye) then. Default: once it
    /// receives, which the hub tells.
    fn is_known(&self, receives: bool) -> bool {
        receives
    }

    /// Returns how long a server that closes waits until its [`Bye`](Message::Bye) is published. Default 1 s.
    fn bye_patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Ends what [`attend`](Self::attend) began. Default: nothing to do.
    fn leave(&self, _namespace: &NamespaceName) {}

    /// Looks whether other servers send messages to topics on which a process without clients does not receive them.
    /// Returns what is wrong, and how to mend it; `None` if nothing of that kind was found. Default: none, because all
    /// messages are on topics that are known.
    ///
    /// # Errors
    ///
    /// Those of [`Topics::find_sharded`](crate::topics::Topics::find_sharded).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    fn find_unheard(&self) -> BoxFuture<'_, Result<Option<String>, Error>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Returns who is to be told which rooms have members on this server, on a wire with topics for rooms. Default: none,
    /// which costs nothing.
    fn room_watcher(&self) -> Option<Arc<dyn RoomWatcher>> {
        None
    }
}

/// Is told which rooms have members on a server.
///
/// It is called on the path of each such change, by any thread, so that it must neither block nor wait for I/O. No lock of
/// the hub is held meanwhile: two changes of one room at nearly the same time may be told in the other order. What counts
/// is their sum.
pub trait RoomWatcher: Send + Sync {
    /// The first client has entered a room, or the last one has left it. The room that is named by the id of a client is
    /// told of only where other clients enter it.
    fn room_changed(&self, namespace: &NamespaceName, room: &Room, is_occupied: bool);

    /// A client was added to a namespace, or removed from it: it is in the room named by its id.
    fn client_changed(&self, namespace: &NamespaceName, sid: &Sid, is_connected: bool);
}

/// A message that is encoded.
pub struct Encoded {
    /// Its size in bytes.
    pub size: usize,
    /// Publishes it.
    pub publish: BoxFuture<'static, Result<(), Error>>,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded")
            .field("size", &self.size)
            .finish_non_exhaustive()
    }
}

/// The servers whose responses a request waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// Those that have announced themselves: see [`cluster`](crate::cluster).
    Announced,
    /// These.
    Named(Vec<HostId>),
    /// So many, of which the ids become known with their responses.
    Counted(usize),
}

impl Servers {
    /// Returns whether it is known that none would respond.
    pub fn is_none(&self) -> bool {
        match self {
            Self::Announced => false,
            Self::Named(servers) => servers.is_empty(),
            Self::Counted(_) => self.has_no_subscriber(),
        }
    }

    /// Returns whether the broker would pass an event that expects a response to no server: their topic has no
    /// subscriber. One without a heartbeat may still read a stream.
    pub fn has_no_subscriber(&self) -> bool {
        matches!(self, Self::Counted(0))
    }
}

/// What a [`Messenger`] receives; it ends when the manager is closed.
pub type Arrivals = BoxStream<'static, Arrival>;

/// An item of [`Arrivals`].
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "most items are messages, each of which would cost an allocation"
)]
pub enum Arrival {
    /// A message of another process.
    Message(Envelope),
    /// A message of this process itself.
    Own {
        /// Whether it is about the presence of servers.
        is_presence: bool,
    },
    /// A message that cannot be decoded.
    Undecodable {
        /// The cause.
        reason: Box<dyn std::error::Error + Send + Sync>,
        /// Its bytes.
        message: Bytes,
    },
    /// Messages may have been missed.
    Gap {
        /// The cause, human-readable.
        reason: String,
    },
}
