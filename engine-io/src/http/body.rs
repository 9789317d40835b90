//! The body of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::http::unsent::PacketBody;
use crate::sent::SendError;

/// The body of every response of an [`Engine`](crate::Engine); its length is known.
///
/// The packets in the response to a poll count for the outbox of their session until they were
/// written, and come in pieces of 64 KiB at most if they are longer. If the session ends meanwhile,
/// the bytes that were not asked for yet are released, and an error takes their place.
#[derive(Debug, Default)]
pub struct ResponseBody(Content);

/// The content of a body.
#[derive(Debug)]
enum Content {
    /// Bytes that count for no session.
    Whole(Bytes),
    /// Packets that count for their session until they were written.
    Packets(PacketBody),
}

impl Default for Content {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl ResponseBody {
    /// Creates a body of these bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(Content::Whole(bytes.into()))
    }

    /// Creates a body of packets.
    pub(crate) fn packets(body: PacketBody) -> Self {
        Self(Content::Packets(body))
    }

    /// Returns how many bytes are left.
    fn len(&self) -> usize {
        match &self.0 {
            Content::Whole(bytes) => bytes.len(),
            Content::Packets(body) => body.left(),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = SendError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, SendError>>> {
        let next = match &mut self.0 {
            Content::Whole(bytes) if bytes.is_empty() => None,
            Content::Whole(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Packets(body) => ready!(body.poll_next(cx)),
        };
        Poll::Ready(next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.len() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len() as u64)
    }
}
