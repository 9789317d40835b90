//! The handler of an engine: makes a session for each client.

use crate::http::handshake::Handshake;
use crate::session::Session;
use crate::socket::Socket;

/// Makes a [`Session`] for each client.
///
/// A panic in [`open`](Self::open) is caught, logged, and refuses the client.
///
/// ```
/// use engine_io::{Handler, Handshake, Message, Outgoing, ProtocolError, Session, Socket};
///
/// /// Greets each client by the header that names it.
/// struct Greeter;
///
/// struct Silent;
///
/// impl Handler for Greeter {
///     fn open(&self, socket: Socket, handshake: Handshake) -> Box<dyn Session> {
///         let name = handshake.header("x-name").unwrap_or("stranger");
///         let _ = socket.send(Outgoing::text(&format!("hello, {name}")));
///         Box::new(Silent)
///     }
/// }
///
/// impl Session for Silent {
///     fn message(&mut self, _: Message<'_>) -> Result<(), ProtocolError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// Accepts a client whose handshake was valid. Packets sent here follow the opening packet.
    fn open(&self, socket: Socket, handshake: Handshake) -> Box<dyn Session>;

    /// Makes room when [`max_sessions`](crate::Config::max_sessions) is reached: may close a
    /// session that matters less than a new one, by [`Socket::abort`]; returns whether it did.
    /// Default: it closes none, and the handshake is refused.
    fn make_room(&self) -> bool {
        false
    }
}
