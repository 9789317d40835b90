//! The combined reports of servers about themselves, their rooms, and the delivery of an event.

use std::collections::HashMap;

use super::collect::{Gathered, gather};
use super::report::{RoomInfo, ServerStatus};
use super::request::ResponsePart;
use super::responses::Responses;
use crate::{HostId, Room};

/// A server of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerInfo {
    /// The id under which it publishes.
    pub id: HostId,
    /// Its report about itself.
    pub status: ServerStatus,
}

/// The number of clients of one server that an event was handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerReceipt {
    /// The server.
    pub server: HostId,
    /// Its clients whose outbox has taken the event.
    pub clients: u64,
}

/// The servers and clients that an event was handed to.
///
/// A client counts once the event is in its outbox; whether it was read, only an acknowledgement can tell. Servers of
/// python-socketio deliver the event and cannot report it: they are neither counted nor missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The servers that reported, sorted by their ids; those without recipients have 0 clients.
    pub servers: Vec<ServerReceipt>,
    /// Known servers that did not report in time; whether they handed the event to clients is unknown.
    pub missing_servers: Vec<HostId>,
}

impl Receipt {
    /// Returns the number of clients on all servers that reported.
    pub fn num_clients(&self) -> u64 {
        let clients = self.servers.iter().map(|server| server.clients);
        clients.fold(0, u64::saturating_add)
    }
}

/// Collects the servers that respond, sorted by their ids.
///
/// # Cancel safety
///
/// Dropping the future closes the request.
pub async fn servers(responses: Responses) -> Gathered<Vec<ServerInfo>> {
    let mut gathered = gather(responses, Vec::new(), |found, id, part| {
        if let ResponsePart::Present(status) = part {
            found.push(ServerInfo { id, status: *status });
        }
        true
    })
    .await;
    gathered.found.sort_by(|a, b| a.id.cmp(&b.id));
    gathered
}

/// Collects rooms with the sum of their members, sorted by name: at most `limit` rooms and `max_bytes` of their names.
///
/// # Cancel safety
///
/// Dropping the future closes the request.
pub async fn rooms(responses: Responses, (limit, max_bytes): (usize, usize)) -> Gathered<Vec<RoomInfo>> {
    let mut bytes = 0;
    let sums = gather(responses, HashMap::new(), |sums: &mut HashMap<Room, u64>, _, part| {
        let ResponsePart::Rooms(rooms) = part else {
            return true;
        };
        for room in rooms {
            if let Some(sum) = sums.get_mut(&room.room) {
                *sum = sum.saturating_add(room.clients);
                continue;
            }
            bytes += room.size();
            if sums.len() >= limit || bytes > max_bytes {
                return false;
            }
            sums.insert(room.room, room.clients);
        }
        true
    })
    .await;
    let found = sums.found.into_iter().map(|(room, clients)| RoomInfo { room, clients });
    let mut found: Vec<_> = found.collect();
    found.sort_by(|a, b| a.room.as_str().cmp(b.room.as_str()));
    Gathered {
        found,
        num_servers: sums.num_servers,
        missing_servers: sums.missing_servers,
        is_truncated: sums.is_truncated,
    }
}

/// Collects the reports of delivery.
pub(crate) async fn receipt(responses: Responses) -> Receipt {
    let gathered = gather(responses, Vec::new(), |found, server, part| {
        if let ResponsePart::Count(clients) = part {
            found.push(ServerReceipt { server, clients });
        }
        true
    })
    .await;
    let mut servers = gathered.found;
    servers.sort_by(|a, b| a.server.cmp(&b.server));
    Receipt {
        servers,
        missing_servers: gathered.missing_servers,
    }
}
