//! Admission: who may connect to the ready-made server, and which rooms are theirs.

use crate::access::Access;

/// Who may connect, and which rooms a client may enter and emit into.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Admission {
    /// Any client may connect, and enter any room: for a machine, or a network, that only friends reach.
    Open {
        /// Whether any client may also emit events into any room.
        publish: bool,
    },
    /// Only clients with a token may connect; its claims say which rooms are theirs.
    Tokens(Access),
}
