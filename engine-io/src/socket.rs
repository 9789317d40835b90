//! The handle of an engine session, by which the server sends and closes.

use std::fmt;
use std::sync::Arc;

use crate::close::CloseReason;
use crate::config::Transport;
use crate::connection::held::HeldBytes;
use crate::connection::session::EngineSession;
use crate::outgoing::Outgoing;
use crate::sent::{SendError, Sent};

/// The handle of a client's connection; clones refer to the same one, and it may outlive the
/// connection.
///
/// It is given to the [`Handler`](crate::Handler), and may be sent to any thread. Packets leave in
/// the order in which they are queued; on a move to a WebSocket they keep it.
///
/// ```
/// use engine_io::{Outgoing, SendError, Sent, Socket};
///
/// /// Sends a frame of a live picture, which may be lost, and stops when the client has gone away.
/// fn show(socket: &Socket, picture: Outgoing) -> Result<(), SendError> {
///     match socket.send_volatile(picture)? {
///         Sent::Dropped => {} // the next one will do
///         Sent::Queued | Sent::Congested => {}
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Socket(Arc<EngineSession>);

impl Socket {
    /// Creates a handle of a session.
    pub(crate) fn new(session: Arc<EngineSession>) -> Self {
        Self(session)
    }

    /// Returns the Engine.IO id: 20 characters, and a secret between the client and this server.
    pub fn id(&self) -> &str {
        self.0.sid.as_str()
    }

    /// Queues a packet; never blocks.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closed, or closing; [`SendError::Overflow`]
    /// when the packet exceeds the hard limit of the outbox, for which the client is disconnected.
    pub fn send(&self, packet: Outgoing) -> Result<Sent, SendError> {
        self.0.send(packet)
    }

    /// Queues a packet if the transport can take it now, else drops it; never blocks.
    ///
    /// A WebSocket takes it unless the kernel refused bytes, or more than 256 KiB (or the soft
    /// limit) wait; long-polling takes it if a request waits and nothing is queued before it.
    ///
    /// # Errors
    /// [`SendError::Closed`] when the connection is closed, or closing.
    pub fn send_volatile(&self, packet: Outgoing) -> Result<Sent, SendError> {
        self.0.send_volatile(packet)
    }

    /// Closes the connection with [`CloseReason::ForcedClose`], after the queued packets were
    /// written or a bounded time has passed.
    pub fn close(&self) {
        self.0.close(CloseReason::ForcedClose);
    }

    /// Closes the connection with [`CloseReason::ForcedClose`] at once; queued packets are dropped.
    pub fn abort(&self) {
        self.0.fail(CloseReason::ForcedClose);
    }

    /// Has the session's [`poll_work`](crate::Session::poll_work) called soon, because another task
    /// has left it new work: once that method was `Ready`, its waker wakes no task.
    pub fn wake_session(&self) {
        self.0.wake_driver();
    }

    /// Returns a count of bytes that the protocol above holds of an incomplete message; they count
    /// for [`Config::inbound_total_limit`](crate::Config::inbound_total_limit).
    pub fn hold(&self) -> HeldBytes {
        HeldBytes::new(&self.0)
    }

    /// Notes that the protocol above has accepted the client: where incomplete messages are too
    /// much, those of others are given up first.
    pub fn mark_accepted(&self) {
        self.0.mark_accepted();
    }

    /// Returns the transport that carries the connection now.
    pub fn transport(&self) -> Transport {
        self.0.state().transport
    }

    /// Returns how many bytes wait to be written; each packet counts 64 bytes more than it has on
    /// the wire.
    pub fn buffered_bytes(&self) -> usize {
        self.0.state().outbox.cost()
    }

    /// Returns whether the transport would take a small [volatile](Self::send_volatile) packet now.
    pub fn is_writable(&self) -> bool {
        let state = self.0.state();
        state.is_open() && state.is_writable(0, &self.0.core.limits.outbox)
    }

    /// Returns whether packets can be sent.
    pub fn is_open(&self) -> bool {
        self.0.state().is_open()
    }
}

impl fmt::Debug for Socket {
    // The id is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("transport", &self.transport())
            .finish_non_exhaustive()
    }
}
