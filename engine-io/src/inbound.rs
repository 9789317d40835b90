//! Packets of a client, whichever transport brought them.

use std::sync::Arc;

use crate::packet::{Malformed, Packet};
use crate::shared::Shared;
use crate::{CloseReason, Message};

/// What a packet led to, unless it ends the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    Pong,
    /// No message for the session.
    Nothing,
    Message {
        input_full: bool,
    },
}

/// Takes a packet of text; messages are passed on only while the connection is `open`.
pub(crate) fn text(shared: &Arc<Shared>, text: &str, open: bool) -> Result<Received, CloseReason> {
    match Packet::parse(text) {
        Ok(Packet::Message(text)) => message(shared, Message::Text(text), open),
        Ok(Packet::Binary(data)) => message(shared, Message::Binary(&data), open),
        Ok(Packet::Pong) => {
            shared.pong();
            Ok(Received::Pong)
        }
        Ok(Packet::Close) => Err(CloseReason::TransportClose),
        // Clients never ping, except to probe a transport.
        Ok(Packet::Ping(_)) => Err(CloseReason::TransportError),
        Ok(Packet::Upgrade | Packet::Ignored) => Ok(Received::Nothing),
        Err(Malformed) => Err(CloseReason::ParseError),
    }
}

/// Takes a message.
pub(crate) fn message(shared: &Arc<Shared>, message: Message<'_>, open: bool) -> Result<Received, CloseReason> {
    if !open {
        return Ok(Received::Nothing);
    }
    let called = shared.with_session(|session| (session.message(message), session.is_input_full()));
    match called {
        Ok(Some((Ok(()), input_full))) => Ok(Received::Message { input_full }),
        Ok(Some((Err(error), _))) => {
            tracing::debug!(target: "engine_io", %error, "a message was refused");
            Err(CloseReason::ParseError)
        }
        Ok(None) => Ok(Received::Nothing),
        Err(_panicked) => Err(CloseReason::ForcedClose),
    }
}
