//! The task of a WebSocket.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::inbound::{self, Received};
use crate::outgoing::Framing;
use crate::shared::Shared;
use crate::state::{Life, trim};
use crate::websocket::frame::{Decoder, Event, Front, MAX_CLIENT_HEAD, OpCode, Violation};
use crate::websocket::io::{Io, Terms};
use crate::websocket::linger::{close_frame, linger};
use crate::{CloseReason, Message, Outgoing};

/// What is read at once, into a buffer that the connections of a thread share.
const SCRATCH: usize = 64 * 1024;

/// The pieces that one write takes.
const PIECES: usize = 64;

/// The rounds of reading and writing after which other tasks get their turn.
const ROUNDS: usize = 16;

/// What is unpacked before other tasks get their turn, in bytes: a few compressed ones may stand for a thousand times as
/// many.
const UNPACKED: usize = 256 * 1024;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

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

    /// Reads once and passes on what came; tells whether there may be more.
    fn read(&mut self, cx: &mut Context<'_>, open: bool) -> Result<bool, CloseReason> {
        if self.shared.state().reading_paused {
            return Ok(false);
        }
        if !self.rest.is_empty() && self.rest.len() >= self.need {
            let mut buffer = std::mem::take(&mut self.rest);
            let used = self.parse(&mut buffer, open)?;
            buffer.drain(..used);
            self.keep(buffer);
            return Ok(true);
        }
        let Some(io) = &mut self.io else { return Ok(false) };
        let mut scratch = BUFFER.take().unwrap_or_else(|| vec![0; SCRATCH].into_boxed_slice());
        let mut buffer = ReadBuf::new(&mut scratch);
        let polled = Pin::new(io).poll_read(cx, &mut buffer);
        let count = buffer.filled().len();
        let result = match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(())) if count > 0 => self.take(&mut scratch[..count], open).map(|()| true),
            Poll::Ready(end) => {
                // Nobody is there to say farewell to.
                self.farewell = None;
                Err(if end.is_ok() {
                    CloseReason::TransportClose
                } else {
                    CloseReason::TransportError
                })
            }
        };
        BUFFER.set(Some(scratch));
        result
    }

    fn take(&mut self, bytes: &mut [u8], open: bool) -> Result<(), CloseReason> {
        self.shared.engine.counters.bytes_in.add(bytes.len());
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            if self.rest.len() < self.need {
                return Ok(());
            }
            let mut buffer = std::mem::take(&mut self.rest);
            let used = self.parse(&mut buffer, open)?;
            buffer.drain(..used);
            self.keep(buffer);
            return Ok(());
        }
        let used = self.parse(bytes, open)?;
        if used < bytes.len() {
            self.rest = bytes[used..].to_vec();
        }
        Ok(())
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        // An empty buffer is given back; a large one that holds little now is not worth keeping either.
        self.rest = match buffer.len() {
            0 => Vec::new(),
            length if length < buffer.capacity() / 4 => buffer[..].to_vec(),
            _ => buffer,
        };
    }

    /// Passes on the frames in a buffer; returns how much of it they were.
    fn parse(&mut self, buffer: &mut [u8], open: bool) -> Result<usize, CloseReason> {
        let max = self.shared.engine.config.max_payload;
        let mut at = 0;
        let (mut messages, mut unpacked) = (0, 0);
        self.need = 0;
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = loop {
            self.tired = unpacked > UNPACKED;
            if self.saturated || self.tired || at == buffer.len() {
                break Ok(at);
            }
            match decoder.next(&mut buffer[at..], max, self.terms.deflate) {
                Ok(Front::Incomplete(need)) => {
                    debug_assert!(need <= max + MAX_CLIENT_HEAD);
                    self.need = need;
                    break Ok(at);
                }
                Ok(Front::Event(event, used)) => {
                    at += used;
                    match self.event(event, open) {
                        Ok(message) => messages += usize::from(message),
                        Err(reason) => break Err(reason),
                    }
                    unpacked += decoder.unpacked();
                }
                Err(violation) => break Err(self.violated(violation)),
            }
        };
        decoder.settle();
        self.decoder = decoder;
        self.shared.engine.counters.messages_in.add(messages);
        result
    }

    /// Handles one frame; tells whether it was a message.
    fn event(&mut self, event: Event<'_>, open: bool) -> Result<bool, CloseReason> {
        let received = match event {
            Event::Text(text) => inbound::text(&self.shared, text, open)?,
            Event::Binary(data) => inbound::message(&self.shared, Message::Binary(data), open)?,
            Event::Ping(payload) => {
                // The latest ping is the one to answer.
                self.pong = Some(Outgoing::control(OpCode::Pong, payload));
                Received::Nothing
            }
            Event::Pong | Event::Fragment => Received::Nothing,
            Event::Close(code) => {
                self.farewell = Some(code);
                return Err(CloseReason::TransportClose);
            }
        };
        self.heard |= received != Received::Pong;
        if let Received::Message { saturated } = received {
            self.saturated = saturated;
        }
        Ok(matches!(received, Received::Message { .. }))
    }

    fn violated(&mut self, violation: Violation) -> CloseReason {
        tracing::debug!(target: "engine_io", ?violation, "a client broke the rules of WebSockets");
        self.farewell = Some(Some(violation.close_code()));
        CloseReason::TransportError
    }

    /// Looks again whether the session takes messages; tells whether it does so now, and did not before.
    fn resume(&mut self) -> bool {
        if !self.saturated {
            return false;
        }
        let saturated = self.shared.with_session(|session| session.is_saturated());
        self.saturated = matches!(saturated, Ok(Some(true)));
        !self.saturated
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
