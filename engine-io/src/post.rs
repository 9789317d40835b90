//! Long-polling: what clients POST.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, Response, header};
use http_body::Body;

use crate::answer::{self, Refusal};
use crate::inbound::{self, Received};
use crate::outgoing::SEPARATOR;
use crate::shared::Shared;
use crate::state::Lifecycle;
use crate::{BoxError, CloseReason, ResponseBody, Transport};

/// How long a close packet waits for a GET that is on its way, on another connection.
const CLOSE_HOLD: Duration = Duration::from_millis(100);

/// Takes the packets of a POST.
pub(crate) async fn post<B>(shared: Arc<Shared>, headers: HeaderMap, body: B) -> Response<ResponseBody>
where
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    if let Err(answer) = begin(&shared, &headers) {
        return *answer;
    }
    let mut working = Working {
        shared: &shared,
        done: false,
    };
    let announced = content_length(&headers);
    drop(headers);
    let max = shared.engine.config.max_payload;
    let payload = if announced.is_some_and(|length| length > max as u64) {
        Err(Unread::TooLong)
    } else {
        let mut payload = Payload::new(max);
        let mut body = std::pin::pin!(body);
        std::future::poll_fn(|cx| payload.poll_read(&shared, body.as_mut(), cx)).await
    };
    let answer = match payload {
        Ok(payload) => {
            shared.engine.counters.bytes_in.add(payload.len());
            deliver(&shared, &payload).await;
            answer::ok()
        }
        Err(Unread::TooLong) => answer::empty(413),
        Err(Unread::Closed) => answer::empty(400),
        Err(Unread::Broken) => return answer::empty(400),
    };
    working.done = true;
    answer
}

fn begin(shared: &Arc<Shared>, headers: &HeaderMap) -> Result<(), Box<Response<ResponseBody>>> {
    let mut state = shared.state();
    if state.closed().is_some() {
        return Err(Box::new(Refusal::UnknownSid.answer()));
    }
    let Some(polling) = &mut state.polling else {
        return Err(Box::new(Refusal::BadRequest.answer()));
    };
    let binary = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/octet-stream");
    if polling.post || binary {
        shared.close_now(state, CloseReason::TransportError);
        return Err(Box::new(answer::empty(400)));
    }
    polling.post = true;
    Ok(())
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Why a body was not read to its end.
enum Unread {
    TooLong,
    Closed,
    Broken,
}

/// A body on its way in; one that comes in one piece is not copied.
struct Payload {
    max: usize,
    first: Bytes,
    rest: Vec<u8>,
}

impl Payload {
    fn new(max: usize) -> Self {
        Self {
            max,
            first: Bytes::new(),
            rest: Vec::new(),
        }
    }

    fn poll_read<B>(
        &mut self,
        shared: &Shared,
        mut body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Unread>>
    where
        B: Body,
        B::Data: Buf,
        B::Error: Into<BoxError>,
    {
        if wait(shared, cx) {
            return Poll::Ready(Err(Unread::Closed));
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

    fn finish(&mut self) -> Bytes {
        if self.rest.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.rest).into()
        }
    }
}

/// Asks to be woken when the session ends, moves to a WebSocket or has room; tells whether it has ended, or moved.
fn wait(shared: &Shared, cx: &mut Context<'_>) -> bool {
    let mut state = shared.state();
    let Some(polling) = &mut state.polling else {
        return true; // nobody would wake a POST any more
    };
    polling.post_waker = Some(cx.waker().clone());
    state.closed().is_some()
}

/// Passes the packets of a payload on, as fast as the session takes them.
async fn deliver(shared: &Arc<Shared>, payload: &[u8]) {
    let Ok(text) = simdutf8::basic::from_utf8(payload) else {
        return shared.fail(CloseReason::ParseError);
    };
    let max = shared.engine.config.max_packets_per_payload;
    if memchr::memchr_iter(SEPARATOR, payload).take(max).count() >= max {
        return shared.fail(CloseReason::ParseError);
    }
    let mut packets = text.split(char::from(SEPARATOR)).peekable();
    let mut messages = 0;
    let result = std::future::poll_fn(|cx| {
        while packets.peek().is_some() {
            ready!(poll_input_ready(shared, cx));
            match receive(shared, packets.next().expect("seen")) {
                Ok(received) => messages += usize::from(matches!(received, Received::Message { .. })),
                Err(reason) => return Poll::Ready(Err(reason)),
            }
        }
        Poll::Ready(Ok(()))
    })
    .await;
    shared.engine.counters.messages_in.add(messages);
    match result {
        Ok(()) => shared.drive_here(),
        Err(reason) => {
            if reason == CloseReason::TransportClose {
                await_poll(shared).await;
            }
            shared.fail(reason);
        }
    }
}

/// Waits a moment for the GET that clients send together with their close packet, for it is to be answered too.
async fn await_poll(shared: &Arc<Shared>) {
    let polled = std::future::poll_fn(|cx| {
        let closed = wait(shared, cx);
        let state = shared.state();
        let waits = state.polling.as_ref().is_none_or(|polling| polling.get.is_some());
        if closed || waits {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let _ = tokio::time::timeout(CLOSE_HOLD, polled).await;
}

fn receive(shared: &Arc<Shared>, packet: &str) -> Result<Received, CloseReason> {
    let open = {
        let mut state = shared.state();
        shared.got_packet(&mut state);
        state.lifecycle == Lifecycle::Open
    };
    inbound::text(shared, packet, open)
}

/// Ready when the session takes more messages, or is gone; or when it moved to a WebSocket, for what this POST still has
/// came before all that the WebSocket brings.
fn poll_input_ready(shared: &Arc<Shared>, cx: &mut Context<'_>) -> Poll<()> {
    let input_full = || matches!(shared.with_session(|session| session.is_input_full()), Ok(Some(true)));
    if !is_full(shared, input_full()) {
        return Poll::Ready(());
    }
    if wait(shared, cx) {
        return Poll::Ready(());
    }
    // Somebody must work it off; whoever does wakes us.
    shared.drive_here();
    if is_full(shared, input_full()) {
        Poll::Pending
    } else {
        Poll::Ready(())
    }
}

fn is_full(shared: &Shared, input_full: bool) -> bool {
    let mut state = shared.state();
    if state.polling.is_none() {
        return false; // reading is the business of the WebSocket now
    }
    let congested = state.outbox.cost > shared.engine.config.outbox_soft_limit;
    let full = (input_full || congested) && state.lifecycle == Lifecycle::Open;
    shared.pause_reading(&mut state, full);
    full
}

/// A POST whose future is dropped, or whose body breaks off, was aborted by the client.
struct Working<'a> {
    shared: &'a Arc<Shared>,
    done: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        shared_done(&mut state);
        if !self.done && state.transport == Transport::Polling {
            self.shared.close_now(state, CloseReason::TransportError);
        }
    }
}

fn shared_done(state: &mut crate::state::State) {
    if let Some(polling) = &mut state.polling {
        polling.post = false;
        polling.post_waker = None;
    }
}
