//! The receiving task of a side: what its processes send is admitted for the other sides, and responded to.
//!
//! It waits where too much waits for another side, so that the manager's own limits bound what arrives meanwhile.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::{Envelope, Mark, Message};
use manager_api::wire::python::Sketch;
use manager_api::wire::{Arrival, Arrivals};
use manager_api::{Backoff, Error, ErrorKind, HostId};
use tokio::time::Instant;

use crate::asked::Asked;
use crate::collect;
use crate::counters::count;
use crate::item::{Item, namespace_of};
use crate::shared::{Pair, Shared};
use crate::side::of_side;
use crate::{fingerprint, requests};

/// The waits between attempts to subscribe.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The time in which it is found out whether another bridge has received what this one has missed, in beats.
const BEATS_TO_RESIGN: u32 = 4;
/// The delay of a presence message: one then serves all that request it within this time.
const PRESENCE_DELAY: Duration = Duration::from_millis(50);

/// Receives until the manager of the side is closed, or refuses the first subscription.
pub(crate) async fn listen(shared: Arc<Shared>, side: usize) {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let state = &shared.sides[side];
    let mut is_first = true;
    loop {
        match state.messenger.receive().await {
            Ok(arrivals) => {
                let since = Instant::now();
                subscribed(&shared, side, is_first);
                is_first = false;
                receive_all(&shared, side, arrivals).await;
                state.is_subscribed.store(false, Ordering::Relaxed);
                if since.elapsed() > LONGEST_WAIT {
                    backoff.reset();
                }
            }
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) if is_first && (error.is_refusal() || error.kind() == ErrorKind::Config) => {
                return shared.fail(of_side(&state.name, &error));
            }
            Err(error) => {
                let (side, error) = (Escaped(&state.name), Escaped(error));
                quietly(|| tracing::warn!(?side, ?error, "the bridge cannot subscribe to a side; trying again"));
            }
        }
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

fn subscribed(shared: &Shared, side: usize, is_first: bool) {
    let state = &shared.sides[side];
    match is_first {
        true => shared.unsettle(side),
        false => note_gap(shared, side, "the subscription had ended and was replaced"),
    }
    let num_connections = state.manager().health().num_listening;
    state.num_connections.store(num_connections, Ordering::Relaxed);
    state.is_subscribed.store(true, Ordering::Relaxed);
    state.post(state.host_id.clone(), Message::Hello);
    state
        .requester
        .peers
        .start_discovery(state.requester.limits.presence_wait);
    shared.condition_changed.notify_one();
}

/// Tells the presence of the bridge when a process of a side requests that, and after gaps, in which such requests may have
/// been missed; never completes.
pub(crate) async fn confirm_presence(shared: Arc<Shared>, side: usize) {
    let state = &shared.sides[side];
    loop {
        let message = tokio::select! {
            () = state.presence_requested.notified() => Message::Present,
            () = state.had_gap.notified() => Message::Hello,
        };
        tokio::time::sleep(PRESENCE_DELAY).await;
        state.post(state.host_id.clone(), message);
    }
}

async fn receive_all(shared: &Arc<Shared>, side: usize, mut arrivals: Arrivals) {
    while let Some(arrival) = arrivals.next().await {
        match arrival {
            Arrival::Message(envelope) => receive(shared, side, envelope).await,
            Arrival::Own { .. } => {}
            Arrival::Undecodable { reason, message } => {
                static UNDECODABLE: LimitedLog = LimitedLog::new();
                let state = &shared.sides[side];
                count(&state.counters.undecodable);
                if let Some(suppressed) = UNDECODABLE.pass() {
                    let (side, reason) = (Escaped(&state.name), Escaped(reason));
                    let message = Escaped(Sketch::of(&message));
                    let text = "the bridge does not forward a message that it cannot read";
                    quietly(|| tracing::warn!(suppressed, ?side, ?reason, %message, "{text}"));
                }
            }
            Arrival::Gap { reason } => note_gap(shared, side, &reason),
        }
    }
}

/// Counts and logs that messages of a side may have been missed.
fn note_gap(shared: &Shared, side: usize, reason: &str) {
    static GAP: LimitedLog = LimitedLog::new();
    let state = &shared.sides[side];
    count(&state.counters.gaps);
    // First: what arrives behind the gap is not to overtake what only another bridge has received.
    if shared.counters.others.load(Ordering::Relaxed) > 0 {
        *state.held_until.lock().unpoisoned() = Some(Instant::now() + BEATS_TO_RESIGN * shared.options.beat);
    }
    shared.unsettle(side);
    state.had_gap.notify_one();
    if let Some(suppressed) = GAP.pass() {
        let (side, reason) = (Escaped(&state.name), Escaped(reason));
        let text = "messages of a side may have been missed; another bridge that has them forwards them";
        quietly(|| tracing::warn!(suppressed, ?side, ?reason, "{text}"));
    }
}

async fn receive(shared: &Arc<Shared>, side: usize, envelope: Envelope) {
    let state = &shared.sides[side];
    let is_own = envelope.host_id.as_ref() == Some(&state.host_id);
    let Envelope { host_id, message, mark } = envelope;
    match message {
        Message::Callback(callback) if is_own => return state.acks.acknowledge_remote(callback),
        Message::Callback(_) => return,
        _ if is_own => return,
        _ => {}
    }
    if let Some(host) = &host_id
        && let Some(other) = shared.sides.iter().find(|other| other.host_id == *host)
    {
        let text = format!(
            "sides {:?} and {:?} are the same fleet: give them different channels or brokers",
            state.name, other.name
        );
        return shared.fail(Error::new(ErrorKind::Config, text));
    }
    let Some((host_id, message)) = state.requester.receive(host_id, message) else {
        return;
    };
    match (host_id, message) {
        (Some(host), Message::Hello) => {
            state.requester.peers.record(&host);
            state.presence_requested.notify_one();
        }
        (None, Message::Hello) => {}
        (_, Message::Seek) => state.presence_requested.notify_one(),
        _ if mark.is_some_and(|mark| state.probes.see(mark)) => {}
        (host_id, message) => {
            count(&state.counters.received);
            match mark {
                Some(mark) => receive_marked(shared, side, (host_id, message), mark),
                None => admit(shared, side, Envelope::new(host_id, message)).await,
            }
        }
    }
}

/// Handles a message that a bridge has brought to this side: it is not forwarded, and does not wait any more.
fn receive_marked(shared: &Arc<Shared>, side: usize, (origin, message): (Option<HostId>, Message), mark: Mark) {
    count(&shared.sides[side].counters.marked);
    match (origin, message) {
        (Some(origin), Message::Request(request)) if request.id.is_some() => {
            return requests::handle(shared, side, origin, request, None);
        }
        (Some(origin), Message::Emit(emit)) if collect::expects(&emit) => {
            collect::respond_with_none(shared, side, &origin, &emit);
        }
        _ => {}
    }
    let now = Instant::now();
    for pair in shared.pairs_to(side) {
        pair.pending.lock().unpoisoned().see(mark, now);
        pair.has_room.notify_waiters();
    }
}

/// Admits a message of this side for the others.
async fn admit(shared: &Arc<Shared>, side: usize, mut envelope: Envelope) {
    let Some(namespace) = namespace_of(&envelope.message) else {
        return;
    };
    let name = &shared.sides[side].name;
    let (mark, size) = fingerprint::of(&shared.name, name, &mut envelope);
    let Envelope { host_id, message, .. } = envelope;
    let (host_id, message) = match (host_id, message) {
        (Some(origin), Message::Request(request)) if request.id.is_some() => {
            return requests::handle(shared, side, origin, request, Some(mark));
        }
        other => other,
    };
    let (passing, stopped): (Vec<_>, Vec<_>) = shared
        .pairs_from(side)
        .partition(|pair| shared.passes(pair, &namespace));
    for pair in stopped {
        count(&pair.counters.skipped_namespace);
    }
    let (message, asked) = expected(shared, side, (host_id.as_ref(), message), passing.len());
    let item = Arc::new(Item {
        origin: host_id,
        message,
        mark,
        size,
        asked,
    });
    for pair in passing {
        wait_for_room(shared, pair, &item).await;
    }
}

/// Takes from an event what its sender expects in return, and begins to collect it if this bridge forwards the event.
fn expected(
    shared: &Arc<Shared>,
    side: usize,
    (origin, message): (Option<&HostId>, Message),
    num_pairs: usize,
) -> (Message, Option<Arc<Asked>>) {
    let mut emit = match message {
        Message::Emit(emit) if collect::expects(&emit) => emit,
        other => return (other, None),
    };
    let asked = match origin {
        None => None,
        Some(origin) if num_pairs > 0 && shared.may_forward() => collect::begin(shared, side, origin, &emit, num_pairs),
        // The active bridge collects it, and the sender waits for every server.
        Some(origin) => {
            collect::respond_with_none(shared, side, origin, &emit);
            None
        }
    };
    (emit.callback, emit.report, emit.receipt, emit.ack_timeout) = (None, None, None, None);
    (Message::Emit(emit), asked)
}

/// Adds a message to those that wait, once there is room for it. A standby does not wait: the active bridge has it.
async fn wait_for_room(shared: &Shared, pair: &Pair, item: &Arc<Item>) {
    let max = shared.options.max_waiting_bytes;
    loop {
        let mut has_room = pin!(pair.has_room.notified());
        has_room.as_mut().enable();
        let mut role = shared.role.subscribe();
        if try_admit(shared, pair, item, max) {
            break;
        }
        pair.counters.is_full.store(true, Ordering::Relaxed);
        tokio::select! {
            () = has_room => {}
            // The sender lives in `shared`.
            _ = role.changed() => {}
        }
    }
    pair.counters.is_full.store(false, Ordering::Relaxed);
    pair.has_more.notify_one();
}

fn try_admit(shared: &Shared, pair: &Pair, item: &Arc<Item>, max: usize) -> bool {
    let is_active = shared.is_active();
    let mut pending = pair.pending.lock().unpoisoned();
    if is_active && !pending.fits(item.size, max) {
        return false;
    }
    pending.arrive(item, Instant::now());
    if !is_active {
        pending.shed(max);
    }
    true
}
