//! The reading half of the task: frames from the socket, messages to the session.

use std::cell::Cell;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;

use super::{WebSocketTask, in_32_bits};
use crate::close::CloseReason;
use crate::connection::inbound::{self, Received};
use crate::log::quietly;
use crate::outgoing::Outgoing;
use crate::session::Message;
use crate::websocket::frame::{Event, Front, MAX_CLIENT_HEAD, OpCode};
use crate::websocket::linger::CloseFrame;
use crate::websocket::stream::Io;
use crate::websocket::violation::Violation;

/// The bytes that are read at once, into a buffer that the connections of a thread share.
const SCRATCH: usize = 64 * 1024;

/// The bytes that are unpacked before other tasks get their turn: a few compressed ones may stand
/// for a thousand times as many.
const UNPACKED: usize = 256 * 1024;

/// The frames that are handled before other tasks get their turn: pongs and fragments cost a client
/// seven bytes each and are nothing that a session could be full of.
const FRAMES: usize = 256;

thread_local! {
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

impl<I: Io> WebSocketTask<I> {
    /// Reads once and passes the messages on; returns whether there may be more. What is held of
    /// incomplete ones is counted.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, open: bool) -> Result<bool, CloseReason> {
        let progress = self.read_once(cx, open)?;
        self.count_held()?;
        Ok(progress)
    }

    /// Reads once and passes the messages on; returns whether there may be more.
    fn read_once(&mut self, cx: &mut Context<'_>, open: bool) -> Result<bool, CloseReason> {
        if self.session.state().is_reading_paused() {
            return Ok(false);
        }
        if !self.rest.is_empty() && self.rest.len() >= self.needed as usize {
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
            Poll::Ready(Ok(())) if count > 0 => self.handle(&mut scratch[..count], open).map(|()| true),
            Poll::Ready(end) => {
                // The client has gone away.
                self.close_frame = CloseFrame::None;
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

    /// Handles bytes that were read; keeps those that are not a frame yet.
    fn handle(&mut self, bytes: &mut [u8], open: bool) -> Result<(), CloseReason> {
        self.session.core.counters.bytes_in.add(bytes.len());
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            if self.rest.len() < self.needed as usize {
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

    /// Keeps bytes for the next read.
    fn keep(&mut self, buffer: Vec<u8>) {
        // An empty buffer is released, and so is a large one that holds little now.
        self.rest = match buffer.len() {
            0 => Vec::new(),
            length if length < buffer.capacity() / 4 => buffer[..].to_vec(),
            _ => buffer,
        };
    }

    /// Passes on the frames in a buffer; returns how much of it they were.
    fn parse(&mut self, buffer: &mut [u8], open: bool) -> Result<usize, CloseReason> {
        let max = self.session.core.config.max_payload;
        let mut at = 0;
        let (mut frames, mut messages, mut unpacked) = (0, 0, 0);
        self.needed = 0;
        let mut decoder = std::mem::take(&mut self.decoder);
        let result = loop {
            self.budget_exhausted = unpacked > UNPACKED || frames >= FRAMES;
            if self.input_full || self.budget_exhausted || at == buffer.len() {
                break Ok(at);
            }
            match decoder.next(&mut buffer[at..], max, self.terms.deflate) {
                Ok(Front::Incomplete(needed)) => {
                    debug_assert!(needed <= max + MAX_CLIENT_HEAD);
                    self.needed = in_32_bits(needed);
                    break Ok(at);
                }
                Ok(Front::Event(event, used)) => {
                    at += used;
                    frames += 1;
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
        self.session.core.counters.messages_in.add(messages);
        result
    }

    /// Handles one frame; returns whether it was a message.
    fn event(&mut self, event: Event<'_>, open: bool) -> Result<bool, CloseReason> {
        let received = match event {
            Event::Text(text) => inbound::text(&self.session, text, open)?,
            Event::Binary(data) => inbound::message(&self.session, Message::Binary(data), open)?,
            Event::Ping(payload) => {
                // The latest ping gets the pong.
                self.pong = Some(Outgoing::control(OpCode::Pong, payload));
                Received::Nothing
            }
            Event::Pong | Event::Fragment => Received::Nothing,
            Event::Close(code) => {
                self.close_frame = code.map_or(CloseFrame::Empty, CloseFrame::Code);
                return Err(CloseReason::TransportClose);
            }
        };
        self.got_packet |= received != Received::Pong;
        if let Received::Message { input_full } = received {
            self.input_full = input_full;
        }
        Ok(matches!(received, Received::Message { .. }))
    }

    /// Notes how the client violated the protocol; returns the reason to close.
    fn violated(&mut self, violation: Violation) -> CloseReason {
        quietly(|| tracing::debug!(target: "engine_io", ?violation, "a client broke the rules of WebSockets"));
        self.close_frame = CloseFrame::Code(violation.close_code());
        CloseReason::TransportError
    }

    /// Asks again whether the session accepts messages; returns whether it does so now, and did not
    /// before.
    pub(super) fn resume(&mut self) -> bool {
        if !self.input_full {
            return false;
        }
        self.input_full = self.session.is_input_full();
        !self.input_full
    }
}
