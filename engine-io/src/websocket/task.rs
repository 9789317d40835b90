//! The task that owns a WebSocket: reads, writes and drives its session.

mod receive;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::close::CloseReason;
use crate::connection::held::TooMuch;
use crate::connection::lifecycle::Lifecycle;
use crate::connection::outbox::trim;
use crate::connection::session::EngineSession;
use crate::log::quietly;
use crate::outgoing::{Framing, Outgoing};
use crate::websocket::frame::Decoder;
use crate::websocket::linger::{CloseFrame, linger};
use crate::websocket::stream::{Io, Terms};

/// The pieces that one write accepts.
const PIECES: usize = 64;

/// The rounds of reading and writing after which other tasks get their turn.
const ROUNDS: usize = 16;

/// The close code of a server that has no memory for what the client sends (1013).
const TRY_AGAIN_LATER: u16 = 1013;

/// A WebSocket, its session, and what was read and not yet handled; idle, it owns no buffer.
pub(crate) struct WebSocketTask<I: Io> {
    /// The socket, until it is closed.
    io: Option<I>,
    /// The session that it carries.
    session: Arc<EngineSession>,
    /// Frames taken from the outbox, the first one written up to `offset`.
    sending: VecDeque<Outgoing>,
    /// The bytes of the first frame that were written.
    offset: usize,
    /// The stream may hold bytes back, as those of TLS do.
    unflushed: bool,
    /// Bytes that are not yet a frame, or wait until the session accepts more messages.
    rest: Vec<u8>,
    /// How long `rest` must be before it is parsed again, as far as 32 bits tell.
    needed: u32,
    /// Reads the frames of the client.
    decoder: Decoder,
    /// The bytes that are counted for `rest` and fragments, as far as 32 bits tell.
    held: u32,
    /// The pong that the latest ping asks for.
    pong: Option<Outgoing>,
    /// The session accepts no more messages for now.
    input_full: bool,
    /// The terms that were agreed on with the client.
    terms: Terms,
    /// As many frames were handled, or bytes unpacked, as one turn allows.
    budget_exhausted: bool,
    /// The session may have new work that did not come from this task.
    session_woken: bool,
    /// The cost of the packets written since the state was last synchronised.
    written: usize,
    /// Packets other than pongs arrived since then.
    got_packet: bool,
    /// The last frame that the client gets.
    close_frame: CloseFrame,
}

/// How a turn goes on after the state was read.
enum Step {
    /// It writes and reads; the session is at this point of its life.
    Continue(Lifecycle),
    /// There is nothing to do until the task is woken.
    Park,
}

impl<I: Io> WebSocketTask<I> {
    /// Creates the task of a WebSocket, from the bytes that were read too much on.
    pub(crate) fn new(io: I, rest: Vec<u8>, session: Arc<EngineSession>, terms: Terms) -> Self {
        Self {
            io: Some(io),
            session,
            sending: VecDeque::new(),
            offset: 0,
            unflushed: false,
            rest,
            needed: 0,
            decoder: Decoder::default(),
            held: 0,
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

    /// Returns the session that the WebSocket carries.
    pub(crate) fn session(&self) -> &Arc<EngineSession> {
        &self.session
    }

    /// Tells how frames are written to this client.
    fn framing(&self) -> Framing {
        let threshold = self.session.core.config.compression_threshold;
        Framing {
            deflate: self.terms.deflate.then_some(threshold),
            base64: self.terms.base64,
        }
    }

    /// Writes, reads and works until nothing is left to do now; ready when the session is closed.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut active = true;
        for round in 0..ROUNDS {
            let lifecycle = match self.sync_state(active, cx) {
                Step::Continue(Lifecycle::Closed(reason)) => {
                    self.name_overload(reason);
                    return Poll::Ready(());
                }
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
                    self.session.fail(reason);
                    continue;
                }
            };
            if active || self.session_woken || round == 0 {
                // Pending work wakes this task by itself.
                let _ = self.session.drive(cx);
                active |= self.resume();
            }
            if std::mem::take(&mut self.budget_exhausted) {
                break;
            }
        }
        self.session.state().task.park(cx.waker());
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Synchronises with the state behind the lock; parks the task if there is nothing to do.
    fn sync_state(&mut self, active: bool, cx: &Context<'_>) -> Step {
        let mut state = self.session.state();
        state.task.run();
        self.session.written(&mut state, std::mem::take(&mut self.written));
        if std::mem::take(&mut self.got_packet) {
            self.session.got_packet(&mut state);
        }
        if let (Some(pong), None) = (self.pong.take(), state.closed()) {
            self.session.push(&mut state, pong);
        }
        state.outbox.set_blocked(self.is_blocked());
        let paused = self.input_full || state.outbox.exceeds_soft(&self.session.core.limits.outbox);
        let resumed = state.is_reading_paused() && !paused;
        self.session.pause_reading(&mut state, paused);
        self.session_woken = state.task.take_session_woken();
        let is_empty = state.outbox.queue().is_empty();
        let has_news = self.session_woken || !is_empty || resumed || !state.is_open();
        let waits_for_kernel = self.is_blocked() && state.lifecycle.closing().is_some();
        if !active && (!has_news || (waits_for_kernel && !self.session_woken && is_empty)) {
            state.task.park(cx.waker());
            return Step::Park;
        }
        let lifecycle = state.lifecycle;
        state.outbox.take_into(&mut self.sending);
        Step::Continue(lifecycle)
    }

    /// Writes the frames that were taken from the outbox, as many at once as possible.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let framing = self.framing();
        while !self.sending.is_empty() {
            let Some(io) = &mut self.io else { break };
            let written = ready!(poll_write(io, cx, &self.sending, self.offset, framing))?;
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

    /// Returns whether bytes wait for the kernel.
    fn is_blocked(&self) -> bool {
        !self.sending.is_empty() || self.unflushed
    }

    /// Notes that bytes were written, and drops the packets that they complete.
    fn advance(&mut self, written: usize) {
        let framing = self.framing();
        let counters = &self.session.core.counters;
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

    /// Closes the session, unless packets were queued meanwhile.
    fn close_if_flushed(&mut self, reason: CloseReason) {
        let state = self.session.state();
        if state.outbox.queue().is_empty() {
            self.session.close_now(state, reason);
        }
    }

    /// Closes the session because its connection broke.
    fn break_off(&mut self, error: &io::Error) {
        quietly(|| tracing::debug!(target: "engine_io", %error, "a connection broke"));
        self.close_frame = CloseFrame::None;
        self.session.fail(CloseReason::TransportError);
    }

    /// Tells a client that is closed for the memory it takes so; it may come back.
    fn name_overload(&mut self, reason: CloseReason) {
        if reason == CloseReason::Overflow && self.close_frame == CloseFrame::Empty {
            self.close_frame = CloseFrame::Code(TRY_AGAIN_LATER);
        }
    }

    /// Counts what is held of messages that are not complete, or wait for the session.
    fn count_held(&mut self) -> Result<(), CloseReason> {
        let held = self.rest.capacity() + self.decoder.held();
        if held == 0 && self.held == 0 {
            return Ok(()); // what was read was complete
        }
        self.recount(in_32_bits(held)).map_err(|TooMuch| {
            self.session.core.note_inbound_shed();
            CloseReason::Overflow
        })
    }

    /// Releases all that is held.
    fn release_held(&mut self) {
        self.rest = Vec::new();
        self.decoder = Decoder::default();
        // Nothing is never too much.
        let _ = self.recount(0);
    }

    /// Counts so many bytes in the place of those before.
    fn recount(&mut self, held: u32) -> Result<(), TooMuch> {
        let mut counted = self.held as usize;
        let result = self.session.count_held(&mut counted, held as usize);
        self.held = in_32_bits(counted);
        result
    }

    /// Closes the socket, with a close frame if the client can still take one.
    fn close_socket(&mut self) {
        let Some(io) = self.io.take() else { return };
        self.sending = VecDeque::new();
        self.release_held();
        // A frame that was cut off leaves no place for another.
        if let (Some(frame), 0) = (self.close_frame.encode(), self.offset) {
            self.session.core.spawn_here(linger(io, frame));
        }
    }
}

/// Returns a length as far as 32 bits tell it.
fn in_32_bits(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Writes the pieces of packets, without the first `skip` bytes: as many as one write accepts.
fn poll_write<I: Io>(
    io: &mut I,
    cx: &mut Context<'_>,
    packets: &VecDeque<Outgoing>,
    mut skip: usize,
    framing: Framing,
) -> Poll<io::Result<usize>> {
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    for packet in packets {
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
    Pin::new(io).poll_write_vectored(cx, &slices[..count])
}

impl<I: Io> Future for WebSocketTask<I> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.io.is_some() {
            ready!(this.turn(cx));
            this.close_socket();
        }
        // Without the socket only `wake_session` can make progress.
        this.session.state().task.park(cx.waker());
        this.session.drive(cx)
    }
}

impl<I: Io> Drop for WebSocketTask<I> {
    // The task may be dropped at any point; nothing of the connection stays.
    fn drop(&mut self) {
        self.session.fail(CloseReason::TransportError);
        self.release_held();
        let reason = self.session.state().closed().unwrap_or(CloseReason::TransportError);
        self.session.abandon(reason);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn an_idle_websocket_is_small() {
        // There is one for each client that is connected; a field more shows here first.
        assert!(size_of::<WebSocketTask<TcpStream>>() <= 160);
    }
}
