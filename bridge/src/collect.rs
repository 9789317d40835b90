//! The response of the bridge to the sender of an event, for all other fleets.
//!
//! Each fleet adds one share, or none if it has lost the event: the response is sent with what is there in time.

use std::sync::Arc;

use manager_api::HostId;
use manager_api::cluster::ResponsePart;
use manager_api::message::Emit;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::asked::{Asked, Share};
use crate::responses;
use crate::shared::Shared;

/// Returns whether anything is expected in return for an event.
pub(crate) fn expects(emit: &Emit) -> bool {
    emit.callback.is_some() || emit.report.is_some() || emit.receipt.is_some()
}

/// Responds for a bridge that has no recipients behind it: a standby, or one that must not forward the event.
pub(crate) fn respond_with_none(shared: &Shared, side: usize, origin: &HostId, emit: &Emit) {
    let side = &shared.sides[side];
    if let Some(report) = emit.report {
        side.respond(origin, report, responses::recipients(Vec::new(), 0), false);
    }
    if let Some(receipt) = emit.receipt {
        side.respond(origin, receipt, vec![ResponsePart::Count(0)], false);
    }
}

/// Begins to collect the responses of `count` other fleets to an event, and responds with all of them. `None` if too many
/// are collected already; the event is responded to then.
pub(crate) fn begin(
    shared: &Arc<Shared>,
    side: usize,
    origin: &HostId,
    emit: &Emit,
    count: usize,
) -> Option<Arc<Asked>> {
    let Some(permit) = shared.take_on() else {
        respond_with_none(shared, side, origin, emit);
        return None;
    };
    let options = &shared.options;
    // An event with a receipt alone does not say how long its sender waits: as long as for other requests.
    let usual = match emit.callback.is_some() || emit.report.is_some() {
        true => options.ack_time,
        false => options.request_time,
    };
    let time = emit
        .ack_timeout
        .unwrap_or(usual)
        .min(options.ack_time.saturating_mul(10));
    let now = Instant::now();
    let (shares, received) = mpsc::unbounded_channel();
    let asked = Arc::new(Asked {
        side,
        origin: origin.clone(),
        callback: emit.callback.clone(),
        report: emit.report,
        receipt: emit.receipt,
        until: now + time,
        share_by: now + time.mul_f64(0.75),
        shares,
        _permit: permit,
    });
    let collecting = Collecting {
        side,
        origin: origin.clone(),
        report: emit.report,
        receipt: emit.receipt,
        // Later than the parts, which may come at their last moment.
        until: now + time.mul_f64(0.8),
    };
    shared.spawn(collecting.run(shared.clone(), received, count));
    Some(asked)
}

/// The collection of the responses to one event.
struct Collecting {
    side: usize,
    origin: HostId,
    report: Option<u64>,
    receipt: Option<u64>,
    until: Instant,
}

impl Collecting {
    async fn run(self, shared: Arc<Shared>, mut received: mpsc::UnboundedReceiver<Share>, count: usize) {
        let mut all = Share::default();
        let max = shared.sides[self.side].requester.limits.max_sockets;
        for _ in 0..count {
            // Nothing more comes from a pair that has lost the event, or after the time.
            let Ok(Some(share)) = timeout_at(self.until, received.recv()).await else {
                break;
            };
            all.add_names(share.names, max);
            all.num_unnamed = all.num_unnamed.saturating_add(share.num_unnamed);
            all.num_handed = all.num_handed.saturating_add(share.num_handed);
            all.is_truncated |= share.is_truncated;
        }
        let side = &shared.sides[self.side];
        if let Some(report) = self.report {
            let parts = responses::recipients(all.names, all.num_unnamed);
            side.respond(&self.origin, report, parts, all.is_truncated);
        }
        if let Some(receipt) = self.receipt {
            side.respond(&self.origin, receipt, vec![ResponsePart::Count(all.num_handed)], false);
        }
    }
}
