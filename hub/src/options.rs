//! Limits of a [`Hub`](crate::Hub).

use std::time::Duration;

use manager_api::ack::AckLimits;
use manager_api::cluster::RequestLimits;
use manager_api::wire::DecodeLimits;

use crate::registry::RoomLimits;

/// Limits of a hub.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HubOptions {
    /// The name of this machine in the [status](manager_api::cluster::ServerStatus) of this server. Default `None`: its
    /// host name.
    pub host_name: Option<String>,
    /// Timeout of acknowledgements by this host's clients for other processes that do not specify one. Default 60 s.
    pub ack_timeout: Duration,
    /// The longest timeout that another process may specify. Default 10 min.
    pub max_ack_timeout: Duration,
    /// Acknowledgements and responses for other processes that wait to be published; more are dropped, counted and
    /// logged. Default 8,192.
    pub max_queued_callbacks: usize,
    /// Total bytes of these, those in flight to the broker included; a larger one is admitted alone. Default 64 MiB.
    pub max_queued_callback_bytes: usize,
    /// Acknowledgements of this host's clients that other processes wait for, one per recipient of each event; beyond
    /// that, events are delivered without a request for acknowledgement, counted and logged. Default 1,000,000.
    pub max_expected_acks: usize,
    /// Other servers kept in the table; a further one replaces the server that was silent for the longest time. Default
    /// 1,024.
    pub max_servers: usize,
    /// Open requests to the other servers; more are refused as [`Busy`](manager_api::ErrorKind::Busy). Default 1,024.
    pub max_requests: usize,
    /// Clients, or rooms, in the responses to one request, per server and in total. Default 100,000.
    pub max_sockets: usize,
    /// Bytes of the responses to one request about clients or rooms, with the clients' rooms and
    /// [data](manager_api::cluster::RemoteSocket::data), per server and in total; the rest is left out, and the result
    /// is marked as truncated. Default 64 MiB.
    pub max_sockets_bytes: usize,
    /// Rooms of one client, not counting the one named by its own id; further rooms are refused. Default 10,000: a
    /// server's memory for that many rooms of one client, about 3 MiB, is less than its outbox may hold, so that rooms
    /// are not the cheapest way to exhaust memory.
    pub max_rooms_per_client: usize,
    /// Bytes of the name of a room that a client enters. Default 1,024.
    pub max_room_name_bytes: usize,
    /// Bytes of JSON that a handler may keep with a client for
    /// [`fetch_sockets`](manager_api::Broadcast::fetch_sockets). Default 4,096.
    pub max_socket_data_bytes: usize,
    /// Names in one event, command or response: rooms and skipped clients together. A message with more is refused by
    /// the sender, and skipped and counted as [undecodable](crate::HubMetrics::undecodable) by the receiver.
    /// Effectively at least the number of rooms that a client may be in; servers on one channel should use the same
    /// value. Default 65,536, which need about 4 MiB.
    pub max_message_names: usize,
    /// Binary attachments of one event or response; enforced as for names. Default 1,024.
    pub max_message_attachments: usize,
    /// Events for this server that wait for their handlers; more are dropped, counted and logged. Default 1,024.
    pub max_queued_server_events: usize,
    /// Total bytes of these, those of running handlers included; a larger one is admitted alone. Default 64 MiB.
    pub max_queued_server_event_bytes: usize,
    /// Total bytes of unread acknowledgements for this process; more are dropped, counted and logged. A larger one is
    /// admitted alone. Default 64 MiB.
    pub max_waiting_ack_bytes: usize,
    /// Total bytes of unread responses of other servers; more are dropped, and their servers are reported as missing. A
    /// larger one is admitted alone. Default 64 MiB.
    pub max_waiting_response_bytes: usize,
    /// How long this server remembers the [key](manager_api::IdempotencyKey) of an event and drops repeats of it; from
    /// its first copy on. Default 5 min; with zero every copy is delivered. Servers on one channel should use the same
    /// value.
    pub idempotency_window: Duration,
    /// Keys that are remembered; a further one replaces the oldest, whose repeats would be delivered from then on, counted
    /// and logged. Each takes at most about 80 bytes, however long it is. Default 500,000, enough for 1,600 events with
    /// a key a second; with zero every copy is delivered.
    pub max_idempotency_keys: usize,
    /// Time for the other servers to announce themselves when this one begins to listen; requests wait for it. Default
    /// 1 s.
    pub presence_wait: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        let (acks, requests) = (AckLimits::default(), RequestLimits::default());
        let (rooms, messages) = (RoomLimits::default(), DecodeLimits::default());
        Self {
            host_name: None,
            ack_timeout: Duration::from_secs(60),
            max_ack_timeout: Duration::from_secs(600),
            max_queued_callbacks: 8_192,
            max_queued_callback_bytes: 64 << 20,
            max_expected_acks: acks.max_expected_acks,
            max_servers: requests.max_servers,
            max_requests: requests.max_requests,
            max_sockets: requests.max_sockets,
            max_sockets_bytes: requests.max_sockets_bytes,
            max_rooms_per_client: rooms.max_rooms,
            max_room_name_bytes: rooms.max_name_bytes,
            max_socket_data_bytes: 4_096,
            max_message_names: messages.max_names,
            max_message_attachments: messages.max_attachments,
            max_queued_server_events: 1_024,
            max_queued_server_event_bytes: 64 << 20,
            max_waiting_ack_bytes: acks.max_waiting_ack_bytes,
            max_waiting_response_bytes: requests.max_waiting_response_bytes,
            idempotency_window: Duration::from_secs(300),
            max_idempotency_keys: 500_000,
            presence_wait: requests.presence_wait,
        }
    }
}

impl HubOptions {
    /// Returns the limits of a client's rooms.
    pub fn room_limits(&self) -> RoomLimits {
        RoomLimits {
            max_rooms: self.max_rooms_per_client,
            max_name_bytes: self.max_room_name_bytes,
        }
    }

    /// Returns the limits of a message of another process.
    pub fn decode_limits(&self) -> DecodeLimits {
        DecodeLimits {
            // A server must be able to decode its own response about one client.
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
