//! A packet on its way out: encoded once, shared by all its recipients.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::websocket::deflate;
use crate::websocket::frame::{self, HEAD_ROOM, OpCode};

/// Stands between the packets of a long-polling payload.
pub(crate) const SEPARATOR: u8 = 0x1e;

/// What a waiting packet costs beside its bytes: the handle, and the share of its allocations.
const OVERHEAD: usize = 64;

/// One or more messages (a text and its attachments) that leave together.
///
/// Encoded once; a clone is a reference-counted handle of eight bytes.
#[derive(Clone)]
pub struct Outgoing(Arc<Encoded>);

struct Encoded {
    // Head room, then the text packet with its type digit; the WebSocket header is written right-aligned into the room.
    buffer: Vec<u8>,
    // Where the WebSocket frame of the text begins; the end of the buffer if there is no text.
    start: usize,
    has_text: bool,
    attachments: Box<[Attachment]>,
    wire_len: usize,
    // The same frames, compressed, if that is worth it; few clients ask for it.
    deflated: OnceLock<Option<Box<[u8]>>>,
    as_it_is: AtomicBool,
}

/// How frames are written to a client: compressed if they are no shorter than this, or never.
pub(crate) type Deflate = Option<usize>;

struct Attachment {
    head: [u8; HEAD_ROOM],
    head_start: u8,
    data: Bytes,
    // Long-polling alone needs it, and many servers never poll.
    base64: OnceLock<Box<str>>,
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
    /// `write` appends the text to a buffer that holds head room already, and changes nothing before it; it must write
    /// UTF-8. `capacity` is a guess of its length in bytes.
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

    /// Creates a packet that is no message: `packet` starts with its type digit.
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
        static PING: LazyLock<Outgoing> = LazyLock::new(|| Outgoing::packet("2"));
        PING.clone()
    }

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
            as_it_is: AtomicBool::new(false),
        }))
    }

    /// Asks that it, and every clone of it, be sent as it is, for payloads that are compressed already, or that hold a
    /// secret beside text that somebody else chose.
    ///
    /// It has no effect on what is being written already.
    #[must_use]
    pub fn uncompressed(self) -> Self {
        self.0.as_it_is.store(true, Ordering::Relaxed);
        self
    }

    /// Tells whether compressing it was not [ruled out](Self::uncompressed).
    pub(crate) fn may_be_compressed(&self) -> bool {
        !self.0.as_it_is.load(Ordering::Relaxed)
    }

    /// Returns its length as WebSocket frames.
    pub(crate) fn wire_len(&self, deflate: Deflate) -> usize {
        self.deflated(deflate).map_or(self.0.wire_len, <[u8]>::len)
    }

    /// Returns what it counts against the limits of an outbox, in bytes: 64 more than it has on a WebSocket.
    pub fn cost(&self) -> usize {
        self.0.wire_len + OVERHEAD
    }

    /// Hands the pieces of its WebSocket frames to `take`, without the first `skip` bytes, until `take` wants no more.
    pub(crate) fn pieces<'a>(
        &'a self,
        deflate: Deflate,
        mut skip: usize,
        mut take: impl FnMut(&'a [u8]) -> bool,
    ) -> bool {
        if let Some(frames) = self.deflated(deflate) {
            return skip >= frames.len() || take(&frames[skip..]);
        }
        let text = std::iter::once(&self.0.buffer[self.0.start..]);
        let attached = self.0.attachments.iter().flat_map(|each| [each.head(), &each.data[..]]);
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

    /// Returns its frames with compressed payloads, if that is wanted and worth it. The first recipient compresses for all.
    fn deflated(&self, deflate: Deflate) -> Option<&[u8]> {
        let threshold = deflate?;
        if self.0.wire_len < threshold {
            return None;
        }
        // Recipients of another engine, with another threshold, get what the first one found.
        let deflated = self.0.deflated.get_or_init(|| self.deflate(threshold));
        deflated.as_deref()
    }

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
        let attached: usize = self
            .0
            .attachments
            .iter()
            .map(|each| 2 + each.data.len().div_ceil(3) * 4)
            .sum();
        (text + attached).saturating_sub(usize::from(!self.0.has_text))
    }

    /// Returns how many packets it is within a long-polling payload.
    pub(crate) fn num_packets(&self) -> usize {
        usize::from(self.0.has_text) + self.0.attachments.len()
    }

    /// Appends it to a long-polling payload.
    pub(crate) fn write_payload(&self, payload: &mut Vec<u8>) {
        if self.0.has_text {
            separate(payload);
            payload.extend_from_slice(&self.0.buffer[HEAD_ROOM..]);
        }
        for attachment in &self.0.attachments {
            separate(payload);
            payload.push(b'b');
            payload.extend_from_slice(attachment.base64().as_bytes());
        }
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

impl Attachment {
    fn new(data: Bytes) -> Self {
        let (head, head_start) = frame::head(OpCode::Binary, data.len());
        Self {
            head,
            head_start,
            data,
            base64: OnceLock::new(),
        }
    }

    fn head(&self) -> &[u8] {
        &self.head[usize::from(self.head_start)..]
    }

    fn base64(&self) -> &str {
        self.base64.get_or_init(|| STANDARD.encode(&self.data).into_boxed_str())
    }
}

/// Appends a frame; tells whether compression made it shorter.
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

fn separate(payload: &mut Vec<u8>) {
    if !payload.is_empty() {
        payload.push(SEPARATOR);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(packet: &Outgoing, skip: usize) -> Vec<u8> {
        let mut wire = Vec::new();
        packet.pieces(None, skip, |piece| {
            wire.extend_from_slice(piece);
            true
        });
        wire
    }

    #[test]
    fn a_handle_is_one_word() {
        assert_eq!(size_of::<Outgoing>(), size_of::<usize>());
    }

    #[test]
    fn frames_of_text_and_attachments_are_encoded_once() {
        let packet = Outgoing::build(
            2,
            |text| text.extend_from_slice(b"hi"),
            &[Bytes::from_static(&[1, 2, 3, 4])],
        );
        let expected = [0x81, 3, b'4', b'h', b'i', 0x82, 4, 1, 2, 3, 4];
        assert_eq!(wire(&packet, 0), expected);
        assert_eq!(packet.wire_len(None), expected.len());
        for skip in 0..=expected.len() {
            assert_eq!(wire(&packet, skip), expected[skip..], "skip {skip}");
        }
    }

    #[test]
    fn every_length_gets_its_header() {
        for (length, head) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let packet = Outgoing::text(&"x".repeat(length - 1));
            let wire = wire(&packet, 0);
            assert_eq!(wire.len(), head + length);
            assert_eq!(wire[head], b'4');
        }
    }

    #[test]
    fn payloads_hold_base64_without_a_type_digit() {
        let mut payload = Vec::new();
        let both = Outgoing::build(
            2,
            |text| text.extend_from_slice(b"hi"),
            &[Bytes::from_static(&[1, 2, 3, 4])],
        );
        let binary = Outgoing::binary(Bytes::from_static(&[1, 2, 3, 4]));
        both.write_payload(&mut payload);
        assert_eq!(payload.len(), both.payload_len());
        binary.write_payload(&mut payload);
        assert_eq!(payload, b"4hi\x1ebAQIDBA==\x1ebAQIDBA==");
        assert_eq!(binary.payload_len(), "bAQIDBA==".len());
    }
}
