//! The GETs of long-polling: each waits for packets, and responds with them.

use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;

use crate::close::CloseReason;
use crate::config::Transport;
use crate::connection::driver::wake;
use crate::connection::polling::PollPhase;
use crate::connection::session::EngineSession;
use crate::connection::state::State;
use crate::http::body::ResponseBody;
use crate::http::coding::Coding;
use crate::http::payload::PollPayload;
use crate::http::refusal::Refusal;
use crate::http::response;
use crate::http::unsent::{InFlight, PIECE};

/// How long a GET waits that arrives between the probe of a WebSocket and the end of the upgrade.
const UPGRADE_WAIT: Duration = Duration::from_millis(100);

/// The payload that closes a session.
const CLOSE: &str = "1";
/// The payload that only ends a GET.
const NOOP: &str = "6";
/// The last payload of a session that the server closed.
const NOOP_AND_CLOSE: &str = "6\u{1e}1";

/// Responds to a GET with packets, as soon as there are any.
///
/// They are compressed with `coding`, if the client named one that it accepts.
pub(crate) async fn get(session: Arc<EngineSession>, coding: Option<Coding>) -> Response<ResponseBody> {
    let phase = match begin(&session) {
        Ok(phase) => phase,
        Err(response) => return *response,
    };
    let mut pending = Pending {
        session: &session,
        is_done: false,
    };
    let packets = std::future::poll_fn(|cx| poll_packets(&session, cx));
    let step = if phase == PollPhase::AfterProbe {
        match tokio::time::timeout(UPGRADE_WAIT, packets).await {
            Ok(step) => step,
            Err(_) => {
                end_with_noop(&session);
                std::future::poll_fn(|cx| poll_packets(&session, cx)).await
            }
        }
    } else {
        packets.await
    };
    let response = match step {
        Step::Respond(response) => response,
        Step::Send(payload) => encode(&session, payload, coding).await,
    };
    pending.is_done = true;
    response
}

/// How a GET that waited ends.
enum Step {
    /// With a response that holds no packet of the outbox.
    Respond(Response<ResponseBody>),
    /// With packets of the outbox.
    Send(Payload),
}

/// Packets that were taken from the outbox.
struct Payload {
    /// The encoded packets.
    packets: PollPayload,
    /// A packet in it may be compressed.
    compress: bool,
    /// Their cost, which counts for the session.
    in_flight: InFlight,
}

/// Compresses a payload that is long enough; returns the response.
async fn encode(session: &EngineSession, payload: Payload, coding: Option<Coding>) -> Response<ResponseBody> {
    let is_long = payload.packets.len() >= session.core.config.compression_threshold;
    let coding = coding.filter(|_| payload.compress && is_long);
    if let Some(coding) = coding
        && let Some(packed) = coding.compress(&payload.packets).await
    {
        let copied = packed.len();
        return response::packets(payload.in_flight, vec![packed.into()], copied, Some(coding));
    }
    let copied = payload.packets.copied();
    response::packets(payload.in_flight, payload.packets.into_segments(), copied, None)
}

/// Ends a GET that waits for an upgrade.
fn end_with_noop(session: &EngineSession) {
    let mut state = session.state();
    let polling = state.polling.as_mut();
    // The waker only schedules a task.
    wake(polling.and_then(|polling| polling.end_get_with_noop(PollPhase::AfterProbe)));
}

/// Makes a GET wait; returns its phase: an upgrade is likely to overtake it after its probe.
fn begin(session: &Arc<EngineSession>) -> Result<PollPhase, Box<Response<ResponseBody>>> {
    let mut state = session.state();
    if state.closed().is_some() {
        return Err(Box::new(Refusal::UnknownSid.response()));
    }
    let closing = state.lifecycle.closing();
    let Some(polling) = &mut state.polling else {
        return Err(Box::new(Refusal::BadRequest.response()));
    };
    if polling.get.is_some() {
        session.close_now(state, CloseReason::TransportError);
        return Err(Box::new(response::empty(400)));
    }
    if let (true, Some(reason)) = (polling.close_armed, closing) {
        session.close_now(state, reason);
        return Err(Box::new(response::payload(NOOP_AND_CLOSE)));
    }
    let phase = polling.begin_get();
    // A close packet may wait for this.
    wake(polling.post_waker.take());
    Ok(phase)
}

/// Ends the GET if there are packets, or the session closes; otherwise it waits.
fn poll_packets(session: &Arc<EngineSession>, cx: &mut Context<'_>) -> Poll<Step> {
    let mut state = session.state();
    if let Some(reason) = state.closed() {
        // A client that closed the session itself gets no close packet.
        let packet = if reason == CloseReason::TransportClose {
            NOOP
        } else {
            CLOSE
        };
        return Poll::Ready(Step::Respond(response::payload(packet)));
    }
    let is_empty = state.outbox.queue().is_empty();
    let Some(polling) = &mut state.polling else {
        return Poll::Ready(Step::Respond(Refusal::BadRequest.response()));
    };
    let get = polling.get.as_mut().expect("a GET waits until it is ended here");
    if is_empty && !get.noop {
        get.waker = Some(cx.waker().clone());
        return Poll::Pending;
    }
    polling.get = None;
    if is_empty {
        return Poll::Ready(Step::Respond(response::payload(NOOP)));
    }
    let payload = take_payload(session, &mut state);
    Poll::Ready(Step::Send(after_payload(session, state, payload)))
}

/// Brings a session that is closing one step further, once all its packets were fetched.
fn after_payload(session: &Arc<EngineSession>, mut state: MutexGuard<'_, State>, mut payload: Payload) -> Payload {
    let is_drained = state.outbox.queue().is_empty();
    let Some(reason) = state.lifecycle.closing() else {
        return payload;
    };
    if is_drained && reason == CloseReason::ServerShutdown {
        payload.packets.push_packet(CLOSE.as_bytes());
        session.close_now(state, reason);
    } else if let Some(polling) = &mut state.polling {
        polling.close_armed = is_drained;
    }
    payload
}

/// Takes as many packets as fit into one payload, one at least.
fn take_payload(session: &Arc<EngineSession>, state: &mut State) -> Payload {
    let core = &session.core;
    let max = core.config.max_payload;
    let mut max_packets = core.config.max_packets_per_polling_response;
    if state.lifecycle.closing() == Some(CloseReason::ServerShutdown) {
        // The close packet may follow.
        max_packets = max_packets.saturating_sub(1).max(1);
    }
    let (mut count, mut length, mut copied, mut packets) = (0, 0, 0, 0);
    for packet in state.outbox.queue() {
        let more = usize::from(count > 0) + packet.payload_len();
        packets += packet.num_packets();
        if count > 0 && (length + more > max || packets > max_packets) {
            break;
        }
        length += more;
        copied += if more <= PIECE { more } else { 0 };
        count += 1;
    }
    // With the close packet, which may follow.
    let mut packets = PollPayload::with_capacity(copied + 1 + CLOSE.len());
    let (mut cost, mut compress) = (0, false);
    state.outbox.take_first(count, |packet| {
        packets.push(&packet);
        cost += packet.cost();
        compress |= packet.may_be_compressed();
    });
    core.counters.messages_out.add(count);
    core.counters.bytes_out.add(packets.len());
    let in_flight = InFlight {
        session: session.clone(),
        cost,
    };
    Payload {
        packets,
        compress,
        in_flight,
    }
}

/// A GET that waits: the client has aborted it if it is dropped before it is done.
struct Pending<'a> {
    /// The session that the GET waits for.
    session: &'a Arc<EngineSession>,
    /// The response is complete.
    is_done: bool,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let state = self.session.state();
        if state.transport == Transport::Polling {
            self.session.close_now(state, CloseReason::TransportError);
        }
    }
}
