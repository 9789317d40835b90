//! The task of a WebSocket.

mod receive;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::outgoing::Framing;
use crate::shared::Shared;
use crate::state::{Life, trim};
use crate::websocket::frame::Decoder;
use crate::websocket::io::{Io, Terms};
use crate::websocket::linger::{close_frame, linger};
use crate::{CloseReason, Outgoing};

/// The pieces that one write takes.
const PIECES: usize = 64;

/// The rounds of reading and writing after which other tasks get their turn.
const ROUNDS: usize = 16;

/// A WebSocket and what belongs to it; idle, it owns no buffer.
pub(crate) struct Connection<I: Io> {
    io: Option<I>,
    shared: Arc<Shared>,
    /// Frames taken from the outbox, the first one written up to `offset`.
    sending: VecDeque<Outgoing>,
    offset: usize,
    /// The stream may hold bytes back, as those of TLS do.
    unflushed: bool,
    /// What was read and is not yet a frame, or waits until the session takes more.
    rest: Vec<u8>,
    /// How long `rest` must be before it is worth a look.
    need: usize,
    decoder: Decoder,
    pong: Option<Outgoing>,
    saturated: bool,
    terms: Terms,
    /// As much was unpacked as one turn allows.
    tired: bool,
    /// Somebody else brought the session work.
    kicked: bool,
    /// What was written since the last look at the state, and whether packets other than pongs came.
    written: usize,
    heard: bool,
    /// The last frame the client gets, if it is to get one.
    farewell: Option<Option<u16>>,
}

/// What a look at the state found.
enum Found {
    Life(Life),
    Nothing,
}

impl<I: Io> Connection<I> {
    pub(crate) fn new(io: I, rest: Vec<u8>, shared: Arc<Shared>, terms: Terms) -> Self {
        Self {
            io: Some(io),
            shared,
            sending: VecDeque::new(),
            offset: 0,
            unflushed: false,
            rest,
            need: 0,
            decoder: Decoder::default(),
            pong: None,
            saturated: false,
            terms,
            tired: false,
            kicked: false,
            written: 0,
            heard: false,
            farewell: Some(None),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Tells how frames are written to this client.
    fn framing(&self) -> Framing {
        let threshold = self.shared.engine.config.compression_threshold;
        Framing {
            deflate: self.terms.deflate.then_some(threshold),
            base64: self.terms.base64,
        }
    }

    /// Writes, reads and works until nothing is left to do now; ready when the connection is gone.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut active = true;
        for round in 0..ROUNDS {
            let life = match self.look(active, cx) {
                Found::Life(Life::Closed(_)) => return Poll::Ready(()),
                Found::Life(life) => life,
                Found::Nothing => return Poll::Pending,
            };
            if let Poll::Ready(Err(error)) = self.flush(cx) {
                self.break_off(&error);
                continue;
            }
            if let (Life::Closing { reason, .. }, true) = (life, !self.is_blocked()) {
                self.close_if_flushed(reason);
                continue;
            }
            active = match self.read(cx, life == Life::Open) {
                Ok(progress) => progress,
                Err(reason) => {
                    self.shared.fail(reason);
                    continue;
                }
            };
            if active || self.kicked || round == 0 {
                // What is pending wakes this task by itself.
                let _ = self.shared.drive(cx);
                active |= self.resume();
            }
            if std::mem::take(&mut self.tired) {
                break;
            }
        }
        self.shared.state().task.sleep(cx.waker());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Exchanges news with the other side of the lock; goes to sleep if there are none.
    fn look(&mut self, active: bool, cx: &Context<'_>) -> Found {
        let mut state = self.shared.state();
        state.task.run();
        self.shared.written(&mut state, std::mem::take(&mut self.written));
        if std::mem::take(&mut self.heard) {
            self.shared.heard(&mut state);
        }
        if let (Some(pong), None) = (self.pong.take(), state.closed()) {
            self.shared.push(&mut state, pong);
        }
        state.outbox.blocked = self.is_blocked();
        let paused = self.saturated || state.outbox.cost > self.shared.engine.config.outbox_soft_limit;
        let resumed = state.reading_paused && !paused;
        self.shared.pause_reading(&mut state, paused);
        self.kicked = state.task.take_kick();
        let news = self.kicked || !state.outbox.queue.is_empty() || resumed || state.life != Life::Open;
        let waits_for_kernel = self.is_blocked() && matches!(state.life, Life::Closing { .. });
        if !active && (!news || (waits_for_kernel && !self.kicked && state.outbox.queue.is_empty())) {
            state.task.sleep(cx.waker());
            return Found::Nothing;
        }
        let life = state.life;
        state.outbox.take_into(&mut self.sending);
        Found::Life(life)
    }

    /// Writes what was taken from the outbox, as many frames at once as possible.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let framing = self.framing();
        while !self.sending.is_empty() {
            let Some(io) = &mut self.io else { break };
            let mut slices = [IoSlice::new(&[]); PIECES];
            let mut count = 0;
            let mut skip = self.offset;
            for packet in &self.sending {
                let all = packet.pieces(framing, skip, |piece| {
                    if count == PIECES {
                        return false;
                    }
                    slices[count] = IoSlice::new(piece);
                    count += 1;
                    true
                });
                skip = 0;
                if !all || count == PIECES {
                    break;
                }
            }
            let written = ready!(Pin::new(io).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(written);
        }
        trim(&mut self.sending);
        if let (Some(io), true) = (&mut self.io, self.unflushed) {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn is_blocked(&self) -> bool {
        !self.sending.is_empty() || self.unflushed
    }

    fn advance(&mut self, written: usize) {
        let framing = self.framing();
        let counters = &self.shared.engine.counters;
        counters.bytes_out.add(written);
        self.offset += written;
        let mut packets = 0;
        while let Some(packet) = self.sending.front()
            && self.offset >= packet.wire_len(framing)
        {
            self.offset -= packet.wire_len(framing);
            self.written += packet.cost();
            packets += 1;
            self.sending.pop_front();
        }
        counters.messages_out.add(packets);
    }

    fn close_if_flushed(&mut self, reason: CloseReason) {
        let state = self.shared.state();
        if state.outbox.queue.is_empty() {
            self.shared.close_now(state, reason);
        }
    }

    fn break_off(&mut self, error: &io::Error) {
        tracing::debug!(target: "engine_io", %error, "a connection broke");
        self.farewell = None;
        self.shared.fail(CloseReason::TransportError);
    }

    /// Lets go of the socket, with a close frame if the client can still take one.
    fn hang_up(&mut self) {
        let Some(io) = self.io.take() else { return };
        self.sending = VecDeque::new();
        self.rest = Vec::new();
        if let (Some(code), 0) = (self.farewell, self.offset) {
            self.shared.engine.spawn_here(linger(io, close_frame(code)));
        }
    }
}

impl<I: Io> Future for Connection<I> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.io.is_some() {
            ready!(this.turn(cx));
            this.hang_up();
        }
        // Without the socket there is nothing to look at: whoever brings the session work has to wake this task for it.
        this.shared.state().task.sleep(cx.waker());
        this.shared.drive(cx)
    }
}

impl<I: Io> Drop for Connection<I> {
    // Whatever ends the task, nothing of the connection stays.
    fn drop(&mut self) {
        self.shared.fail(CloseReason::TransportError);
        let reason = self.shared.state().closed().unwrap_or(CloseReason::TransportError);
        self.shared.abandon_session(reason);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn an_idle_websocket_is_small() {
        // Its memory is counted in kilobytes with all the kernel's; a field more shows here first.
        assert!(size_of::<Connection<TcpStream>>() <= 160);
    }
}
