//! The handle of a connection.

use std::fmt;
use std::sync::Arc;

use crate::{Outgoing, SendError, Transport};

/// Tells what became of a packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is queued.
    Queued,
    /// It is queued behind so much (over 256 KiB, or half the soft limit if that is less) that the sender had better
    /// slow down.
    Congested,
    /// It was volatile, and dropped.
    Dropped,
}

/// The handle of a connection; clones refer to the same one, and it may outlive the connection.
#[derive(Clone)]
pub struct Socket(Arc<()>);

impl Socket {
    /// Returns the Engine.IO id: 20 characters, and a secret between the client and this server.
    pub fn id(&self) -> &str {
        unimplemented!()
    }

    /// Queues a packet; never blocks.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closed, or closing; [`SendError::Overflow`] when the packet exceeds the
    /// hard limit of the outbox, for which the client is disconnected.
    pub fn send(&self, packet: Outgoing) -> Result<Sent, SendError> {
        let _ = packet;
        unimplemented!()
    }

    /// Queues a packet if the transport can take it now, else drops it; never blocks.
    ///
    /// It is dropped when something is queued before it, when a polling client has no request waiting, or when a
    /// connection is just being upgraded.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closed, or closing.
    pub fn send_volatile(&self, packet: Outgoing) -> Result<Sent, SendError> {
        let _ = packet;
        unimplemented!()
    }

    /// Closes the connection with [`CloseReason::ForcedClose`](crate::CloseReason::ForcedClose), after what is queued has
    /// been written or a bounded time has passed.
    pub fn close(&self) {
        unimplemented!()
    }

    /// Returns the transport that carries the connection now.
    pub fn transport(&self) -> Transport {
        unimplemented!()
    }

    /// Returns how many bytes wait to be written.
    pub fn buffered_bytes(&self) -> usize {
        unimplemented!()
    }

    /// Tells whether packets can be sent.
    pub fn is_open(&self) -> bool {
        unimplemented!()
    }
}

impl fmt::Debug for Socket {
    // The id is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}
