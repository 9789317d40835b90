//! A binary attachment, in each form that a transport needs.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::websocket::frame::{self, HEAD_ROOM, OpCode};

/// Bytes that follow a text, or are a message of their own.
pub(crate) struct Attachment {
    /// The header of its WebSocket frame, right-aligned.
    head: [u8; HEAD_ROOM],
    /// The beginning of the header.
    head_start: u8,
    /// The bytes themselves.
    pub(crate) data: Bytes,
    // A frame of text with its bytes as a packet in base64, which long-polling uses alone. Few
    // clients need it.
    base64: OnceLock<Box<[u8]>>,
}

impl Attachment {
    /// Creates an attachment; only the header of its frame is encoded now.
    pub(crate) fn new(data: Bytes) -> Self {
        let (head, head_start) = frame::head(OpCode::Binary, data.len());
        Self {
            head,
            head_start,
            data,
            base64: OnceLock::new(),
        }
    }

    /// Returns the header of its frame.
    pub(crate) fn head(&self) -> &[u8] {
        &self.head[usize::from(self.head_start)..]
    }

    /// Returns its length as a packet in base64, the `b` in front included.
    pub(crate) fn base64_packet_len(&self) -> usize {
        1 + self.data.len().div_ceil(3) * 4
    }

    /// Returns its length as a frame of text that holds it in base64.
    pub(crate) fn base64_frame_len(&self) -> usize {
        let length = self.base64_packet_len();
        let (_, start) = frame::head(OpCode::Text, length);
        HEAD_ROOM - usize::from(start) + length
    }

    /// Returns it as a packet in base64, for long-polling.
    pub(crate) fn base64_packet(&self) -> &[u8] {
        let frame = self.base64_frame();
        &frame[frame.len() - self.base64_packet_len()..]
    }

    /// Returns it as a frame of text that holds it in base64; the first caller encodes for all.
    pub(crate) fn base64_frame(&self) -> &[u8] {
        self.base64.get_or_init(|| {
            let (head, start) = frame::head(OpCode::Text, self.base64_packet_len());
            let mut frame = vec![0; self.base64_frame_len()];
            let (front, text) = frame.split_at_mut(HEAD_ROOM - usize::from(start));
            front.copy_from_slice(&head[usize::from(start)..]);
            text[0] = b'b';
            STANDARD
                .encode_slice(&self.data, &mut text[1..])
                .expect("there is room for all of it");
            frame.into_boxed_slice()
        })
    }
}
