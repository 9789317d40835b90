//! What a bridge tells about itself.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use manager_api::lock::Unpoisoned;
use tokio::time::Instant;

use crate::shared::{Pair, Role, Shared};
use crate::side::SideState;

/// What a bridge does at a moment, and its counters.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The name that it shares with those that stand in for it.
    pub name: String,
    /// Its own id, of this run.
    pub id: String,
    /// Whether it forwards.
    pub duty: BridgeDuty,
    /// Whether all sides, and the other bridges' channel, are connected, and it knows what was forwarded.
    pub is_ready: bool,
    /// Whether another bridge of this name has other sides, so that neither can stand in for the other.
    pub has_other_sides: bool,
    /// Other bridges of this name that were heard lately.
    pub others: u64,
    /// How often it has begun to forward.
    pub takeovers: u64,
    /// Requests, and events with acknowledgements, whose responses it did not carry, because too many were under way.
    pub refused_requests: u64,
    /// Its sides, in their order.
    pub sides: Vec<SideStatus>,
    /// All directions between two sides.
    pub pairs: Vec<PairStatus>,
}

/// What a bridge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BridgeDuty {
    /// It forwards.
    Active,
    /// It is to forward, and must not at this moment: it does not receive its own beats.
    Fenced,
    /// It watches, and is ready to take over.
    Standby,
}

impl BridgeDuty {
    /// Returns its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Fenced => "fenced",
            Self::Standby => "standby",
        }
    }
}

/// One side.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SideStatus {
    /// Its name.
    pub name: String,
    /// Whether its messages arrive.
    pub is_connected: bool,
    /// The latest failure of its connections, without secrets.
    pub last_error: Option<String>,
    /// Why the bridge does not receive all events that the servers of this side publish, and what is to be done about it.
    pub unheard: Option<String>,
    /// Whether no server was found, where servers can be counted.
    pub has_no_servers: bool,
    /// Messages received that are for clients or servers.
    pub received: u64,
    /// Those of them that a bridge has brought.
    pub marked: u64,
    /// Messages that cannot be read, and are not forwarded.
    pub undecodable: u64,
    /// Times when messages may have been missed.
    pub gaps: u64,
    /// Responses and acknowledgements that could not be published.
    pub responses_dropped: u64,
}

/// One direction between two sides.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PairStatus {
    /// Where messages come from.
    pub from: String,
    /// Where they are brought.
    pub to: String,
    /// Messages that the destination's broker has accepted.
    pub forwarded: u64,
    /// Messages of a namespace that does not pass.
    pub skipped_namespace: u64,
    /// Messages that the destination cannot carry.
    pub skipped_wire: u64,
    /// Messages of which the confirmation was lost; they are not repeated, and may have arrived.
    pub lost_unconfirmed: u64,
    /// Messages that the destination's broker has refused.
    pub lost_refused: u64,
    /// Messages that would have arrived after a later one of their sender.
    pub lost_order: u64,
    /// Messages of which this bridge did not know, when it took over, whether they were forwarded.
    pub lost_unsettled: u64,
    /// Messages that wait; of a standby, those of which it has not seen that they were forwarded.
    pub waiting: u64,
    /// Their bytes.
    pub waiting_bytes: u64,
    /// The age of the oldest of them.
    pub oldest: Duration,
    /// The time from arrival to confirmation of all forwarded messages together.
    pub delay: Duration,
    /// Whether the destination cannot be reached, or does not confirm what it receives. False on a standby, which
    /// publishes nothing.
    pub is_stalled: bool,
    /// Whether the source is not read, because too much waits.
    pub is_full: bool,
}

impl PairStatus {
    /// Returns how many messages were lost, or may have been.
    pub fn lost(&self) -> u64 {
        self.lost_unconfirmed + self.lost_refused + self.lost_order + self.lost_unsettled
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Status {
    pub(crate) fn of(shared: &Shared, has_control: bool) -> Self {
        let role = *shared.role.borrow();
        let duty = match role {
            Role::Standby => BridgeDuty::Standby,
            Role::Active { .. } if role.may_forward() => BridgeDuty::Active,
            Role::Active { .. } => BridgeDuty::Fenced,
        };
        let is_control_connected = !has_control || shared.counters.is_control_connected.load(Ordering::Relaxed);
        let is_prepared = match duty {
            BridgeDuty::Active => shared.is_healthy(),
            BridgeDuty::Fenced => false,
            BridgeDuty::Standby => shared.settled_for().is_some() && has_control,
        };
        Self {
            name: shared.name.clone(),
            id: shared.id.clone(),
            duty,
            is_ready: is_prepared && is_control_connected && !shared.disagrees(),
            has_other_sides: shared.disagrees(),
            others: read(&shared.counters.others),
            takeovers: read(&shared.counters.takeovers),
            refused_requests: read(&shared.counters.refused_requests),
            sides: shared.sides.iter().map(SideStatus::of).collect(),
            pairs: shared.pairs.iter().map(|pair| PairStatus::of(shared, pair)).collect(),
        }
    }
}

impl SideStatus {
    fn of(side: &SideState) -> Self {
        let counters = &side.counters;
        Self {
            name: side.name.clone(),
            is_connected: side.is_connected(),
            last_error: side.manager().health().last_error.map(|(_, text)| text),
            unheard: side.unheard.lock().unpoisoned().clone(),
            has_no_servers: side.has_no_servers.load(Ordering::Relaxed),
            received: read(&counters.received),
            marked: read(&counters.marked),
            undecodable: read(&counters.undecodable),
            gaps: read(&counters.gaps),
            responses_dropped: read(&counters.responses_dropped),
        }
    }
}

impl PairStatus {
    fn of(shared: &Shared, pair: &Pair) -> Self {
        let counters = &pair.counters;
        let pending = pair.pending.lock().unpoisoned();
        let now = Instant::now();
        Self {
            from: shared.sides[pair.from].name.clone(),
            to: shared.sides[pair.to].name.clone(),
            forwarded: read(&counters.forwarded),
            skipped_namespace: read(&counters.skipped_namespace),
            skipped_wire: read(&counters.skipped_wire),
            lost_unconfirmed: read(&counters.lost_unconfirmed),
            lost_refused: read(&counters.lost_refused),
            lost_order: read(&counters.lost_order),
            lost_unsettled: read(&counters.lost_unsettled),
            waiting: pending.len() as u64,
            waiting_bytes: pending.bytes() as u64,
            oldest: pending.oldest().map_or(Duration::ZERO, |oldest| now - oldest),
            delay: Duration::from_micros(read(&counters.delay_micros)),
            // A standby publishes nothing; when it last forwarded tells nothing about the destination now.
            is_stalled: shared.is_active() && counters.is_stalled.load(Ordering::Relaxed),
            is_full: counters.is_full.load(Ordering::Relaxed),
        }
    }
}
