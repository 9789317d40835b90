//! The [`Messenger`] of a process, and the [`Wire`] that makes one.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

use crate::message::{Envelope, Message};
use crate::{ClientManager, Error, HostId, NamespaceName};

/// How messages are written for a broker: their encoding, and the topics that they travel on.
pub trait Wire: fmt::Debug + Send + Sync {
    /// Opens a messenger for the process `host_id` over a manager. Nothing is sent.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the manager lacks what the wire needs: [topics](crate::topics).
    fn open(&self, manager: Arc<dyn ClientManager>, host_id: HostId) -> Result<Arc<dyn Messenger>, Error>;
}

/// Sends the messages of one process to the others of its fleet, and receives theirs.
pub trait Messenger: Send + Sync + 'static {
    /// Returns the manager that carries the messages.
    fn manager(&self) -> &Arc<dyn ClientManager>;

    /// Returns the id under which this process publishes, and to which responses are addressed.
    fn host_id(&self) -> &HostId;

    /// Publishes a message, which is encoded before the future is returned.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) if the wire has no such message, otherwise those of
    /// [`ClientManager::publish`].
    ///
    /// # Cancel safety
    ///
    /// As [`ClientManager::publish`].
    fn publish(&self, message: Message) -> BoxFuture<'static, Result<(), Error>>;

    /// Begins to receive: callbacks and responses to this process and, on a wire with one channel for all, every other
    /// message. It must be called before [`servers`](Self::servers).
    ///
    /// # Errors
    ///
    /// Those of [`ClientManager::subscribe`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves no subscription behind.
    fn receive(&self) -> BoxFuture<'_, Result<Arrivals, Error>>;

    /// Returns the servers that will respond to a request about a namespace, once their responses will be received.
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

/// What a [`Messenger`] receives; it ends when the manager is closed.
pub type Arrivals = BoxStream<'static, Arrival>;

/// An item of [`Arrivals`].
#[derive(Debug)]
pub enum Arrival {
    /// A message of another process. Undecodable ones are left out.
    Message(Envelope),
    /// Messages may have been missed.
    Gap {
        /// The cause, human-readable.
        reason: String,
    },
}
