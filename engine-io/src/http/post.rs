//! The POSTs of long-polling: each brings packets, which the session handles in order.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response, header};
use http_body::Body;

use crate::close::CloseReason;
use crate::config::Transport;
use crate::connection::held::HeldBytes;
use crate::connection::inbound::{self, Received};
use crate::connection::polling::PostPhase;
use crate::connection::session::EngineSession;
use crate::error::BoxError;
use crate::http::body::ResponseBody;
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::outgoing::SEPARATOR;

/// How long a close packet waits for a GET that is on its way, on another connection.
const CLOSE_WAIT: Duration = Duration::from_millis(100);

/// Handles the packets of a POST; responds when the session has accepted all of them.
pub(crate) async fn post<B>(session: Arc<EngineSession>, headers: HeaderMap, body: B) -> Response<ResponseBody>
where
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    if let Err(response) = begin(&session, &headers) {
        return *response;
    }
    let mut working = Working {
        session: &session,
        is_done: false,
    };
    let announced = content_length(&headers);
    drop(headers);
    let max = session.core.config.max_payload;
    let mut held = HeldBytes::new(&session);
    let payload = if announced.is_some_and(|length| length > max as u64) {
        Err(Unread::TooLong)
    } else {
        let mut payload = Payload::new(max);
        let mut body = std::pin::pin!(body);
        std::future::poll_fn(|cx| {
            let read = payload.poll_read(&session, body.as_mut(), cx);
            if read.is_pending() && held.try_set(payload.capacity()).is_err() {
                session.core.note_inbound_shed();
                return Poll::Ready(Err(Unread::TooMuch));
            }
            read
        })
        .await
    };
    let response = match payload {
        Ok(payload) => {
            session.core.counters.bytes_in.add(payload.len());
            deliver(&session, &payload, &mut held).await;
            response::ok()
        }
        Err(Unread::TooLong) => response::empty(413),
        Err(Unread::TooMuch) => response::unavailable(),
        Err(Unread::Closed) => response::empty(400),
        Err(Unread::Broken) => return response::empty(400),
    };
    working.is_done = true;
    response
}

/// Starts a POST; a session accepts one at a time, of text.
fn begin(session: &Arc<EngineSession>, headers: &HeaderMap) -> Result<(), Box<Response<ResponseBody>>> {
    let mut state = session.state();
    if state.closed().is_some() {
        return Err(Box::new(Refusal::UnknownSid.response()));
    }
    let Some(polling) = &mut state.polling else {
        return Err(Box::new(Refusal::BadRequest.response()));
    };
    let binary = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/octet-stream");
    if polling.post != PostPhase::None || binary {
        session.close_now(state, CloseReason::TransportError);
        return Err(Box::new(response::empty(400)));
    }
    polling.post = PostPhase::Reading;
    Ok(())
}

/// Returns the length that the client announced.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The reason why a body was not read to its end.
enum Unread {
    /// It is longer than a payload may be.
    TooLong,
    /// What is read for all clients together is too much.
    TooMuch,
    /// The session closed, or moved to a WebSocket.
    Closed,
    /// The client aborted it.
    Broken,
}

/// A body on its way in; one that comes in one piece is not copied.
struct Payload {
    /// The bytes that it may have.
    max: usize,
    /// Its first piece, while there is no other.
    first: Bytes,
    /// All pieces, once there are several.
    rest: Vec<u8>,
}

impl Payload {
    /// Creates an empty payload.
    fn new(max: usize) -> Self {
        Self {
            max,
            first: Bytes::new(),
            rest: Vec::new(),
        }
    }

    /// Reads a body to its end, unless the session closes before.
    fn poll_read<B>(
        &mut self,
        session: &EngineSession,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Unread>>
    where
        B: Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        if is_over(session, cx) {
            return Poll::Ready(Err(Unread::Closed));
        }
        if is_refused(session) {
            return Poll::Ready(Err(Unread::TooMuch));
        }
        loop {
            let data = match ready!(body.as_mut().poll_frame(cx)) {
                None => return Poll::Ready(Ok(self.finish())),
                Some(Err(_)) => return Poll::Ready(Err(Unread::Broken)),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(mut data) = data else { continue };
            if self.first.len() + self.rest.len() + data.remaining() > self.max {
                return Poll::Ready(Err(Unread::TooLong));
            }
            self.push(&mut data);
        }
    }

    /// Returns how many bytes it holds in memory.
    fn capacity(&self) -> usize {
        self.first.len() + self.rest.capacity()
    }

    /// Appends a piece.
    fn push(&mut self, data: &mut impl Buf) {
        if self.first.is_empty() && self.rest.is_empty() {
            self.first = data.copy_to_bytes(data.remaining());
            return;
        }
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.first));
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            self.rest.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }

    /// Returns all pieces as one.
    fn finish(&mut self) -> Bytes {
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).into()
        }
    }
}

/// Registers to be woken when the session closes, moves to a WebSocket or accepts messages again;
/// tells whether it has closed, or moved.
fn is_over(session: &EngineSession, cx: &mut Context<'_>) -> bool {
    let mut state = session.state();
    let Some(polling) = &mut state.polling else {
        return true; // nothing wakes a POST any more
    };
    polling.post_waker = Some(cx.waker().clone());
    state.closed().is_some()
}

/// Returns whether the POST was refused: bodies of all clients together are too long.
fn is_refused(session: &EngineSession) -> bool {
    let state = session.state();
    state
        .polling
        .as_ref()
        .is_some_and(|polling| polling.post == PostPhase::Refused)
}

/// Notes that the body was read, so that the POST is not refused any more.
fn begin_handling(session: &EngineSession) {
    if let Some(polling) = &mut session.state().polling {
        polling.post = PostPhase::Handling;
    }
}

/// Passes the packets of a payload on, as fast as the session accepts them; the payload counts as
/// held while they wait.
async fn deliver(session: &Arc<EngineSession>, payload: &[u8], held: &mut HeldBytes) {
    begin_handling(session);
    let Ok(text) = simdutf8::basic::from_utf8(payload) else {
        return session.fail(CloseReason::ParseError);
    };
    let max = session.core.config.max_packets_per_payload;
    if memchr::memchr_iter(SEPARATOR, payload).take(max).count() >= max {
        return session.fail(CloseReason::ParseError);
    }
    let mut packets = text.split(char::from(SEPARATOR)).peekable();
    let mut messages = 0;
    let result = std::future::poll_fn(|cx| {
        while packets.peek().is_some() {
            if poll_input_ready(session, cx).is_pending() {
                // Where it is too much, the session is closed, which ends the wait.
                let _ = held.set(payload.len());
                return Poll::Pending;
            }
            match receive(session, packets.next().expect("seen")) {
                Ok(received) => messages += usize::from(matches!(received, Received::Message { .. })),
                Err(reason) => return Poll::Ready(Err(reason)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await;
    session.core.counters.messages_in.add(messages);
    match result {
        Ok(()) => session.drive_here(),
        Err(reason) => {
            if reason == CloseReason::TransportClose {
                await_poll(session).await;
            }
            session.fail(reason);
        }
    }
}

/// Waits a moment for the GET that clients send together with their close packet, so that it gets a
/// response, too.
async fn await_poll(session: &Arc<EngineSession>) {
    let polled = std::future::poll_fn(|cx| {
        let is_over = is_over(session, cx);
        let state = session.state();
        let has_get = state.polling.as_ref().is_none_or(|polling| polling.get.is_some());
        if is_over || has_get {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let _ = tokio::time::timeout(CLOSE_WAIT, polled).await;
}

/// Handles one packet.
fn receive(session: &Arc<EngineSession>, packet: &str) -> Result<Received, CloseReason> {
    let open = {
        let mut state = session.state();
        session.got_packet(&mut state);
        state.is_open()
    };
    inbound::text(session, packet, open)
}

/// Ready when the session accepts more messages, or is closed; or when it moved to a WebSocket,
/// because the rest of this POST comes before all that the WebSocket brings.
fn poll_input_ready(session: &Arc<EngineSession>, cx: &mut Context<'_>) -> Poll<()> {
    if !pause_if_full(session) {
        return Poll::Ready(());
    }
    if is_over(session, cx) {
        return Poll::Ready(());
    }
    // The task that does the work of the session wakes this one.
    session.drive_here();
    if pause_if_full(session) {
        Poll::Pending
    } else {
        Poll::Ready(())
    }
}

/// Pauses reading while the session accepts no more messages, or too many packets wait for its
/// client; returns whether it does.
fn pause_if_full(session: &Arc<EngineSession>) -> bool {
    let input_full = session.is_input_full();
    let mut state = session.state();
    if state.polling.is_none() {
        return false; // the WebSocket reads now
    }
    let is_over_limit = state.outbox.exceeds_soft(&session.core.limits.outbox);
    let pause = (input_full || is_over_limit) && state.is_open();
    session.pause_reading(&mut state, pause);
    pause
}

/// A POST whose future is dropped, or whose body breaks off, was aborted by the client.
struct Working<'a> {
    /// The session that the POST belongs to.
    session: &'a Arc<EngineSession>,
    /// The response is complete.
    is_done: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut state = self.session.state();
        if let Some(polling) = &mut state.polling {
            polling.end_post();
        }
        if !self.is_done && state.transport == Transport::Polling {
            self.session.close_now(state, CloseReason::TransportError);
        }
    }
}
