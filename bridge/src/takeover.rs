//! The beginning of a turn: what a bridge makes sure of before it forwards.
//!
//! What the former bridge has published, this one knows by the marks that it receives on the other side. It may be told that
//! it may begin before they arrive, because that comes over another broker. So it first publishes a probe on each side, an
//! event with a mark for a room without clients, and forwards nothing there before it has received that back: by then it
//! has received what was published before. Where a broker keeps no order between publishers, as Kafka with several
//! partitions, or a Redis Cluster, that is likely, and not certain.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use manager_api::NamespaceName;
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::message::Mark;
use tokio::time::{Instant, timeout};

use crate::counters::count;
use crate::shared::Shared;

/// How long a probe that was published may take to return before it is published again.
const RETURNS_WITHIN: Duration = Duration::from_secs(2);

/// Begins to forward with what waits; counts and logs what this bridge does not know about.
pub(crate) fn take_over(shared: &Shared) {
    let now = Instant::now();
    let mut unknown = 0;
    for pair in &shared.pairs {
        let lost = pair.pending.lock().unpoisoned().take_over(now);
        pair.counters.lost_unsettled.fetch_add(lost, Ordering::Relaxed);
        pair.counters.is_stalled.store(false, Ordering::Relaxed);
        pair.counters.is_proven.store(false, Ordering::Relaxed);
        unknown += lost;
    }
    *shared.ailing_since.lock().unpoisoned() = None;
    for side in &shared.sides {
        *side.held_until.lock().unpoisoned() = None;
    }
    count(&shared.counters.takeovers);
    let bridge = Escaped(&shared.name);
    if unknown > 0 {
        let text = "the bridge forwards now; of messages from before it was settled it does not know whether they were forwarded";
        quietly(|| tracing::warn!(%bridge, unknown, "{text}"));
    } else {
        quietly(|| tracing::info!(%bridge, "the bridge forwards now"));
    }
}

/// Sends probes to all sides. Until they return, nothing is forwarded there.
pub(crate) fn probe(shared: &Arc<Shared>) {
    for (place, side) in shared.sides.iter().enumerate() {
        let root = [NamespaceName::root()];
        let namespaces = side.namespaces().unwrap_or(&root).iter();
        let probes: Vec<_> = namespaces
            .map(|namespace| (namespace.clone(), Mark::new(uuid::Uuid::new_v4().into_bytes())))
            .collect();
        side.probes.expect(probes.iter().map(|(_, mark)| *mark).collect());
        shared.spawn(until_back(shared.clone(), place, probes));
    }
}

/// Publishes the probes of a side until they return, or the turn is over.
async fn until_back(shared: Arc<Shared>, place: usize, probes: Vec<(NamespaceName, Mark)>) {
    let side = &shared.sides[place];
    let is_of_this_turn = |mark: &Mark| probes.iter().any(|(_, probe)| probe == mark);
    loop {
        join_all(
            probes
                .iter()
                .map(|(namespace, mark)| side.probes.publish(namespace, *mark)),
        )
        .await;
        let _ = timeout(RETURNS_WITHIN, side.probes.returned()).await;
        let is_waiting = side.probes.awaits(is_of_this_turn);
        if !is_waiting || !shared.is_active() {
            break;
        }
        for pair in shared.pairs_to(place) {
            pair.counters.is_stalled.store(true, Ordering::Relaxed);
        }
        shared.ail();
        note_late(&side.name);
    }
    shared.pairs_to(place).for_each(|pair| pair.has_more.notify_one());
}

fn note_late(side: &str) {
    static LATE: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = LATE.pass() {
        let side = Escaped(side);
        let text =
            "the bridge does not receive what it publishes on a side; what waits for it is not forwarded before that";
        quietly(|| tracing::warn!(suppressed, %side, "{text}"));
    }
}
