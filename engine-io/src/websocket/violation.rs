//! Violations of the WebSocket protocol, and the close codes that name them.

/// How a client violated the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Protocol,
    NotUtf8,
    NotDeflate,
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
