//! Violations of the WebSocket protocol, and the close codes that name them.

/// How a client violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A frame that is malformed, or out of order.
    Protocol,
    /// Text that is not UTF-8.
    NotUtf8,
    /// A compressed payload that cannot be unpacked.
    NotDeflate,
    /// A message over the limit.
    TooLong,
}

impl Violation {
    /// Returns the code to close the connection with.
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Protocol => 1002,
            Self::NotUtf8 | Self::NotDeflate => 1007,
            Self::TooLong => 1009,
        }
    }
}
