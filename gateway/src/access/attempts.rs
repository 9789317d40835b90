//! Refused attempts to connect, counted for each address, so that a flood of wrong tokens costs no
//! signatures.
//!
//! Good tokens are not counted, so that many clients behind one address can connect. The table has
//! a limited size: where more addresses fail than it holds, those that failed the least often are
//! forgotten, so that many addresses cannot hide one that tries all the time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use engine_io::http::PeerNetwork;
use manager_api::lock::Unpoisoned;

use super::config::AccessLimits;

/// The time in which a full count runs out.
const PERIOD: Duration = Duration::from_secs(60);
/// How often addresses whose count has run out are forgotten, at most: it takes a look at each.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Entries of which one is forgotten for a new address, where the table is full.
const NUM_COMPARED: usize = 8;

/// The refused attempts of each address in the last minute, in a table of a limited size.
#[derive(Debug)]
pub(super) struct Attempts {
    per_minute: u32,
    max_addresses: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: HashMap<PeerNetwork, Count>,
    swept: Option<Instant>,
}

/// A count that runs out with time.
#[derive(Clone, Copy, Debug)]
struct Count {
    refused: f64,
    since: Instant,
}

impl Count {
    /// Returns what is left of the count.
    fn at(&self, now: Instant, per_minute: u32) -> f64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64() / PERIOD.as_secs_f64();
        (self.refused - f64::from(per_minute) * passed).max(0.0)
    }
}

impl Attempts {
    /// Makes an empty table.
    pub(super) fn new(limits: &AccessLimits) -> Self {
        Self {
            per_minute: limits.refused_per_minute,
            max_addresses: limits.max_addresses,
            state: Mutex::default(),
        }
    }

    /// Tells whether a token of this address is to be looked at. An address that is not known, as
    /// on a Unix socket, has no limit.
    pub(super) fn are_left(&self, peer: Option<IpAddr>) -> bool {
        self.are_left_at(peer, Instant::now())
    }

    /// Counts a refusal.
    pub(super) fn refused(&self, peer: Option<IpAddr>) {
        self.refused_at(peer, Instant::now());
    }

    /// As [`are_left`](Self::are_left), at a given time.
    fn are_left_at(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let Some(peer) = peer.filter(|_| self.per_minute > 0) else {
            return true;
        };
        let state = self.state.lock().unpoisoned();
        let count = state.counts.get(&PeerNetwork::of(peer));
        count.is_none_or(|count| count.at(now, self.per_minute) + 1.0 <= f64::from(self.per_minute))
    }

    /// As [`refused`](Self::refused), at a given time.
    fn refused_at(&self, peer: Option<IpAddr>, now: Instant) {
        let Some(peer) = peer.filter(|_| self.per_minute > 0 && self.max_addresses > 0) else {
            return;
        };
        let peer = PeerNetwork::of(peer);
        let mut state = self.state.lock().unpoisoned();
        if state.counts.len() >= self.max_addresses && !state.counts.contains_key(&peer) {
            self.make_place(&mut state, now);
        }
        let count = state.counts.entry(peer).or_insert(Count {
            refused: 0.0,
            since: now,
        });
        let refused = count.at(now, self.per_minute) + 1.0;
        *count = Count { refused, since: now };
    }

    /// Forgets addresses whose counts have run out; if there are none, one with a low count. Those
    /// that try the most stay.
    fn make_place(&self, state: &mut State, now: Instant) {
        let is_due = state
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= SWEEP_EVERY);
        if is_due {
            state.swept = Some(now);
            state.counts.retain(|_, count| count.at(now, self.per_minute) > 0.0);
        }
        while state.counts.len() >= self.max_addresses {
            let some = state.counts.iter().take(NUM_COMPARED);
            let least = some.min_by(|(_, a), (_, b)| a.at(now, self.per_minute).total_cmp(&b.at(now, self.per_minute)));
            let Some(least) = least.map(|(peer, _)| *peer) else {
                return;
            };
            state.counts.remove(&least);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(per_minute: u32, max_addresses: usize) -> Attempts {
        Attempts::new(&AccessLimits {
            refused_per_minute: per_minute,
            max_addresses,
            ..AccessLimits::default()
        })
    }

    fn address(number: u32) -> Option<IpAddr> {
        Some(IpAddr::V4(number.into()))
    }

    /// Makes attempts until one is not allowed.
    fn until_limited(attempts: &Attempts, peer: Option<IpAddr>, now: Instant) -> usize {
        let refused = (0..100).take_while(|_| {
            let is_left = attempts.are_left_at(peer, now);
            attempts.refused_at(peer, now);
            is_left
        });
        refused.count()
    }

    #[test]
    fn an_address_is_looked_at_again_as_its_minute_passes() {
        let (attempts, start) = (attempts(3, 100), Instant::now());
        assert_eq!(until_limited(&attempts, address(1), start), 3);
        assert!(attempts.are_left_at(address(2), start), "another one is not concerned");
        // Four were counted: the last one, too.
        assert!(!attempts.are_left_at(address(1), start + Duration::from_secs(30)));
        assert!(attempts.are_left_at(address(1), start + Duration::from_secs(41)));
    }

    #[test]
    fn good_tokens_are_not_counted_and_unknown_addresses_have_no_limit() {
        let (limited, now) = (attempts(2, 100), Instant::now());
        assert!((0..1000).all(|_| limited.are_left_at(address(1), now)));
        assert_eq!(until_limited(&limited, None, now), 100);
        assert_eq!(until_limited(&attempts(0, 100), address(1), now), 100);
    }

    #[test]
    fn a_network_of_ipv6_addresses_counts_as_one() {
        let (attempts, now) = (attempts(1, 100), Instant::now());
        let peer = |text: &str| Some(text.parse().unwrap());
        attempts.refused_at(peer("2001:db8::1"), now);
        assert!(
            !attempts.are_left_at(peer("2001:db8::2:3"), now) && attempts.are_left_at(peer("2001:db8:0:1::1"), now)
        );
        attempts.refused_at(peer("127.0.0.1"), now);
        assert!(!attempts.are_left_at(peer("::ffff:127.0.0.1"), now));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_addresses_that_try_the_most() {
        let (attempts, now) = (attempts(5, 100), Instant::now());
        assert_eq!(until_limited(&attempts, address(0), now), 5);
        for other in 1..10_000 {
            attempts.refused_at(address(other), now);
        }
        assert_eq!(attempts.state.lock().unwrap().counts.len(), 100);
        assert!(
            !attempts.are_left_at(address(0), now),
            "it is not forgotten for those that tried once"
        );
        let later = now + PERIOD * 2;
        attempts.refused_at(address(20_000), later);
        assert_eq!(attempts.state.lock().unwrap().counts.len(), 1);
    }
}
