//! Outgoing packets: encoded once, shared by all their recipients.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;

use crate::attachment::Attachment;
use crate::budget::{Budget, Charge};
use crate::websocket::deflate;
use crate::websocket::frame::{self, HEAD_ROOM, OpCode};

/// Stands between the packets of a long-polling payload.
pub(crate) const SEPARATOR: u8 = 0x1e;

/// The cost of a waiting packet beside its bytes: the handle, and the share of its allocations.
const OVERHEAD: usize = 64;

/// One or more messages (a text and its attachments) that leave together.
///
/// Encoded once; a clone is a reference-counted handle of eight bytes. A broadcast clones the
/// handle for each recipient, on either transport.
///
/// ```
/// use bytes::Bytes;
/// use engine_io::{Outgoing, SendError, Socket};
///
/// fn broadcast(sockets: &[Socket], text: &str) -> usize {
///     let packet = Outgoing::text(text);
///     sockets.iter().filter(|socket| socket.send(packet.clone()).is_ok()).count()
/// }
///
/// // A text that is written straight into the buffer of its frame, with an attachment.
/// let image = Bytes::from_static(&[0x89, 0x50, 0x4e, 0x47]);
/// let packet = Outgoing::build(16, |text| text.extend_from_slice(br#"{"image":0}"#), &[image]);
/// assert_eq!(packet.cost(), 64 + (2 + 12) + (2 + 4)); // two frames, each with its header
/// ```
#[derive(Clone)]
pub struct Outgoing(Arc<Encoded>);

/// The encoded forms of a packet, shared by its handles.
struct Encoded {
    // Head room, then the text packet with its type digit; the WebSocket header is written into the
    // head room, right-aligned.
    buffer: Vec<u8>,
    // Where the WebSocket frame of the text begins; the end of the buffer if there is no text.
    start: usize,
    /// There is a text before the attachments.
    has_text: bool,
    /// The binary messages that follow the text.
    attachments: Box<[Attachment]>,
    /// Its length as WebSocket frames that are not compressed.
    wire_len: usize,
    // The same frames, compressed, if that is worth it; few clients ask for it.
    deflated: OnceLock<Option<Box<[u8]>>>,
    /// Compression is ruled out.
    uncompressed: AtomicBool,
    /// Since it first waited for a client; `None` if it is never counted.
    charge: OnceLock<Option<Charge>>,
}

/// How frames are written to a client.
#[derive(Clone, Copy, Default)]
pub(crate) struct Framing {
    /// Compressed if they are no shorter than this, or never.
    pub(crate) deflate: Option<usize>,
    /// Bytes travel as base64 in frames of text.
    pub(crate) base64: bool,
}

impl Outgoing {
    /// Creates a text message.
    pub fn text(text: &str) -> Self {
        Self::build(text.len(), |buffer| buffer.extend_from_slice(text.as_bytes()), &[])
    }

    /// Creates a binary message.
    pub fn binary(data: Bytes) -> Self {
        Self::new(Vec::new(), 0, false, &[data])
    }

    /// Creates a text message followed by binary messages.
    ///
    /// `write` appends the text to a buffer that holds head room already, and changes nothing
    /// before it; it must write UTF-8. `capacity` is a guess of its length in bytes.
    ///
    /// # Panics
    /// If `write` shortens the buffer.
    pub fn build(capacity: usize, write: impl FnOnce(&mut Vec<u8>), attachments: &[Bytes]) -> Self {
        let mut buffer = Vec::with_capacity(HEAD_ROOM + 1 + capacity);
        buffer.extend_from_slice(&[0; HEAD_ROOM]);
        buffer.push(b'4');
        write(&mut buffer);
        assert!(
            buffer.len() > HEAD_ROOM,
            "the text of a message was written over its head room"
        );
        debug_assert!(
            std::str::from_utf8(&buffer[HEAD_ROOM..]).is_ok(),
            "the text of a message is UTF-8"
        );
        let start = frame::write_head_before(&mut buffer, HEAD_ROOM, OpCode::Text);
        Self::new(buffer, start, true, attachments)
    }

    /// Creates a packet that is not a message: `packet` starts with its type digit.
    pub(crate) fn packet(packet: &str) -> Self {
        let mut buffer = vec![0; HEAD_ROOM];
        buffer.extend_from_slice(packet.as_bytes());
        let start = frame::write_head_before(&mut buffer, HEAD_ROOM, OpCode::Text);
        Self::new(buffer, start, true, &[])
    }

    /// Creates a control frame, which long-polling never carries.
    pub(crate) fn control(opcode: OpCode, payload: &[u8]) -> Self {
        let mut buffer = vec![0; HEAD_ROOM];
        buffer.extend_from_slice(payload);
        let start = frame::write_head_before(&mut buffer, HEAD_ROOM, opcode);
        Self::new(buffer, start, false, &[])
    }

    /// Returns the shared ping packet.
    pub(crate) fn ping() -> Self {
        static PING: LazyLock<Outgoing> = LazyLock::new(|| {
            let ping = Outgoing::packet("2");
            // It is kept for ever, and for every engine.
            ping.0.charge.get_or_init(|| None);
            ping
        });
        PING.clone()
    }

    /// Makes a handle of an encoded text and its attachments.
    fn new(buffer: Vec<u8>, start: usize, has_text: bool, attachments: &[Bytes]) -> Self {
        let attachments: Box<[Attachment]> = attachments.iter().cloned().map(Attachment::new).collect();
        let attached: usize = attachments.iter().map(|each| each.head().len() + each.data.len()).sum();
        let wire_len = buffer.len() - start + attached;
        Self(Arc::new(Encoded {
            buffer,
            start,
            has_text,
            attachments,
            wire_len,
            deflated: OnceLock::new(),
            uncompressed: AtomicBool::new(false),
            charge: OnceLock::new(),
        }))
    }

    /// Sends this packet, and every clone of it, without compression: for payloads that are
    /// compressed already, or that hold a secret beside text that an attacker may choose.
    ///
    /// It has no effect on a frame that is being written already.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        self.0.uncompressed.store(true, Ordering::Relaxed);
        self
    }

    /// Returns whether compressing it was not [ruled out](Self::uncompressed).
    pub(crate) fn may_be_compressed(&self) -> bool {
        !self.0.uncompressed.load(Ordering::Relaxed)
    }

    /// Returns its length as WebSocket frames.
    pub(crate) fn wire_len(&self, framing: Framing) -> usize {
        if let Some(frames) = self.deflated(framing) {
            return frames.len();
        }
        if !framing.base64 {
            return self.0.wire_len;
        }
        let text = self.0.buffer.len() - self.0.start;
        let attached: usize = self.0.attachments.iter().map(Attachment::base64_frame_len).sum();
        text + attached
    }

    /// Returns its cost against the limits of an outbox, in bytes: 64 more than its length on a
    /// WebSocket.
    pub fn cost(&self) -> usize {
        self.0.wire_len + OVERHEAD
    }

    /// Returns the bytes that a [charge](Self::charge) would count now: none if it was counted.
    pub(crate) fn uncharged(&self) -> usize {
        match self.0.charge.get() {
            Some(_) => 0,
            None => self.cost(),
        }
    }

    /// Counts it once, in the budget of the first engine that queues it; returns whether that was
    /// now.
    pub(crate) fn charge(&self, budget: &Arc<Budget>) -> bool {
        let mut is_first = false;
        self.0.charge.get_or_init(|| {
            is_first = true;
            Some(budget.charge(self.cost()))
        });
        is_first
    }

    /// Hands the pieces of its WebSocket frames to `take`, without the first `skip` bytes, until
    /// `take` returns false.
    pub(crate) fn pieces<'a>(
        &'a self,
        framing: Framing,
        mut skip: usize,
        mut take: impl FnMut(&'a [u8]) -> bool,
    ) -> bool {
        if let Some(frames) = self.deflated(framing) {
            return skip >= frames.len() || take(&frames[skip..]);
        }
        let text = std::iter::once(&self.0.buffer[self.0.start..]);
        let attached = self.0.attachments.iter().flat_map(|each| {
            if framing.base64 {
                [each.base64_frame(), &[]]
            } else {
                [each.head(), &each.data[..]]
            }
        });
        for piece in text.chain(attached) {
            if skip >= piece.len() {
                skip -= piece.len();
                continue;
            }
            if !take(&piece[skip..]) {
                return false;
            }
            skip = 0;
        }
        true
    }

    /// Returns its frames with compressed payloads, if that is wanted and gains something. The
    /// first recipient compresses for all.
    fn deflated(&self, framing: Framing) -> Option<&[u8]> {
        let threshold = framing.deflate?;
        // Compressed frames are kept once, with binary attachments.
        let differs = framing.base64 && !self.0.attachments.is_empty();
        if differs || self.0.wire_len < threshold {
            return None;
        }
        // Recipients of another engine, with another threshold, get the frames of the first one.
        let deflated = self.0.deflated.get_or_init(|| self.deflate(threshold));
        deflated.as_deref()
    }

    /// Compresses its frames; `None` if that gains nothing.
    fn deflate(&self, threshold: usize) -> Option<Box<[u8]>> {
        let control = !self.0.has_text && self.0.attachments.is_empty();
        if control || !self.may_be_compressed() {
            return None;
        }
        let mut frames = Vec::new();
        let mut gained = false;
        if self.0.has_text {
            gained |= append_deflated(&mut frames, OpCode::Text, &self.0.buffer[HEAD_ROOM..], threshold);
        }
        for attachment in &self.0.attachments {
            gained |= append_deflated(&mut frames, OpCode::Binary, &attachment.data, threshold);
        }
        gained.then(|| frames.into_boxed_slice())
    }

    /// Returns its length within a long-polling payload, without a separator in front.
    pub(crate) fn payload_len(&self) -> usize {
        let text = if self.0.has_text {
            self.0.buffer.len() - HEAD_ROOM
        } else {
            0
        };
        let attached: usize = self.0.attachments.iter().map(|each| 1 + each.base64_packet_len()).sum();
        (text + attached).saturating_sub(usize::from(!self.0.has_text))
    }

    /// Returns how many packets it is within a long-polling payload.
    pub(crate) fn num_packets(&self) -> usize {
        usize::from(self.0.has_text) + self.0.attachments.len()
    }

    /// Returns one of its [packets](Self::num_packets) within a long-polling payload.
    ///
    /// # Panics
    /// If it has no such packet.
    pub(crate) fn payload_packet(&self, n: usize) -> &[u8] {
        let attachment = n.checked_sub(usize::from(self.0.has_text));
        match attachment {
            None => &self.0.buffer[HEAD_ROOM..],
            Some(n) => self.0.attachments[n].base64_packet(),
        }
    }

    /// Returns the same bytes, which keep this message.
    pub(crate) fn shared_payload_packet(&self, n: usize) -> Bytes {
        Bytes::from_owner(SharedPacket {
            message: self.clone(),
            n,
        })
    }
}

impl fmt::Debug for Outgoing {
    // Payloads stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("wire_len", &self.0.wire_len)
            .field("attachments", &self.0.attachments.len())
            .finish()
    }
}

/// Appends a frame; returns whether compression made it shorter.
fn append_deflated(frames: &mut Vec<u8>, opcode: OpCode, payload: &[u8], threshold: usize) -> bool {
    let packed = if payload.len() >= threshold {
        deflate::compress(payload)
    } else {
        None
    };
    let data = packed.as_deref().unwrap_or(payload);
    let (mut head, start) = frame::head(opcode, data.len());
    let start = usize::from(start);
    if packed.is_some() {
        head[start] |= frame::COMPRESSED;
    }
    frames.extend_from_slice(&head[start..]);
    frames.extend_from_slice(data);
    packed.is_some()
}

/// A packet within a long-polling payload that is not copied.
struct SharedPacket {
    message: Outgoing,
    n: usize,
}

impl AsRef<[u8]> for SharedPacket {
    fn as_ref(&self) -> &[u8] {
        self.message.payload_packet(self.n)
    }
}

#[cfg(test)]
mod tests;
