//! What one server reports: its status, its rooms, its clients.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::Room;

/// A server's report about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Its software and version, such as `sio/0.1.0`; empty if it does not say.
    pub software: String,
    /// The name of the machine it runs on; empty if it does not say.
    pub host_name: String,
    /// Time since it was started.
    pub uptime: Duration,
    /// Its connected clients, once for each namespace that they are in.
    pub clients: u64,
    /// Time since it began to listen on the channel without interruption; `None` if it does not listen, or its manager
    /// does not report it.
    pub listening_for: Option<Duration>,
    /// Times when it may have missed messages.
    pub gaps: u64,
    /// Its clock when it responded.
    pub clock: SystemTime,
}

impl Default for ServerStatus {
    /// The report of a server that says nothing about itself.
    fn default() -> Self {
        Self {
            software: String::new(),
            host_name: String::new(),
            uptime: Duration::ZERO,
            clients: 0,
            listening_for: None,
            gaps: 0,
            clock: SystemTime::UNIX_EPOCH,
        }
    }
}

/// A room and the number of its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// The room.
    pub room: Room,
    /// The number of clients in it.
    pub clients: u64,
}

impl RoomInfo {
    /// Returns the approximate size in bytes.
    pub fn size(&self) -> usize {
        self.room.as_str().len() + 32
    }
}

/// What a server reports about one of its clients, apart from its rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientDetails {
    /// The application's data of this client, visible to other servers: JSON text.
    pub data: Option<Arc<str>>,
    /// Time since its connection was opened.
    pub connected_for: Option<Duration>,
    /// The name of its transport: `websocket` or `polling`.
    pub transport: Option<Arc<str>>,
}
