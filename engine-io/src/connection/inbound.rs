//! Packets of a client, from either transport, on their way to the session.

use std::sync::Arc;

use crate::close::CloseReason;
use crate::connection::session::EngineSession;
use crate::log::quietly;
use crate::packet::{Malformed, Packet};
use crate::session::Message;

/// The outcome of a packet that does not end the session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// A pong, which was noted.
    Pong,
    /// No message for the session.
    Nothing,
    /// A message, which the session handled.
    Message {
        /// The session accepts no more messages for now.
        input_full: bool,
    },
}

/// Handles a packet of text; messages are passed on only while the session is `open`.
pub(crate) fn text(session: &Arc<EngineSession>, text: &str, open: bool) -> Result<Received, CloseReason> {
    match Packet::parse(text) {
        Ok(Packet::Message(text)) => message(session, Message::Text(text), open),
        Ok(Packet::Binary(data)) => message(session, Message::Binary(&data), open),
        Ok(Packet::Pong) => {
            session.pong();
            Ok(Received::Pong)
        }
        Ok(Packet::Close) => Err(CloseReason::TransportClose),
        // Clients never ping, except to probe a transport.
        Ok(Packet::Ping(_)) => Err(CloseReason::TransportError),
        Ok(Packet::Upgrade | Packet::Ignored) => Ok(Received::Nothing),
        Err(Malformed) => Err(CloseReason::ParseError),
    }
}

/// Passes a message on.
pub(crate) fn message(session: &Arc<EngineSession>, message: Message<'_>, open: bool) -> Result<Received, CloseReason> {
    if !open {
        return Ok(Received::Nothing);
    }
    let called = session.call(|session| (session.message(message), session.is_input_full()));
    match called {
        Ok(Some((Ok(()), input_full))) => Ok(Received::Message { input_full }),
        Ok(Some((Err(error), _))) => {
            quietly(|| tracing::debug!(target: "engine_io", %error, "a message was refused"));
            Err(CloseReason::ParseError)
        }
        Ok(None) => Ok(Received::Nothing),
        Err(_panicked) => Err(CloseReason::ForcedClose),
    }
}
