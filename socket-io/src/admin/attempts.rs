//! Limits of how often passwords of administrators are tried.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use engine_io::http::PeerNetwork;
use manager_api::lock::Unpoisoned;

/// Addresses that are told apart; the others share one allowance until some of these have not tried for a while.
const MAX_PEERS: usize = 1024;

/// The time in which an allowance is filled up again.
const PERIOD: Duration = Duration::from_secs(60);

/// Attempts that are allowed in a minute, for each address and in total. An attempt counts when it begins: a client that leaves without waiting
/// for its answer has made it.
pub(super) struct Attempts {
    per_peer: u32,
    total: u32,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: Allowance,
    peers: HashMap<Option<PeerNetwork>, Allowance>,
    others: Allowance,
}

/// A token bucket: what was used of it, which is released with time.
#[derive(Clone, Copy, Default)]
struct Allowance {
    used: f64,
    since: Option<Instant>,
}

impl Allowance {
    /// Releases what the time since the last attempt allows; returns what is still in use.
    fn used(&mut self, limit: u32, now: Instant) -> f64 {
        let passed = self.since.map_or(PERIOD, |since| now.saturating_duration_since(since));
        self.used = (self.used - f64::from(limit) * passed.as_secs_f64() / PERIOD.as_secs_f64()).max(0.0);
        self.since = Some(now);
        self.used
    }

    fn has_one(&mut self, limit: u32, now: Instant) -> bool {
        self.used(limit, now) + 1.0 <= f64::from(limit)
    }
}

impl Attempts {
    pub(super) fn new(per_peer: u32, total: u32) -> Self {
        Self {
            per_peer,
            total,
            state: Mutex::default(),
        }
    }

    /// Counts an attempt of a peer, whose address may be unknown; `false` if it must not be made.
    pub(super) fn begin(&self, peer: Option<IpAddr>) -> bool {
        self.begin_at(peer, Instant::now())
    }

    fn begin_at(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let mut state = self.state.lock().unpoisoned();
        let State { total, peers, others } = &mut *state;
        let key = peer.map(PeerNetwork::of);
        if peers.len() >= MAX_PEERS && !peers.contains_key(&key) {
            peers.retain(|_, allowance| allowance.used(self.per_peer, now) > 0.0);
        }
        let own = match peers.len() < MAX_PEERS || peers.contains_key(&key) {
            true => peers.entry(key).or_default(),
            false => others,
        };
        let is_allowed = own.has_one(self.per_peer, now) && total.has_one(self.total, now);
        if is_allowed {
            own.used += 1.0;
            total.used += 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    #[test]
    fn an_address_has_an_allowance_that_fills_up_again() {
        let (attempts, start) = (Attempts::new(3, 100), Instant::now());
        for peer in [address(1), address(2), None] {
            let allowed = (0..10).filter(|_| attempts.begin_at(peer, start)).count();
            assert_eq!(allowed, 3, "{peer:?}");
        }
        assert!(!attempts.begin_at(address(1), start + Duration::from_secs(19)));
        assert!(attempts.begin_at(address(1), start + Duration::from_secs(21)));
        assert!(!attempts.begin_at(address(1), start + Duration::from_secs(22)));
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_peer_and_a_mapped_address_is_the_one_it_stands_for() {
        let (attempts, now) = (Attempts::new(1, 100), Instant::now());
        let try_it = |text: &str| attempts.begin_at(Some(text.parse().unwrap()), now);
        assert!(try_it("2001:db8::1") && !try_it("2001:db8::2:3"));
        assert!(try_it("2001:db8:0:1::1"));
        assert!(try_it("127.0.0.1") && !try_it("::ffff:127.0.0.1"));
    }

    #[test]
    fn many_addresses_have_no_more_than_the_total() {
        let (attempts, now) = (Attempts::new(5, 7), Instant::now());
        let allowed = (0..1000).filter(|peer| attempts.begin_at(address(*peer), now)).count();
        assert_eq!(allowed, 7);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_has_not_tried_for_a_minute() {
        let (attempts, start) = (Attempts::new(2, u32::MAX), Instant::now());
        let allowed = (0..10_000)
            .filter(|peer| attempts.begin_at(address(*peer), start))
            .count();
        assert_eq!(allowed, MAX_PEERS + 2, "those beyond share one allowance");
        assert!(!attempts.begin_at(address(20_000), start));
        let later = start + PERIOD;
        assert!(attempts.begin_at(address(20_000), later) && attempts.begin_at(address(20_000), later));
        assert_eq!(attempts.state.lock().unwrap().peers.len(), 1);
    }

    #[test]
    fn limits_may_be_zero_or_as_large_as_one_likes() {
        assert!(!Attempts::new(0, 9).begin(None) && !Attempts::new(9, 0).begin(None));
        let (attempts, now) = (Attempts::new(u32::MAX, u32::MAX), Instant::now());
        assert!((0..1000).all(|_| attempts.begin_at(None, now)));
    }
}
