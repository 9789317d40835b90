//! The queue of connections, by age and by address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use engine_io::http::PeerNetwork;
use manager_api::tables::wastes_memory;
use tokio::time::Instant;

/// How many late connections are taken at once.
const LATE_AT_ONCE: usize = 256;

/// How many connections that have joined nothing there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) total: usize,
    pub(super) per_peer: usize,
}

pub(super) struct Queue<T> {
    /// By place, which is their order in time; the deadlines of all have the same order.
    waiting: BTreeMap<u64, Entry<T>>,
    /// The places of each peer.
    peers: HashMap<PeerNetwork, BTreeSet<u64>>,
    last: u64,
    /// A task sees to the deadlines; it ends when the queue is empty.
    pub(super) is_attended: bool,
}

struct Entry<T> {
    connection: Weak<T>,
    peer: Option<PeerNetwork>,
    deadline: Option<Instant>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            waiting: BTreeMap::new(),
            peers: HashMap::new(),
            last: 0,
            is_attended: false,
        }
    }
}

impl<T> Queue<T> {
    /// Appends a connection; returns its place, which is not 0.
    pub(super) fn insert(&mut self, connection: &Arc<T>, peer: Option<PeerNetwork>, deadline: Option<Instant>) -> u64 {
        self.last += 1;
        let connection = Arc::downgrade(connection);
        self.waiting.insert(
            self.last,
            Entry {
                connection,
                peer,
                deadline,
            },
        );
        if let Some(peer) = peer {
            self.peers.entry(peer).or_default().insert(self.last);
        }
        self.last
    }

    /// Takes a connection out; returns it if it is alive, to be dropped without the queue's lock.
    pub(super) fn remove(&mut self, place: u64) -> Option<Arc<T>> {
        let entry = self.waiting.remove(&place)?;
        if let Some(peer) = entry.peer
            && let Some(places) = self.peers.get_mut(&peer)
        {
            places.remove(&place);
            if places.is_empty() {
                self.peers.remove(&peer);
            }
        }
        if wastes_memory(self.peers.len(), self.peers.capacity()) {
            self.peers.shrink_to_fit();
        }
        entry.connection.upgrade()
    }

    pub(super) fn take_oldest(&mut self) -> Option<Arc<T>> {
        while let Some(place) = self.waiting.keys().next().copied() {
            if let Some(connection) = self.remove(place) {
                return Some(connection);
            }
        }
        None
    }

    /// Takes out the connection that has to go if there are too many, now that one of `peer` came: the oldest of that peer if it has more
    /// than its limit or, where all have too many, more than its share; otherwise the oldest of all.
    pub(super) fn overfull(&mut self, peer: Option<PeerNetwork>, limits: &Limits) -> Option<Arc<T>> {
        let is_full = self.waiting.len() > limits.total;
        let own = peer.and_then(|peer| self.peers.get(&peer));
        let num_own = own.map_or(0, BTreeSet::len);
        let has_more_than_its_share = is_full && num_own.saturating_mul(self.peers.len()) > limits.total;
        if num_own > limits.per_peer || has_more_than_its_share {
            let oldest = own.and_then(|own| own.first()).copied();
            return oldest.and_then(|place| self.remove(place));
        }
        if is_full { self.take_oldest() } else { None }
    }

    /// Takes out those whose time is over, some at a time, and tells when the next one's is; `None` if there is no next one.
    pub(super) fn take_late(&mut self, now: Instant) -> (Vec<Arc<T>>, Option<Instant>) {
        let mut late = Vec::new();
        while let Some((&place, entry)) = self.waiting.first_key_value() {
            let Some(deadline) = entry.deadline else { break };
            if deadline > now || late.len() == LATE_AT_ONCE {
                return (late, Some(deadline));
            }
            late.extend(self.remove(place));
        }
        self.is_attended = false;
        (late, None)
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { total: 10, per_peer: 6 };

    fn peer(text: &str) -> Option<PeerNetwork> {
        Some(PeerNetwork::of(text.parse().unwrap()))
    }

    /// Lets connections come, named by their order; returns whom each of them cost the place.
    fn come(
        queue: &mut Queue<u32>,
        all: &mut Vec<Arc<u32>>,
        peer: Option<PeerNetwork>,
        count: usize,
    ) -> Vec<Option<u32>> {
        let one = |_| {
            let connection = Arc::new(all.len() as u32);
            all.push(connection.clone());
            queue.insert(&connection, peer, None);
            queue.overfull(peer, &LIMITS).map(|gone| *gone)
        };
        (0..count).map(one).collect()
    }

    #[test]
    fn a_flood_from_one_address_costs_its_own_connections_and_no_other() {
        let (mut queue, mut all) = (Queue::default(), Vec::new());
        assert_eq!(come(&mut queue, &mut all, peer("192.0.2.1"), 2), [None, None]);
        let shed = come(&mut queue, &mut all, peer("192.0.2.2"), 9);
        assert_eq!(shed[..6], [None; 6]);
        assert_eq!(shed[6..], [Some(2), Some(3), Some(4)]);
        assert_eq!(queue.len(), 8);
    }

    #[test]
    fn where_all_places_are_taken_those_with_more_than_their_share_pay_for_themselves() {
        let (mut queue, mut all) = (Queue::default(), Vec::new());
        come(&mut queue, &mut all, peer("192.0.2.1"), 5);
        come(&mut queue, &mut all, peer("192.0.2.2"), 5);
        // Each of two may have five.
        assert_eq!(come(&mut queue, &mut all, peer("192.0.2.2"), 1), [Some(5)]);
        // A third one gets in, at the cost of the oldest.
        assert_eq!(come(&mut queue, &mut all, peer("192.0.2.3"), 1), [Some(0)]);
        assert_eq!(come(&mut queue, &mut all, peer("192.0.2.1"), 1), [Some(1)]);
        assert_eq!(queue.len(), 10);
    }

    #[test]
    fn without_addresses_the_oldest_go() {
        let (mut queue, mut all) = (Queue::default(), Vec::new());
        let shed = come(&mut queue, &mut all, None, 12);
        assert_eq!(shed[10..], [Some(0), Some(1)]);
        assert_eq!(*queue.take_oldest().unwrap(), 2);
    }

    #[test]
    fn what_was_forgotten_leaves_nothing() {
        let (mut queue, mut all) = (Queue::default(), Vec::new());
        come(&mut queue, &mut all, peer("192.0.2.1"), 5);
        (1..=5).for_each(|place| drop(queue.remove(place)));
        assert!(queue.waiting.is_empty() && queue.peers.is_empty());
        assert!(queue.remove(1).is_none());
    }

    #[test]
    fn addresses_of_one_network_of_ipv6_are_one_peer() {
        assert_eq!(peer("2001:db8:1:2::1"), peer("2001:db8:1:2:ffff::2"));
        assert_ne!(peer("2001:db8:1:2::1"), peer("2001:db8:1:3::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
    }
}
