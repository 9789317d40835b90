//! The payload of a poll: packets and the separators between them.

use bytes::Bytes;

use crate::http::unsent::PIECE;
use crate::outgoing::{Outgoing, SEPARATOR};

/// The bytes of a response to a poll. Small packets are copied; a large one stays with its encoded form, which all its
/// recipients share, so that a broadcast to many polls is held once.
#[derive(Default)]
pub(crate) struct PollPayload {
    /// What precedes `tail`.
    segments: Vec<Bytes>,
    /// The bytes that were copied last.
    tail: Vec<u8>,
    /// The length of all of it.
    len: usize,
    /// The length of what was copied.
    copied: usize,
}

impl PollPayload {
    /// Creates an empty payload that copies so many bytes into its first segment without growing.
    pub(crate) fn with_capacity(copied: usize) -> Self {
        Self {
            tail: Vec::with_capacity(copied),
            ..Self::default()
        }
    }

    /// Appends the packets of a message.
    pub(crate) fn push(&mut self, message: &Outgoing) {
        for n in 0..message.num_packets() {
            let packet = message.payload_packet(n);
            if packet.len() <= PIECE {
                self.push_packet(packet);
                continue;
            }
            self.separate();
            self.flush();
            self.len += packet.len();
            self.segments.push(message.shared_payload_packet(n));
        }
    }

    /// Appends a packet by copying it.
    pub(crate) fn push_packet(&mut self, packet: &[u8]) {
        self.separate();
        self.tail.extend_from_slice(packet);
        self.len += packet.len();
        self.copied += packet.len();
    }

    /// Returns its length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Returns how many of its bytes are its own.
    pub(crate) fn copied(&self) -> usize {
        self.copied
    }

    /// Returns its bytes in their order.
    pub(crate) fn into_segments(mut self) -> Vec<Bytes> {
        self.flush();
        self.segments
    }

    /// Returns its bytes in their order and in chunks of this length at most, without taking them.
    pub(crate) fn chunks(&self, length: usize) -> Vec<&[u8]> {
        let before = self.segments.iter().map(|segment| &segment[..]);
        let all = before.chain(std::iter::once(&self.tail[..]));
        all.flat_map(|segment| segment.chunks(length)).collect()
    }

    /// Appends a separator, unless the next packet is the first.
    fn separate(&mut self) {
        if self.len > 0 {
            self.tail.push(SEPARATOR);
            self.len += 1;
            self.copied += 1;
        }
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.segments.push(std::mem::take(&mut self.tail).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_packets_are_copied_and_large_ones_shared() {
        let large = "x".repeat(PIECE);
        let mut payload = PollPayload::default();
        payload.push(&Outgoing::text("a"));
        payload.push(&Outgoing::build(
            9,
            |text| text.extend_from_slice(b"b"),
            &[Bytes::from_static(b"\x01")],
        ));
        payload.push(&Outgoing::text(&large));
        payload.push(&Outgoing::text("c"));
        payload.push_packet(b"1");
        let expected = format!("4a\x1e4b\x1ebAQ==\x1e4{large}\x1e4c\x1e1");
        assert_eq!(
            (payload.len(), payload.copied()),
            (expected.len(), expected.len() - large.len() - 1)
        );
        assert_eq!(payload.chunks(1_000).concat(), expected.as_bytes());
        let segments = payload.into_segments();
        assert_eq!(segments.len(), 3);
        assert_eq!(segments.concat(), expected.as_bytes());
    }

    #[test]
    fn a_payload_of_small_packets_is_allocated_once() {
        let mut payload = PollPayload::with_capacity(5_999);
        let begin = payload.tail.as_ptr();
        for _ in 0..1_000 {
            payload.push(&Outgoing::text("abcd"));
        }
        assert_eq!((payload.len(), payload.tail.capacity()), (5_999, 5_999));
        assert_eq!(payload.tail.as_ptr(), begin);
    }

    #[test]
    fn a_large_packet_that_comes_first_has_no_separator() {
        let mut payload = PollPayload::default();
        payload.push(&Outgoing::text(&"x".repeat(PIECE)));
        assert_eq!((payload.len(), payload.copied()), (PIECE + 1, 0));
        assert_eq!(payload.into_segments().len(), 1);
    }
}
