//! The counters of a server.

pub use engine_io::Metrics as EngineMetrics;
pub use hub::HubMetrics;

/// What a server counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Metrics {
    /// Connections, packets, bytes.
    pub engine: EngineMetrics,
    /// What passes between the servers.
    pub hub: HubMetrics,
    /// Clients that are connected to this server now, in all namespaces.
    pub num_clients: usize,
    /// Rooms that have a member on this server now; those named by a client's id do not count.
    pub num_rooms: usize,
    /// Namespaces that exist only because they have clients on this server.
    pub num_dynamic_namespaces: usize,
    /// Handlers of clients and middleware that panicked. Their clients stay, but for those that were connecting.
    pub handler_panics: u64,
    /// Handlers of events and disconnections that returned an error; one of a disconnection that could not be called counts, too.
    pub handler_failures: u64,
    /// What administrators (feature `admin`) were not told of because it was too much.
    pub admin_dropped: u64,
    /// Connections that have joined no namespace yet; see [`Config::max_unjoined`](crate::config::Config::max_unjoined).
    pub num_unjoined: usize,
    /// Such connections that were closed because there were too many of them.
    pub unjoined_shed: u64,
    /// Bytes of events that wait for handlers now, of connections for which over 16 KiB wait; see
    /// [`Config::max_queued_bytes_total`](crate::config::Config::max_queued_bytes_total).
    pub queued_event_bytes: usize,
    /// Connections that were closed because far more than that limit waited.
    pub queue_shed: u64,
    /// How often reading from a connection paused because it sent more than
    /// [`Config::max_events_per_second`](crate::config::Config::max_events_per_second).
    pub event_pauses: u64,
}
