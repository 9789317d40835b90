//! Limits, times and choices of a server: [`Config`] and what it is made of.

use std::time::Duration;

pub use engine_io::Config as EngineConfig;
pub use engine_io::config::{
    AllowRequest, AllowedOrigins, ConfigError, Cookie, Forbidden, SameSite, Transports, TrustedProxies,
};
pub use hub::HubOptions;

/// How a server behaves; the default is right for most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The transport below: path, heartbeat, sizes, transports.
    pub engine: engine_io::Config,
    /// How packets are written. Default JSON, as with every client that is not told otherwise.
    pub parser: Parser,
    /// A connection that has joined no namespace after this time is closed. Default 45 s, as in Node; `Duration::MAX` turns
    /// it off.
    pub connect_timeout: Duration,
    /// Connections that have joined no namespace, at a time. Where there would be more, the oldest is closed: of the address that the new one
    /// comes from if more than its share come from there, otherwise of all. They make room, too, where
    /// [`max_sessions`](engine_io::Config::max_sessions) is reached. Default 10,000.
    pub max_unjoined: usize,
    /// How many of them may come from one address (a network of 64 bits of IPv6), as far as [`PeerAddr`](crate::service::PeerAddr) tells it. Behind a
    /// proxy that is the proxy's. Where there would be more, the oldest of them is closed. Default 5,000.
    pub max_unjoined_per_peer: usize,
    /// The time for which a connection may be idle between two requests, and the time that the head of a request may take, with
    /// [`serve`](crate::serve()). It should be longer than that of a proxy in front, or the proxy may send a request just when the server
    /// closes the connection. Default 75 s: nginx and the load balancers of AWS have 60 s.
    pub http_idle_timeout: Duration,
    /// The time for which an answer may make no progress because its client does not read, with [`serve`](crate::serve()); then the
    /// connection is closed. It holds for every answer, of the service behind too. Default 30 s.
    pub http_write_timeout: Duration,
    /// Namespaces that one connection may have joined or be joining. Default 64.
    pub max_namespaces: usize,
    /// Namespaces that exist only because clients asked for them, by [`any_namespace`](crate::SocketIo::any_namespace) or
    /// [`namespaces_where`](crate::SocketIo::namespaces_where); more are refused until one has lost its last client. Default 10,000.
    pub max_dynamic_namespaces: usize,
    /// Length in bytes of the name of such a namespace. Default 256.
    pub max_namespace_bytes: usize,
    /// Binary attachments of one packet of a client. Default 10, as in Node.
    pub max_attachments: usize,
    /// Bytes of all attachments of one packet of a client together. Default 10 MB.
    pub max_attachment_bytes: usize,
    /// Time that all attachments of one packet of a client may take to follow it; then the connection is closed. Default 60 s; with zero
    /// they have to come along with it.
    pub attachment_timeout: Duration,
    /// Events of one connection that may wait for their handlers; reading from it pauses beyond. Default 1,024.
    pub max_queued_events: usize,
    /// Bytes of such events. Default 4 MiB.
    pub max_queued_bytes: usize,
    /// Bytes of events that wait for handlers of all connections together. Beyond, reading pauses from those for which more than 16 KiB
    /// wait; above five quarters, one for which more would have to wait is closed. Default 256 MiB.
    pub max_queued_bytes_total: usize,
    /// Events a second of one connection; beyond them reading from it pauses until the second is over. No event is lost, and a connection that
    /// was silent may send twice as many in a row. Default 1,000,000.
    pub max_events_per_second: u32,
    /// How this server works with the others.
    pub hub: hub::HubOptions,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engine: engine_io::Config::default(),
            parser: Parser::default(),
            connect_timeout: Duration::from_secs(45),
            max_unjoined: 10_000,
            max_unjoined_per_peer: 5_000,
            http_idle_timeout: Duration::from_secs(75),
            http_write_timeout: Duration::from_secs(30),
            max_namespaces: 64,
            max_dynamic_namespaces: 10_000,
            max_namespace_bytes: 256,
            max_attachments: 10,
            max_attachment_bytes: 10_000_000,
            attachment_timeout: Duration::from_secs(60),
            max_queued_events: 1_024,
            max_queued_bytes: 4 << 20,
            max_queued_bytes_total: 256 << 20,
            max_events_per_second: 1_000_000,
            hub: hub::HubOptions::default(),
        }
    }
}

/// How packets are written, which is not negotiated: all clients of a server must be configured alike.
///
/// ```
/// # use socket_io::SocketIo;
/// # use socket_io::config::Parser;
/// let io = SocketIo::builder().configure(|config| config.parser = Parser::MsgPack).build();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parser {
    /// JSON text, with binary behind it: what every client speaks by default.
    #[default]
    Json,
    /// One MessagePack map for each packet, with binary inside: `socket.io-msgpack-parser` of JavaScript clients,
    /// `serializer='msgpack'` of Python's.
    ///
    /// Handlers and other servers see no difference: payloads are JSON and attachments everywhere else. What JSON has no word for arrives
    /// as the JSON parser would have sent it: a date as its ISO 8601 text, an undefined value as `null`. The limits of
    /// [`Config`] hold alike, and values nest up to 100 deep.
    MsgPack,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_configures_nothing_gets_the_limits_that_are_documented() {
        let config = Config::default();
        assert_eq!(config.connect_timeout, Duration::from_secs(45));
        assert_eq!((config.max_unjoined, config.max_unjoined_per_peer), (10_000, 5_000));
        assert_eq!(config.http_idle_timeout, Duration::from_secs(75));
        assert_eq!(config.http_write_timeout, Duration::from_secs(30));
        assert_eq!(config.attachment_timeout, Duration::from_secs(60));
        assert_eq!((config.max_attachments, config.max_attachment_bytes), (10, 10_000_000));
        assert_eq!((config.max_namespaces, config.max_dynamic_namespaces), (64, 10_000));
        assert_eq!(config.max_namespace_bytes, 256);
        assert_eq!((config.max_queued_events, config.max_queued_bytes), (1_024, 4_194_304));
        assert_eq!(config.max_queued_bytes_total, 268_435_456);
        assert_eq!(config.max_events_per_second, 1_000_000);
        assert_eq!(config.parser, Parser::Json);
    }
}
