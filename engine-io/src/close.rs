//! The reasons for which a session closes.

use std::fmt;

/// The reason why a session closed.
///
/// A session closes once, for the first reason; [`Session::close`](crate::Session::close) is called with
/// it, and [`Metrics::closed`](crate::Metrics::closed) counts it.
///
/// ```
/// use engine_io::CloseReason;
///
/// assert_eq!(CloseReason::PingTimeout.to_string(), "ping timeout");
/// assert!(CloseReason::ALL.contains(&CloseReason::Overflow));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client did not answer a ping in time.
    PingTimeout,
    /// The client closed the connection, or left without closing it.
    TransportClose,
    /// The connection broke, or the client used it against the rules (two polls at once, an aborted
    /// poll).
    TransportError,
    /// The client sent something that is not a packet.
    ParseError,
    /// This side closed the connection.
    ForcedClose,
    /// A limit of [`Config`](crate::Config) was exceeded: the client read too slowly for what was
    /// sent to it, or incomplete messages of all clients together were too much.
    Overflow,
    /// [`Engine::shutdown`](crate::Engine::shutdown) was called.
    ServerShutdown,
}

impl CloseReason {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::PingTimeout,
        Self::TransportClose,
        Self::TransportError,
        Self::ParseError,
        Self::ForcedClose,
        Self::Overflow,
        Self::ServerShutdown,
    ];

    /// Returns the name that the JavaScript implementation uses for this reason, where it knows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::Overflow => "overflow",
            Self::ServerShutdown => "server shutting down",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
