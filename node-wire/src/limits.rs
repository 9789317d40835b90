//! Limits of one process in a fleet.

/// Limits of one process in a fleet of Node servers, by [`NodeWire::limits`](crate::NodeWire::limits).
///
/// What the limits of namespaces and rooms refuse is an error, or a log line at a limited rate, and a gap where messages may
/// be missed. What those of servers and requests leave out is seen as a timeout, or as a response that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeLimits {
    /// Namespaces of which messages are received at a time: those of a server, and those that it or an emitter has sent
    /// requests about. Each has one connection to the broker, two with streams, and with sharded publish/subscribe on a
    /// Redis Cluster one to each node. Default 256, so that 30 servers stay below the 10,000 clients that Redis accepts by
    /// default. Further namespaces are tried again, and the error names the limit; with zero nothing is received.
    pub max_namespaces: usize,
    /// Channels of rooms that a server subscribes to in each namespace, with the sharded adapter. Default 1,000,000: a
    /// channel takes some 300 bytes here, and about as much in Redis. Further rooms receive only what other servers do
    /// not send to that room alone, and a gap says so; with zero all of them.
    pub max_rooms: usize,
    /// Servers that are known by their heartbeats in each namespace, with the adapters for streams before 0.3 and for
    /// PostgreSQL. Default
    /// 1,024. Further ones are not waited for; with zero none is.
    pub max_servers: usize,
    /// Requests of other servers that a server has not responded to. Default 65,536, of some 300 bytes each. Further ones
    /// get no response; with zero none does.
    pub max_open_requests: usize,
    /// Messages that were decoded and wait for the hub. Beyond that no more is read, so that the limits of the manager
    /// apply. Default 64; zero counts as one.
    pub max_waiting_arrivals: usize,
    /// Ids of clients and names of rooms in one response of another server. Default 262,144. The rest is left out, and
    /// the response marked as incomplete; with zero all of it.
    pub max_names_in_response: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            max_namespaces: 256,
            max_rooms: 1_000_000,
            max_servers: 1_024,
            max_open_requests: 65_536,
            max_waiting_arrivals: 64,
            max_names_in_response: 1 << 18,
        }
    }
}
