//! The outbox of an engine session: packets that wait for the transport, and the limits they count
//! against.
//!
//! # Policy for slow clients
//!
//! | waiting bytes | effect |
//! |---|---|
//! | above 256 KiB, or the soft limit | volatile packets are dropped |
//! | above 256 KiB, or half the soft limit | senders are asked to slow down |
//! | above the soft limit | reading from the client pauses, and its grace begins |
//! | still above it after the grace | the client is disconnected |
//! | above the hard limit | the client is disconnected at once |
//!
//! The budget of the engine applies beside it: above it volatile packets of all clients are dropped,
//! and the clients for which most waits are disconnected.

use std::collections::VecDeque;

use crate::budget::Budget;
use crate::connection::clock::Clock;
use crate::outgoing::Outgoing;

/// Waiting bytes above which senders are asked to slow down, and volatile packets are dropped.
const LOW_WATER: usize = 256 * 1024;

/// A queue with more slots releases its memory when it is empty.
const SLOTS_KEPT: usize = 16;

/// The time of an event that has not happened.
const NEVER: u64 = u64::MAX;

/// How much may wait for one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutboxLimits {
    /// Bytes above which the grace begins.
    pub(crate) soft: usize,
    /// Bytes that a packet must not exceed.
    pub(crate) hard: usize,
    /// Milliseconds that a client may stay above the soft limit.
    pub(crate) grace: u64,
}

/// The packets of one session that wait for its transport.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Packets that the transport has not taken.
    queue: VecDeque<Outgoing>,
    /// The cost of all that was queued and is not yet written, including what the transport took
    /// over.
    cost: usize,
    /// When the cost last rose above the soft limit, if it is above.
    over_since: u64,
    /// The last write was incomplete.
    is_blocked: bool,
}

/// The limit that refused a packet; its client is to be disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// The outbox would exceed its hard limit.
    Hard,
    /// All outboxes together are far over their limit, and this one is not small.
    Total,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            cost: 0,
            over_since: NEVER,
            is_blocked: false,
        }
    }
}

impl Outbox {
    /// Returns the packets that were not handed to the transport.
    pub(crate) fn queue(&self) -> &VecDeque<Outgoing> {
        &self.queue
    }

    /// Returns what waits to be written, in bytes.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// Notes whether the last write was incomplete, so that volatile packets are dropped.
    pub(crate) fn set_blocked(&mut self, is_blocked: bool) {
        self.is_blocked = is_blocked;
    }

    /// Checks that a packet of this cost can be queued. In a burst many packets are queued before the budget is
    /// enforced, so that one that is not small counts although the outbox is empty.
    ///
    /// `uncounted` of its bytes are not counted in the budget yet.
    pub(crate) fn check(
        &self,
        cost: usize,
        uncounted: usize,
        limits: &OutboxLimits,
        budget: &Budget,
    ) -> Result<(), Overflow> {
        if self.exceeds_hard(cost, limits) {
            return Err(Overflow::Hard);
        }
        if self.cost + cost > LOW_WATER && budget.is_far_over_with(uncounted) {
            return Err(Overflow::Total);
        }
        Ok(())
    }

    /// Returns whether one more packet of this cost would exceed the hard limit.
    pub(crate) fn exceeds_hard(&self, cost: usize, limits: &OutboxLimits) -> bool {
        self.cost + cost > limits.hard
    }

    /// Returns whether more waits than the soft limit allows.
    pub(crate) fn exceeds_soft(&self, limits: &OutboxLimits) -> bool {
        self.cost > limits.soft
    }

    /// Returns whether senders should slow down.
    pub(crate) fn is_congested(&self, limits: &OutboxLimits) -> bool {
        self.cost > LOW_WATER.min(limits.soft / 2)
    }

    /// Returns whether a volatile packet of this cost would be written soon: the last write was
    /// complete, and little waits. A packet larger than that is accepted where nothing waits.
    pub(crate) fn is_writable(&self, cost: usize, limits: &OutboxLimits) -> bool {
        !self.is_blocked && (self.cost == 0 || self.cost + cost <= LOW_WATER.min(limits.soft))
    }

    /// Queues a packet that no limit refuses.
    pub(crate) fn push(&mut self, packet: Outgoing) {
        self.cost += packet.cost();
        self.queue.push_back(packet);
    }

    /// Begins the grace if the cost has risen above the soft limit; returns the end of a grace that
    /// begins now.
    pub(crate) fn begin_grace(&mut self, limits: &OutboxLimits, clock: &Clock) -> Option<u64> {
        if !self.exceeds_soft(limits) || self.is_in_grace() {
            return None;
        }
        self.over_since = clock.now();
        Some(self.grace_ends(limits))
    }

    /// Returns whether the cost has been above the soft limit without a break.
    pub(crate) fn is_in_grace(&self) -> bool {
        self.over_since != NEVER
    }

    /// Returns when the cost has to be below the soft limit again.
    pub(crate) fn grace_ends(&self, limits: &OutboxLimits) -> u64 {
        self.over_since.saturating_add(limits.grace)
    }

    /// Moves what is queued to `taken`; the cost stays until it is [written](Self::written).
    pub(crate) fn take_into(&mut self, taken: &mut VecDeque<Outgoing>) {
        if taken.is_empty() {
            std::mem::swap(&mut self.queue, taken);
        } else {
            taken.append(&mut self.queue);
        }
        trim(&mut self.queue);
    }

    /// Takes the first `count` packets out, each handed to `take`; their cost stays until they are
    /// [written](Self::written).
    pub(crate) fn take_first(&mut self, count: usize, take: impl FnMut(Outgoing)) {
        self.queue.drain(..count).for_each(take);
        trim(&mut self.queue);
    }

    /// Takes packets of this cost off the count; the grace ends if that brings it down to the soft
    /// limit.
    pub(crate) fn written(&mut self, cost: usize, limits: &OutboxLimits) {
        self.cost -= cost;
        if !self.exceeds_soft(limits) {
            self.over_since = NEVER;
        }
    }

    /// Empties the outbox of a session that is closed; returns what was queued, to be dropped after
    /// the lock.
    pub(crate) fn clear(&mut self) -> VecDeque<Outgoing> {
        self.cost = 0;
        self.over_since = NEVER;
        std::mem::take(&mut self.queue)
    }
}

/// Releases the memory that a burst needed.
pub(crate) fn trim(queue: &mut VecDeque<Outgoing>) {
    if queue.is_empty() && queue.capacity() > SLOTS_KEPT {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits {
        soft: 1_000,
        hard: 10_000,
        grace: 15_000,
    };

    /// A packet that costs so much.
    fn packet(cost: usize) -> Outgoing {
        let length = (0..cost)
            .rev()
            .find(|length| Outgoing::text(&"x".repeat(*length)).cost() <= cost);
        let packet = Outgoing::text(&"x".repeat(length.expect("a packet costs more than its overhead")));
        assert_eq!(packet.cost(), cost);
        packet
    }

    fn filled(costs: &[usize]) -> Outbox {
        let mut outbox = Outbox::default();
        costs.iter().for_each(|cost| outbox.push(packet(*cost)));
        outbox
    }

    #[test]
    fn a_packet_over_the_hard_limit_is_an_overflow() {
        let budget = Budget::new(1_000_000);
        let outbox = filled(&[900]);
        assert_eq!(outbox.check(9_100, 0, &LIMITS, &budget), Ok(()));
        assert_eq!(outbox.check(9_101, 0, &LIMITS, &budget), Err(Overflow::Hard));
        assert!(!outbox.exceeds_hard(9_100, &LIMITS) && outbox.exceeds_hard(9_101, &LIMITS));
    }

    #[test]
    fn a_full_budget_stops_the_outboxes_that_are_not_small() {
        let limits = OutboxLimits {
            soft: LOW_WATER,
            hard: 10 * LOW_WATER,
            grace: 0,
        };
        let budget = Budget::new(1_000);
        let large = Outgoing::binary(vec![0; LOW_WATER].into());
        let (small, mut filled) = (filled(&[100]), Outbox::default());
        filled.push(large);
        assert_eq!(filled.check(1, 1, &limits, &budget), Ok(()));
        // The packet that exceeds the budget, and one that others have brought there.
        assert_eq!(small.check(LOW_WATER, 2_000, &limits, &budget), Err(Overflow::Total));
        assert_eq!(small.check(LOW_WATER, 0, &limits, &budget), Ok(()));
        let _charge = budget.charge(2_000);
        assert_eq!(filled.check(1, 1, &limits, &budget), Err(Overflow::Total));
        assert_eq!(small.check(LOW_WATER, 0, &limits, &budget), Err(Overflow::Total));
        assert_eq!(small.check(1, 1, &limits, &budget), Ok(()));
    }

    #[test]
    fn volatile_packets_are_the_first_to_go() {
        let budget = Budget::new(1_000_000);
        let mut outbox = filled(&[700]);
        assert!(outbox.is_writable(300, &LIMITS));
        assert!(!outbox.is_writable(301, &LIMITS));
        assert_eq!(outbox.check(301, 0, &LIMITS, &budget), Ok(()), "others are queued");
        outbox.set_blocked(true);
        assert!(!outbox.is_writable(1, &LIMITS));
        assert_eq!(outbox.check(1, 0, &LIMITS, &budget), Ok(()));
    }

    #[test]
    fn a_large_volatile_packet_is_accepted_where_nothing_waits() {
        assert!(Outbox::default().is_writable(5_000, &LIMITS));
        assert!(!filled(&[100]).is_writable(5_000, &LIMITS));
    }

    #[test]
    fn senders_slow_down_at_half_the_soft_limit() {
        assert!(!filled(&[500]).is_congested(&LIMITS));
        assert!(filled(&[501]).is_congested(&LIMITS));
    }

    #[tokio::test(start_paused = true)]
    async fn the_grace_begins_above_the_soft_limit_and_ends_below_it() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut outbox = filled(&[1_000]);
        assert_eq!(outbox.begin_grace(&LIMITS, &clock), None);
        outbox.push(packet(100));
        assert_eq!(outbox.begin_grace(&LIMITS, &clock), Some(16_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        outbox.push(packet(100));
        assert_eq!(outbox.begin_grace(&LIMITS, &clock), None, "it has begun");
        outbox.written(100, &LIMITS);
        assert_eq!(outbox.grace_ends(&LIMITS), 16_000, "still above");
        outbox.written(100, &LIMITS);
        assert!(!outbox.is_in_grace());
        assert_eq!(outbox.grace_ends(&LIMITS), u64::MAX);
    }

    #[test]
    fn what_the_transport_took_counts_until_it_is_written() {
        let mut outbox = filled(&[100, 200]);
        let mut taken = VecDeque::new();
        outbox.take_into(&mut taken);
        outbox.push(packet(300));
        outbox.take_into(&mut taken);
        assert_eq!((taken.len(), outbox.queue().len(), outbox.cost()), (3, 0, 600));
        outbox.written(300, &LIMITS);
        assert_eq!(outbox.cost(), 300);
    }

    #[test]
    fn the_first_packets_can_be_taken_alone() {
        let mut outbox = filled(&[100, 200, 300]);
        let mut costs = Vec::new();
        outbox.take_first(2, |packet| costs.push(packet.cost()));
        assert_eq!((costs, outbox.queue().len()), (vec![100, 200], 1));
    }

    #[test]
    fn a_burst_keeps_no_memory() {
        let mut outbox = filled(&[100; 100]);
        let mut taken = VecDeque::new();
        outbox.take_into(&mut taken);
        assert!(outbox.queue.capacity() <= SLOTS_KEPT);
        taken.clear();
        trim(&mut taken);
        assert_eq!(taken.capacity(), 0);
        let mut outbox = filled(&[100; 100]);
        assert_eq!(outbox.clear().len(), 100);
        assert_eq!((outbox.cost(), outbox.queue.capacity()), (0, 0));
    }
}
