//! What a hub reports about itself and its clients, and its requests for the reports of the other servers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use manager_api::broadcast::{Scope, Sink};
use manager_api::cluster::{
    self, Gathered, RequestKind, ResponsePart, RoomInfo, Selection, ServerInfo, ServerStatus, SocketInfo,
};
use manager_api::message::Emit;
use manager_api::turn::Turn;
use manager_api::{Error, HostId, NamespaceName};

use super::parts::{rooms_in_parts, sockets_in_parts};
use super::{Hub, SKIPPED_COST, select};
use crate::deliver::Deliver;
use crate::registry::{ROOM_PARTS, Recipients, Selecting};

/// The software and version of this server.
const SOFTWARE: &str = concat!("sio/", env!("CARGO_PKG_VERSION"));

/// Requests for reports of every server.
impl<D: Deliver> Hub<D> {
    /// Lists the servers and their status, including this one.
    ///
    /// # Errors
    ///
    /// [`Busy`](manager_api::ErrorKind::Busy) if too many requests are open,
    /// [`Timeout`](manager_api::ErrorKind::Timeout) if discovery of the other servers did not complete in time,
    /// otherwise those of [`ClientManager::publish`](manager_api::ClientManager::publish). A server that does not
    /// respond is not an error.
    pub async fn servers(self: &Arc<Self>, timeout: Duration) -> Result<Gathered<Vec<ServerInfo>>, Error> {
        let responses = Sink::request(self.clone(), RequestKind::Servers, Scope::Cluster, timeout).await?;
        Ok(cluster::servers(responses).await)
    }

    /// Lists the rooms of a namespace whose names start with `prefix`, with the numbers of their members on all
    /// servers. The rooms named by the ids of clients are left out.
    ///
    /// # Errors
    ///
    /// As [`servers`](Self::servers).
    pub async fn rooms(
        self: &Arc<Self>,
        namespace: NamespaceName,
        prefix: &str,
        timeout: Duration,
    ) -> Result<Gathered<Vec<RoomInfo>>, Error> {
        let limits = (self.options.max_sockets, self.options.max_sockets_bytes);
        let kind = RequestKind::Rooms {
            namespace,
            prefix: prefix.to_owned(),
            limit: limits.0,
        };
        let responses = Sink::request(self.clone(), kind, Scope::Cluster, timeout).await?;
        Ok(cluster::rooms(responses, limits).await)
    }
}

/// Reports of this server.
impl<D: Deliver> Hub<D> {
    /// Returns the response to a request for this server's status: a single part.
    pub(super) fn present(&self) -> ResponsePart {
        ResponsePart::Present(Box::new(self.status()))
    }

    /// Returns this server's report about itself. Counting the clients locks each part of the registry for a moment.
    fn status(&self) -> ServerStatus {
        let health = self.manager().map(|manager| manager.health());
        let since = health.and_then(|health| health.listening_since);
        let host_name = self.options.host_name.clone();
        ServerStatus {
            software: SOFTWARE.to_owned(),
            host_name: host_name.unwrap_or_else(|| gethostname::gethostname().to_string_lossy().into_owned()),
            uptime: self.started.elapsed(),
            clients: self.registry.size().0 as u64,
            // A clock that was set back counts as a subscription of this moment.
            listening_for: since.map(|since| since.elapsed().unwrap_or_default()),
            gaps: self.metrics().gaps,
            clock: SystemTime::now(),
        }
    }

    /// Returns the rooms of this server, at most `limit`, and whether there are more.
    pub(super) async fn local_rooms(
        &self,
        namespace: &NamespaceName,
        prefix: &str,
        limit: usize,
    ) -> (Vec<RoomInfo>, bool) {
        let (mut rooms, mut counted, mut bytes, mut turn) = (Vec::new(), 0, 0, Turn::default());
        for part in 0..ROOM_PARTS {
            let num_read = self.registry.rooms_in_part(part, namespace, prefix, &mut rooms);
            turn.spend(num_read.max(1)).await;
            bytes += rooms[counted..].iter().map(RoomInfo::size).sum::<usize>();
            counted = rooms.len();
            if counted > limit || bytes > self.options.max_sockets_bytes {
                rooms.truncate(limit);
                return (rooms, true);
            }
        }
        (rooms, false)
    }

    /// Responds to a request for the rooms of a namespace whose names start with a prefix. At most `limit` rooms are
    /// listed, and at most as many as this server's own limit allows.
    pub(super) async fn respond_rooms(
        &self,
        origin: &HostId,
        id: u64,
        (namespace, prefix): (&NamespaceName, &str),
        limit: usize,
    ) {
        let limit = limit.min(self.options.max_sockets);
        let (rooms, is_truncated) = self.local_rooms(namespace, prefix, limit).await;
        self.respond_in_parts(origin, id, rooms_in_parts(rooms), is_truncated)
            .await;
    }

    /// Reports the number of clients that an event was handed to, if its origin requests that. The report is queued; if
    /// too many wait it is dropped, counted and logged, and the origin names this server as missing.
    pub(super) fn respond_receipt(&self, emit: &Emit, origin: Option<&HostId>, num_taken: u64) {
        if let (Some(request), Some(origin)) = (emit.receipt, origin) {
            self.respond(origin, request, ResponsePart::Count(num_taken));
        }
    }

    /// Takes a snapshot of the selected clients of this server; yields if that takes long.
    pub(super) async fn selected(&self, clients: &Selection) -> Recipients<D::Client> {
        let (namespace, target) = (&clients.namespace, &clients.target);
        let selecting = Selecting::start(&self.registry, namespace, target, &clients.skip, &clients.except);
        select(selecting).await
    }

    /// Counts the selected clients of this server, each once in however many of the rooms it is. Yields if they are
    /// many.
    pub(super) async fn count_local(&self, clients: &Selection) -> u64 {
        num_members(&self.selected(clients).await).await
    }

    /// Returns the selected clients of this server, at most `limit`, and whether there are more.
    pub(super) async fn local_sockets(&self, clients: &Selection, limit: usize) -> (Vec<SocketInfo>, bool) {
        let (recipients, mut turn) = (self.selected(clients).await, Turn::default());
        let (mut sockets, mut bytes) = (Vec::new(), 0);
        for member in recipients.iter() {
            if sockets.len() >= limit || bytes > self.options.max_sockets_bytes {
                return (sockets, true);
            }
            // A client that left in the meantime is not counted.
            let Some(rooms) = self.registry.rooms_of(&clients.namespace, &member.sid) else {
                continue;
            };
            turn.spend(1 + rooms.len()).await;
            let socket = SocketInfo {
                id: member.sid.clone(),
                rooms,
                details: self.deliver.details(&member.handle),
            };
            bytes += socket.size();
            sockets.push(socket);
        }
        (sockets, false)
    }

    /// Responds to a request for the selected clients, at most `limit` of them.
    pub(super) async fn respond_sockets(&self, origin: &HostId, id: u64, clients: &Selection, limit: usize) {
        let (sockets, is_truncated) = self.local_sockets(clients, limit.min(self.options.max_sockets)).await;
        self.respond_in_parts(origin, id, sockets_in_parts(sockets), is_truncated)
            .await;
    }
}

/// Counts the members of a selection; yields if they are many.
pub(super) async fn num_members<C>(recipients: &Recipients<C>) -> u64 {
    let (mut count, mut turn) = (0, Turn::default());
    for chunk in recipients.chunks() {
        let members = chunk.count();
        count += members as u64;
        turn.spend(members.max(SKIPPED_COST)).await;
    }
    count
}
