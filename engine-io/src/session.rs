//! What a protocol above Engine.IO implements.

use std::task::{Context, Poll};

use crate::{CloseReason, Handshake, ProtocolError, Socket};

/// Makes a [`Session`] for each client.
pub trait Handler: Send + Sync + 'static {
    /// Accepts a client whose handshake was valid. What is sent here follows the opening packet.
    fn open(&self, socket: Socket, handshake: Handshake) -> Box<dyn Session>;

    /// Is asked when [`max_sessions`](crate::Config::max_sessions) is reached: may close a session that matters less than a new one, by
    /// [`Socket::abort`](crate::Socket::abort); tells whether it did. Default: it closes none, and the handshake is refused.
    fn make_room(&self) -> bool {
        false
    }
}

/// The state that a protocol keeps for one client.
///
/// All methods are called by one task at a time. A panic in any of them is caught, logged, and closes this connection
/// alone.
pub trait Session: Send {
    /// Takes a message, in the order of arrival; must not block.
    ///
    /// # Errors
    /// An error closes the connection with [`CloseReason::ParseError`].
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError>;

    /// Drives queued asynchronous work, such as the handlers of events; `Ready` means that nothing is left.
    ///
    /// Polled by the connection's task after messages and whenever woken, also after [`close`](Self::close), until it is
    /// `Ready`; then again after messages and [`Socket::wake_session`].
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()>;

    /// Tells whether so much work is queued that reading from this client pauses; its ping timeout is suspended
    /// meanwhile, for [`max_reading_pause`](crate::Config::max_reading_pause) at most.
    fn is_input_full(&self) -> bool;

    /// Learns that the connection moved to a WebSocket. Default: nothing happens.
    fn upgraded(&mut self) {}

    /// Learns that the connection is gone. Called exactly once, before the final polls of
    /// [`poll_work`](Self::poll_work).
    fn close(&mut self, reason: CloseReason);
}

/// A message of a client, borrowed from the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, without the packet type in front.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}
