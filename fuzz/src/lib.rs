//! Common parts of the fuzz targets.

use std::future::Future;

use bytes::Bytes;
use engine_io::{Handler, Handshake, Message, Outgoing, ProtocolError, Session, Socket};

/// Runs a future on a clock that jumps to the next timer whenever nothing is left to do.
pub fn block_on(future: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
    }
    RUNTIME.with(|runtime| runtime.block_on(future));
}

/// Sends every message back.
pub struct Echo;

struct EchoSession(Socket);

impl Handler for Echo {
    fn open(&self, socket: Socket, _: Handshake) -> Box<dyn Session> {
        Box::new(EchoSession(socket))
    }
}

impl Session for EchoSession {
    fn message(&mut self, message: Message<'_>) -> Result<(), ProtocolError> {
        let packet = match message {
            Message::Text(text) => Outgoing::text(text),
            Message::Binary(data) => Outgoing::binary(Bytes::copy_from_slice(data)),
        };
        // A client that is gone misses nothing.
        let _ = self.0.send(packet);
        Ok(())
    }
}
