//! What is finite about a hub.

use std::time::Duration;

use manager_api::ack::AckLimits;
use manager_api::cluster::RequestLimits;
use manager_api::wire::DecodeLimits;

use crate::registry::RoomLimits;

/// Limits of a hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// How long questions of other processes wait for this host's clients, when they do not say. Default 60 s.
    pub ack_timeout: Duration,
    /// The longest `ack_timeout` that another process may ask for. Default 10 min.
    pub max_ack_timeout: Duration,
    /// Acknowledgements and answers for other processes that may wait for the broker; more are dropped, counted and logged. Default 8,192.
    pub max_queued_callbacks: usize,
    /// The bytes that these may take together, those that the broker has not yet taken included; one that is larger passes alone. Default
    /// 64 MiB.
    pub max_queued_callback_bytes: usize,
    /// Acknowledgements of this host's clients that may be expected for other processes, one for each recipient of each event; beyond, events
    /// are delivered without asking for any, counted and logged. Default 1,000,000.
    pub max_expected_acks: usize,
    /// Other servers that are remembered; beyond, the one that was silent for the longest time is forgotten. Default 1,024.
    pub max_servers: usize,
    /// Questions to the other servers that may be open; more are refused as [`Busy`](crate::ErrorKind::Busy). Default 1,024.
    pub max_requests: usize,
    /// Clients that the answers to one question may name, of one server and of all together. Default 100,000.
    pub max_sockets: usize,
    /// Bytes that the answers to one question about clients may take, with their rooms and [data](crate::RemoteSocket::data), of one server
    /// and of all together; what is more is left out, and the answer says so. Default 64 MiB.
    pub max_sockets_bytes: usize,
    /// Rooms that a client may be in, the one named by its own id not counted; it enters no more then. Default 10,000: what a server keeps
    /// for that many rooms of one client, about 3 MiB, is less than what its outbox may hold, so that rooms are not the cheapest way to use
    /// up the memory.
    pub max_rooms_per_client: usize,
    /// Bytes of the name of a room that a client enters. Default 1,024.
    pub max_room_name_bytes: usize,
    /// Bytes of JSON that a handler may keep with a client for [`fetch_sockets`](crate::Broadcast::fetch_sockets). Default 4,096.
    pub max_socket_data_bytes: usize,
    /// Rooms, and clients to skip, that one event, command or answer may name, all of them together; one with more is refused where it is
    /// sent, and passed over and counted as [undecodable](crate::HubMetrics::undecodable) where it is received. At least as many as a client
    /// may have rooms; servers on one channel should have the same. Default 65,536, which take about 4 MiB.
    pub max_message_names: usize,
    /// Binary attachments of one event or answer; as for names. Default 1,024.
    pub max_message_attachments: usize,
    /// Events for this server that may wait for their handlers; more are dropped, counted and logged. Default 1,024.
    pub max_queued_server_events: usize,
    /// The bytes that these may take together, those that are being handled included; one that is larger passes alone. Default 64 MiB.
    pub max_queued_server_event_bytes: usize,
    /// The bytes that acknowledgements for this process may take together while nobody takes them; more are dropped, counted and logged. One
    /// that is larger passes alone. Default 64 MiB.
    pub max_waiting_ack_bytes: usize,
    /// The bytes that answers of other servers may take together while nobody takes them; more are dropped, and their servers are missing
    /// then. One that is larger passes alone. Default 64 MiB.
    pub max_waiting_response_bytes: usize,
    /// How long the other servers have to say that they are there when this one begins to listen; questions wait so long. Default 1 s.
    pub presence_wait: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        let (acks, requests, messages) = (AckLimits::default(), RequestLimits::default(), DecodeLimits::default());
        Self {
            ack_timeout: Duration::from_secs(60),
            max_ack_timeout: Duration::from_secs(600),
            max_queued_callbacks: 8_192,
            max_queued_callback_bytes: 64 << 20,
            max_expected_acks: acks.max_expected_acks,
            max_servers: requests.max_servers,
            max_requests: requests.max_requests,
            max_sockets: requests.max_sockets,
            max_sockets_bytes: requests.max_sockets_bytes,
            max_rooms_per_client: 10_000,
            max_room_name_bytes: 1_024,
            max_socket_data_bytes: 4_096,
            max_message_names: messages.max_names,
            max_message_attachments: messages.max_attachments,
            max_queued_server_events: 1_024,
            max_queued_server_event_bytes: 64 << 20,
            max_waiting_ack_bytes: acks.max_waiting_ack_bytes,
            max_waiting_response_bytes: requests.max_waiting_response_bytes,
            presence_wait: requests.presence_wait,
        }
    }
}

impl HubOptions {
    /// Returns what a client may take of rooms.
    pub fn room_limits(&self) -> RoomLimits {
        RoomLimits {
            max_rooms: self.max_rooms_per_client,
            max_name_bytes: self.max_room_name_bytes,
        }
    }

    /// Returns what a message of another process may name.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits {
            // A server must understand what it says itself about one client.
            max_names: self.max_message_names.max(self.max_rooms_per_client.saturating_add(1)),
            max_attachments: self.max_message_attachments,
        }
    }

    pub(crate) fn request_limits(&self) -> RequestLimits {
        RequestLimits {
            max_servers: self.max_servers,
            max_requests: self.max_requests,
            max_sockets: self.max_sockets,
            max_sockets_bytes: self.max_sockets_bytes,
            max_waiting_response_bytes: self.max_waiting_response_bytes,
            presence_wait: self.presence_wait,
        }
    }

    pub(crate) fn ack_limits(&self) -> AckLimits {
        AckLimits {
            max_expected_acks: self.max_expected_acks,
            max_waiting_ack_bytes: self.max_waiting_ack_bytes,
        }
    }
}
