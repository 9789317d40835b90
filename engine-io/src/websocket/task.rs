//! The task of a WebSocket.

mod receive;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::outgoing::Framing;
use crate::shared::Shared;
use crate::state::{Lifecycle, trim};
use crate::websocket::frame::Decoder;
use crate::websocket::io::{Io, Terms};
use crate::websocket::linger::{CloseFrame, linger};
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
    input_full: bool,
    terms: Terms,
    /// As much was unpacked as one turn allows.
    budget_exhausted: bool,
    /// Somebody else brought the session work.
    session_woken: bool,
    /// What was written since the last look at the state, and whether packets other than pongs came.
    written: usize,
    got_packet: bool,
    /// The last frame the client gets, if it is to get one.
    close_frame: CloseFrame,
}

/// What a look at the state found.
enum Step {
    Continue(Lifecycle),
    Park,
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
            input_full: false,
            terms,
            budget_exhausted: false,
            session_woken: false,
            written: 0,
            got_packet: false,
            close_frame: CloseFrame::Empty,
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
            let lifecycle = match self.sync_state(active, cx) {
                Step::Continue(Lifecycle::Closed(_)) => return Poll::Ready(()),
                Step::Continue(lifecycle) => lifecycle,
                Step::Park => return Poll::Pending,
            };
            if let Poll::Ready(Err(error)) = self.flush(cx) {
                self.break_off(&error);
                continue;
            }
            if let (Lifecycle::Closing { reason, .. }, true) = (lifecycle, !self.is_blocked()) {
                self.close_if_flushed(reason);
                continue;
            }
            active = match self.read(cx, lifecycle == Lifecycle::Open) {
                Ok(progress) => progress,
                Err(reason) => {
                    self.shared.fail(reason);
                    continue;
                }
            };
            if active || self.session_woken || round == 0 {
                // What is pending wakes this task by itself.
                let _ = self.shared.drive(cx);
                active |= self.resume();
            }
            if std::mem::take(&mut self.budget_exhausted) {
                break;
            }
        }
        self.shared.state().task.park(cx.waker());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Exchanges news with the other side of the lock; goes to sleep if there are none.
    fn sync_state(&mut self, active: bool, cx: &Context<'_>) -> Step {
        let mut state = self.shared.state();
        state.task.run();
        self.shared.written(&mut state, std::mem::take(&mut self.written));
        if std::mem::take(&mut self.got_packet) {
            self.shared.got_packet(&mut state);
        }
        if let (Some(pong), None) = (self.pong.take(), state.closed()) {
            self.shared.push(&mut state, pong);
        }
        state.outbox.blocked = self.is_blocked();
        let paused = self.input_full || state.outbox.cost > self.shared.engine.config.outbox_soft_limit;
        let resumed = state.reading_paused && !paused;
        self.shared.pause_reading(&mut state, paused);
        self.session_woken = state.task.take_session_woken();
        let news =
            self.session_woken || !state.outbox.queue.is_empty() || resumed || state.lifecycle != Lifecycle::Open;
        let waits_for_kernel = self.is_blocked() && matches!(state.lifecycle, Lifecycle::Closing { .. });
        if !active && (!news || (waits_for_kernel && !self.session_woken && state.outbox.queue.is_empty())) {
            state.task.park(cx.waker());
            return Step::Park;
        }
        let lifecycle = state.lifecycle;
        state.outbox.take_into(&mut self.sending);
        Step::Continue(lifecycle)
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
        self.close_frame = CloseFrame::None;
        self.shared.fail(CloseReason::TransportError);
    }

    /// Lets go of the socket, with a close frame if the client can still take one.
    fn close_socket(&mut self) {
        let Some(io) = self.io.take() else { return };
        self.sending = VecDeque::new();
        self.rest = Vec::new();
        // A frame that was cut off leaves no place for another.
        if let (Some(frame), 0) = (self.close_frame.encode(), self.offset) {
            self.shared.engine.spawn_here(linger(io, frame));
        }
    }
}

impl<I: Io> Future for Connection<I> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.io.is_some() {
            ready!(this.turn(cx));
            this.close_socket();
        }
        // Without the socket there is nothing to look at: whoever brings the session work has to wake this task for it.
        this.shared.state().task.park(cx.waker());
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
