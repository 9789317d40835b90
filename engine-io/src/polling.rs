//! Long-polling: GETs that wait, and POSTs.

use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;

use crate::answer::{self, Refusal};
use crate::coding::Coding;
use crate::outgoing::SEPARATOR;
use crate::shared::{Shared, wake};
use crate::state::{Get, Lifecycle, PollPhase, State, Upgrade};
use crate::unsent::InFlight;
use crate::{CloseReason, ResponseBody, Transport};

/// How long a GET is held that arrives between the probe of a WebSocket and the end of the upgrade.
const UPGRADE_HOLD: Duration = Duration::from_millis(100);

const CLOSE: &str = "1";
const NOOP: &str = "6";

/// Answers a GET with packets, as soon as there are any.
///
/// They are compressed with `coding`, if the client named one that it takes.
pub(crate) async fn get(shared: Arc<Shared>, coding: Option<Coding>) -> Response<ResponseBody> {
    let phase = match begin(&shared) {
        Ok(phase) => phase,
        Err(answer) => return *answer,
    };
    let mut waiting = Waiting {
        shared: &shared,
        done: false,
    };
    let packets = std::future::poll_fn(|cx| poll_packets(&shared, cx));
    let found = if phase == PollPhase::AfterProbe {
        match tokio::time::timeout(UPGRADE_HOLD, packets).await {
            Ok(found) => found,
            Err(_) => {
                end_with_noop(&mut shared.state(), PollPhase::AfterProbe);
                std::future::poll_fn(|cx| poll_packets(&shared, cx)).await
            }
        }
    } else {
        packets.await
    };
    let answer = match found {
        Step::Respond(answer) => answer,
        Step::Send(payload) => encode(&shared, payload, coding).await,
    };
    waiting.done = true;
    answer
}

/// What a GET that waited is answered with.
enum Step {
    Respond(Response<ResponseBody>),
    Send(Payload),
}

struct Payload {
    bytes: Vec<u8>,
    /// A packet in it may be compressed.
    compress: bool,
    in_flight: InFlight,
}

async fn encode(shared: &Shared, payload: Payload, coding: Option<Coding>) -> Response<ResponseBody> {
    let long = payload.bytes.len() >= shared.engine.config.compression_threshold;
    let coding = coding.filter(|_| payload.compress && long);
    if let Some(coding) = coding
        && let Some(packed) = coding.compress(&payload.bytes).await
    {
        return answer::packets(payload.in_flight, packed, Some(coding));
    }
    answer::packets(payload.in_flight, payload.bytes, None)
}

/// Ends the GET that waits, if it arrived in that phase, so that an upgrade need not wait for it.
pub(crate) fn end_with_noop(state: &mut State, phase: PollPhase) {
    let get = state.polling.as_mut().and_then(|polling| polling.get.as_mut());
    let Some(get) = get.filter(|get| get.phase == phase) else {
        return;
    };
    get.noop = true;
    // The waker only schedules a task.
    wake(get.waker.take());
}

/// Lets a GET wait; tells whether an upgrade is likely to overtake it, which is so after its probe.
fn begin(shared: &Arc<Shared>) -> Result<PollPhase, Box<Response<ResponseBody>>> {
    let mut state = shared.state();
    if state.closed().is_some() {
        return Err(Box::new(Refusal::UnknownSid.answer()));
    }
    let closing = match state.lifecycle {
        Lifecycle::Closing { reason, .. } => Some(reason),
        _ => None,
    };
    let Some(polling) = &mut state.polling else {
        return Err(Box::new(Refusal::BadRequest.answer()));
    };
    if polling.get.is_some() {
        shared.close_now(state, CloseReason::TransportError);
        return Err(Box::new(answer::empty(400)));
    }
    if let (true, Some(reason)) = (polling.close_armed, closing) {
        shared.close_now(state, reason);
        return Err(Box::new(answer::payload("6\u{1e}1")));
    }
    let phase = match polling.upgrade {
        Upgrade::Probed => PollPhase::AfterProbe,
        Upgrade::None | Upgrade::Opened => PollPhase::BeforeProbe,
    };
    polling.get = Some(Get {
        waker: None,
        noop: false,
        phase,
    });
    // A close packet may wait for this.
    wake(polling.post_waker.take());
    Ok(phase)
}

fn poll_packets(shared: &Arc<Shared>, cx: &mut Context<'_>) -> Poll<Step> {
    let mut state = shared.state();
    if let Some(reason) = state.closed() {
        // A client that closed the session itself is not told of it.
        let packet = if reason == CloseReason::TransportClose {
            NOOP
        } else {
            CLOSE
        };
        return Poll::Ready(Step::Respond(answer::payload(packet)));
    }
    let empty = state.outbox.queue.is_empty();
    let Some(polling) = &mut state.polling else {
        return Poll::Ready(Step::Respond(Refusal::BadRequest.answer()));
    };
    let get = polling.get.as_mut().expect("a GET waits until it is answered here");
    if empty && !get.noop {
        get.waker = Some(cx.waker().clone());
        return Poll::Pending;
    }
    polling.get = None;
    if empty {
        return Poll::Ready(Step::Respond(answer::payload(NOOP)));
    }
    let payload = take_payload(shared, &mut state);
    Poll::Ready(Step::Send(after_payload(shared, state, payload)))
}

/// Brings a session that is closing one step further, once all it had was fetched.
fn after_payload(shared: &Arc<Shared>, mut state: MutexGuard<'_, State>, mut payload: Payload) -> Payload {
    let drained = state.outbox.queue.is_empty();
    let Lifecycle::Closing { reason, .. } = state.lifecycle else {
        return payload;
    };
    if drained && reason == CloseReason::ServerShutdown {
        payload.bytes.extend_from_slice(&[SEPARATOR, b'1']);
        shared.close_now(state, reason);
    } else if let Some(polling) = &mut state.polling {
        polling.close_armed = drained;
    }
    payload
}

/// Takes as many packets as fit into one payload, one at least.
fn take_payload(shared: &Arc<Shared>, state: &mut State) -> Payload {
    let max = shared.engine.config.max_payload;
    let mut max_packets = shared.engine.config.max_packets_per_polling_response;
    if matches!(
        state.lifecycle,
        Lifecycle::Closing {
            reason: CloseReason::ServerShutdown,
            ..
        }
    ) {
        // The close packet may follow.
        max_packets = max_packets.saturating_sub(1).max(1);
    }
    let (mut count, mut length, mut packets) = (0, 0, 0);
    for packet in &state.outbox.queue {
        let more = usize::from(count > 0) + packet.payload_len();
        packets += packet.num_packets();
        if count > 0 && (length + more > max || packets > max_packets) {
            break;
        }
        length += more;
        count += 1;
    }
    let mut payload = Vec::with_capacity(length + 2);
    let (mut cost, mut compress) = (0, false);
    for packet in state.outbox.queue.drain(..count) {
        packet.write_payload(&mut payload);
        cost += packet.cost();
        compress |= packet.may_be_compressed();
    }
    crate::state::trim(&mut state.outbox.queue);
    shared.engine.counters.messages_out.add(count);
    shared.engine.counters.bytes_out.add(payload.len());
    Payload {
        bytes: payload,
        compress,
        in_flight: InFlight {
            shared: shared.clone(),
            cost,
        },
    }
}

/// A GET whose future is dropped before it was answered was aborted by the client.
struct Waiting<'a> {
    shared: &'a Arc<Shared>,
    done: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let state = self.shared.state();
        if state.transport == Transport::Polling {
            self.shared.close_now(state, CloseReason::TransportError);
        }
    }
}
