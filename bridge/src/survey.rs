//! The surveying task of a side: looks at intervals whether the bridge is in the right place there.
//!
//! What it finds is logged, and told by health and metrics: a side that is cut off or back; a fleet without servers, as it
//! seems with the wrong wire, channel or stream; servers that publish where no bridge receives it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::wire::Servers;
use manager_api::{Error, NamespaceName};
use tokio::time::Instant;

use crate::shared::Shared;
use crate::side::SideState;

/// Surveys a side; never completes.
pub(crate) async fn survey(shared: Arc<Shared>, side: usize) {
    let state = &shared.sides[side];
    let (mut was_connected, mut next_look, mut is_first) = (None, Instant::now(), true);
    loop {
        let is_connected = state.is_connected();
        note_connection(state, was_connected, is_connected);
        // At the start the side has a while.
        if was_connected.is_some() || is_connected {
            was_connected = Some(is_connected);
        }
        if is_connected && Instant::now() >= next_look {
            look(&shared, state, is_first).await;
            let interval = match is_first {
                // Other bridges are heard of by then, which are servers, too.
                true => shared.options.takeover,
                false => shared.options.survey,
            };
            next_look = Instant::now() + interval;
            is_first = false;
        }
        tokio::time::sleep(shared.options.beat).await;
    }
}

fn note_connection(state: &SideState, was_connected: Option<bool>, is_connected: bool) {
    let side = Escaped(&state.name);
    match (was_connected, is_connected) {
        (Some(true), false) => {
            let failure = state.manager().health().last_error.map(|(_, text)| text);
            let error = Escaped(failure.unwrap_or_default());
            quietly(|| tracing::warn!(%side, %error, "a side is not connected; its messages do not arrive"));
        }
        // As loud as its loss: else the last that is heard of it would be that.
        (Some(false), true) => quietly(|| tracing::warn!(%side, "a side is connected again")),
        _ => {}
    }
}

async fn look(shared: &Shared, state: &SideState, is_first: bool) {
    match state.messenger.find_unheard().await {
        Ok(found) => {
            found.iter().for_each(|why| note_unheard(state, why));
            *state.unheard.lock().unpoisoned() = found;
        }
        Err(error) => note_unseen(state, &error),
    }
    if is_first {
        return;
    }
    let Some(num_servers) = num_servers(state).await else {
        return;
    };
    let num_others = shared.counters.others.load(Ordering::Relaxed);
    let is_empty = num_servers <= usize::try_from(num_others).unwrap_or(usize::MAX);
    let was_empty = state.has_no_servers.swap(is_empty, Ordering::Relaxed);
    let side = Escaped(&state.name);
    match (was_empty, is_empty) {
        (false, true) => {
            let text = "no server of this side was found: see that its wire, channel, prefix and stream are those of the servers";
            quietly(|| tracing::warn!(%side, "{text}"));
        }
        (true, false) => quietly(|| tracing::warn!(%side, "servers of this side were found")),
        _ => {}
    }
}

/// Counts the other servers of a side, with other bridges; `None` where they cannot be counted.
async fn num_servers(state: &SideState) -> Option<usize> {
    let root = [NamespaceName::root()];
    let mut most = None;
    for namespace in state.namespaces().unwrap_or(&root) {
        let count = match state.messenger.servers(namespace).await.ok()? {
            Servers::Named(servers) => servers.len(),
            Servers::Counted(count) => count,
            // Servers of python-socketio do not announce themselves.
            Servers::Announced if state.has_silent_servers => return None,
            Servers::Announced => state.requester.peers.num_known(),
        };
        most = most.max(Some(count));
    }
    most
}

fn note_unheard(state: &SideState, why: &str) {
    static UNHEARD: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = UNHEARD.pass() {
        let (side, why) = (Escaped(&state.name), Escaped(why));
        quietly(|| tracing::error!(suppressed, %side, %why, "the bridge does not receive all events of a side"));
    }
}

fn note_unseen(state: &SideState, error: &Error) {
    static UNSEEN: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = UNSEEN.pass() {
        let (side, error) = (Escaped(&state.name), Escaped(error));
        let text = "the bridge cannot look whether it receives all events of a side";
        quietly(|| tracing::warn!(suppressed, %side, %error, "{text}"));
    }
}
