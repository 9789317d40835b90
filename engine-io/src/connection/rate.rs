//! Rates of handshakes: how many a second an engine accepts, in total and from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use crate::http::PeerNetwork;

/// One second, in nanoseconds. It is also the burst: an address that was silent may send the
/// handshakes of a second at once.
const SECOND: u64 = 1_000_000_000;

/// Addresses that are kept before those are removed that have nothing to wait for.
const SMALL_TABLE: usize = 1_024;

/// The rates of handshakes of an engine.
pub(crate) struct Rates {
    /// The time that one handshake takes of the total rate, in nanoseconds.
    total: u64,
    /// The time that it takes of the rate of its address.
    per_peer: u64,
    /// The origin of all times.
    since: Instant,
    /// Who has used how much.
    state: Mutex<State>,
}

/// Who has used how much of their rates: the time until which it is used up.
struct State {
    /// Of the total.
    total: u64,
    /// Of each address. An entry whose time has passed means nothing.
    peers: HashMap<PeerNetwork, u64>,
    /// The length of the table at which such entries are removed.
    purge_at: usize,
}

impl Rates {
    /// Creates rates of so many handshakes a second, of which none are used.
    pub(crate) fn new(total: u32, per_peer: u32) -> Self {
        let interval = |rate: u32| (SECOND / u64::from(rate.max(1))).max(1);
        Self {
            total: interval(total),
            per_peer: interval(per_peer),
            since: Instant::now(),
            state: Mutex::new(State {
                total: 0,
                peers: HashMap::new(),
                purge_at: SMALL_TABLE,
            }),
        }
    }

    /// Takes one handshake from the total and from the rate of its address; from neither if one of
    /// them is used up, and returns false.
    ///
    /// The total bounds the table: an address that is refused adds nothing to it, and one that was
    /// accepted is removed when its second is over.
    pub(crate) fn admit(&self, address: Option<IpAddr>) -> bool {
        let now = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(total) = take(state.total, now, self.total) else {
            return false;
        };
        if let Some(peer) = address.map(PeerNetwork::of) {
            let used = state.peers.get(&peer).copied().unwrap_or_default();
            let Some(used) = take(used, now, self.per_peer) else {
                return false;
            };
            state.peers.insert(peer, used);
            state.purge(now);
        }
        state.total = total;
        true
    }
}

impl State {
    /// Removes addresses that have nothing to wait for, if there are many.
    fn purge(&mut self, now: u64) {
        if self.peers.len() < self.purge_at {
            return;
        }
        self.peers.retain(|_, used| *used > now);
        self.purge_at = (2 * self.peers.len()).max(SMALL_TABLE);
        self.peers.shrink_to(self.purge_at);
    }
}

/// Adds `cost` to what is used; `None` if more than a second would be used in advance.
fn take(used: u64, now: u64, cost: u64) -> Option<u64> {
    let used = used.max(now).saturating_add(cost);
    (used <= now.saturating_add(SECOND)).then_some(used)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn admitted(rates: &Rates, address: Option<IpAddr>, attempts: usize) -> usize {
        (0..attempts).filter(|_| rates.admit(address)).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_has_the_handshakes_of_a_second_and_then_its_rate() {
        let rates = Rates::new(1_000, 10);
        assert_eq!(admitted(&rates, ip("192.0.2.1"), 100), 10);
        assert_eq!(admitted(&rates, ip("192.0.2.2"), 3), 3, "another address has its own");
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(admitted(&rates, ip("192.0.2.1"), 100), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(admitted(&rates, ip("192.0.2.1"), 100), 10, "no more is saved up");
    }

    #[tokio::test(start_paused = true)]
    async fn by_default_one_address_leaves_most_handshakes_to_the_others() {
        let config = crate::Config::default();
        let (total, per_peer) = (
            config.max_handshakes_per_second,
            config.max_handshakes_per_second_per_peer,
        );
        let rates = Rates::new(total, per_peer);
        admitted(&rates, ip("192.0.2.1"), 1_000_000);
        let others = (2..=10).map(|last| admitted(&rates, ip(&format!("192.0.2.{last}")), 1_000));
        assert_eq!(others.collect::<Vec<_>>(), [1_000; 9]);
    }

    #[tokio::test(start_paused = true)]
    async fn all_addresses_together_have_the_total() {
        let rates = Rates::new(5, 3);
        assert_eq!(admitted(&rates, ip("192.0.2.1"), 9), 3);
        assert_eq!(admitted(&rates, ip("192.0.2.2"), 9), 2);
        assert_eq!(admitted(&rates, None, 9), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(admitted(&rates, None, 9), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address() {
        let rates = Rates::new(1_000, 2);
        assert_eq!(admitted(&rates, ip("2001:db8::1"), 5), 2);
        assert_eq!(admitted(&rates, ip("2001:db8::2"), 5), 0);
        assert_eq!(admitted(&rates, ip("2001:db8:0:1::2"), 5), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_are_gone_are_not_kept() {
        let rates = Rates::new(1_000_000, 10);
        for round in 0..20_u32 {
            for number in 0..1_000_u32 {
                assert!(rates.admit(Some(IpAddr::from((round * 1_000 + number).to_be_bytes()))));
            }
            tokio::time::advance(Duration::from_secs(2)).await;
        }
        let len = rates.state.lock().unwrap().peers.len();
        assert!(len <= 2 * SMALL_TABLE, "{len}");
    }
}
