//! What the API publishes by: a server, or an emitter.

use std::time::Duration;

use manager_api::cluster::{Gathered, RoomInfo};
use manager_api::{Broadcast, Emitter, Error, NamespaceName};
use socket_io::SocketIo;

/// What an [`Api`](super::Api) publishes by.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// A server: its own clients get events at once.
    Server(SocketIo),
    /// An emitter, in a process without clients. Its first receipt or list takes a second longer.
    Emitter(Emitter),
}

impl From<SocketIo> for Target {
    fn from(io: SocketIo) -> Self {
        Self::Server(io)
    }
}

impl From<Emitter> for Target {
    fn from(emitter: Emitter) -> Self {
        Self::Emitter(emitter)
    }
}

impl Target {
    /// Starts an event in a namespace.
    pub(super) fn of(&self, namespace: &NamespaceName) -> Broadcast {
        match self {
            Self::Server(io) => io.of(namespace),
            Self::Emitter(emitter) => emitter.of(namespace),
        }
    }

    /// Lists the rooms of a namespace, on every server.
    pub(super) async fn rooms(
        &self,
        namespace: &NamespaceName,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Gathered<Vec<RoomInfo>>, Error> {
        match self {
            Self::Server(io) => io.rooms(namespace, prefix, timeout).await,
            Self::Emitter(emitter) => emitter.rooms(namespace, prefix, timeout).await,
        }
    }
}
