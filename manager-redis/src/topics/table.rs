//! The table of a subscription's topics: on which connection each is, and what is to be asked for there. No I/O.
//!
//! | a topic | was added | was removed |
//! |---|---|---|
//! | not in the table | the connection of its slot is to subscribe | nothing |
//! | to be subscribed | nothing | it leaves the table, and nothing is sent |
//! | asked for | nothing | looked at when the reply is there |
//! | subscribed | nothing | the connection is to unsubscribe |
//! | to be unsubscribed | it stays, and nothing is sent | nothing |
//! | asked to end | looked at when the reply is there | nothing |
//!
//! Commands about one topic are therefore never under way at the same time, and their order does not matter.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use manager_api::backend::Failure as _;
use manager_api::backend::url::Address;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::topics::InterestChanges;
use manager_api::{Backoff, deadline};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::head::slot_of_name;
use super::redirection::MAX_REDIRECTIONS;
use super::wanted::{Command, Wanted};
use crate::config::RedisOptions;
use crate::error::Failure;

/// Interests that are looked at before other tasks run.
const CHANGES_AT_ONCE: usize = 1_024;

/// The table of one subscription.
pub(super) struct Table {
    changes: Arc<InterestChanges>,
    places: HashMap<Wanted, Place>,
    nodes: Vec<Node>,
    /// The connections of slots, as far as nodes have named them.
    slots: HashMap<u16, usize>,
    /// The names that could not be subscribed to.
    failed: HashSet<Wanted>,
    backoff: Backoff,
    retry_at: Option<Instant>,
    has_failed: Arc<Notify>,
    deadline: Duration,
}

struct Place {
    node: usize,
    phase: Phase,
    num_redirections: u8,
    /// It failed before, so that messages may have been missed.
    is_late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    ToSubscribe,
    Subscribing,
    Subscribed,
    ToUnsubscribe,
    Unsubscribing,
}

/// A connection, and the names about which it is to send a command.
struct Node {
    /// `None` of the connection to any server, which has number 0.
    address: Option<Address>,
    queue: VecDeque<Wanted>,
    has_commands: Arc<Notify>,
    is_dead: bool,
}

impl Table {
    /// Creates an empty table.
    pub(super) fn new(changes: Arc<InterestChanges>, options: &RedisOptions) -> Self {
        Self {
            changes,
            places: HashMap::new(),
            nodes: Vec::new(),
            slots: HashMap::new(),
            failed: HashSet::new(),
            backoff: Backoff::from_options(&options.common),
            retry_at: None,
            has_failed: Arc::default(),
            deadline: options.common.deadline,
        }
    }

    /// Forgets all connections.
    pub(super) fn clear(&mut self) {
        self.places.clear();
        self.nodes.clear();
        self.slots.clear();
        self.failed.clear();
        self.retry_at = None;
        self.node_at(None);
    }

    /// Returns the number of the connection to a node, and whether it is new.
    pub(super) fn node_at(&mut self, address: Option<&Address>) -> (usize, bool) {
        let mut nodes = self.nodes.iter();
        let known = nodes.position(|node| node.address.as_ref() == address);
        if let Some(known) = known {
            // It was named again, and is tried again.
            self.nodes[known].is_dead = false;
            return (known, false);
        }
        self.nodes.push(Node {
            address: address.cloned(),
            queue: VecDeque::new(),
            has_commands: Arc::new(Notify::new()),
            is_dead: false,
        });
        (self.nodes.len() - 1, true)
    }

    /// Returns whether a node could not be reached, and was not named again since.
    pub(super) fn is_dead(&self, node: usize) -> bool {
        self.nodes[node].is_dead
    }

    /// Returns what wakes a connection when there are commands for it.
    pub(super) fn has_commands(&self, node: usize) -> Arc<Notify> {
        self.nodes[node].has_commands.clone()
    }

    /// Returns the address of a connection; `None` of the one to any server.
    pub(super) fn address_of(&self, node: usize) -> Option<Address> {
        self.nodes[node].address.clone()
    }

    /// Returns the number of connections, those that could not be opened included.
    pub(super) fn num_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Records a name that was subscribed to while the connections were opened.
    pub(super) fn opened(&mut self, wanted: &Wanted, node: usize) {
        self.learn(wanted, node);
        self.places.insert(wanted.clone(), Place::new(node, Phase::Subscribing));
        self.subscribed(wanted);
    }

    /// Looks at some of the names that were added or removed: if there are more, that is told again at once.
    pub(super) fn follow(&mut self) {
        let changed = self.changes.take_changed(CHANGES_AT_ONCE);
        for interest in &changed {
            if let Some(wanted) = Wanted::of(interest) {
                self.settle(&wanted);
            }
        }
    }

    /// Decides what is to be done about a name.
    fn settle(&mut self, wanted: &Wanted) {
        let is_wanted = self.changes.contains(&wanted.interest());
        match self.places.get(wanted).map(|place| place.phase) {
            None if is_wanted && !self.failed.contains(wanted) => self.ask(wanted, false),
            None if !is_wanted => drop(self.failed.remove(wanted)),
            // It was removed and added again.
            Some(Phase::Subscribed) if is_wanted => self.changes.confirm(&wanted.interest()),
            Some(Phase::Subscribed) => self.enqueue(wanted, Phase::ToUnsubscribe),
            _ => {}
        }
    }

    /// Subscribes to a name where its slot was last.
    fn ask(&mut self, wanted: &Wanted, is_late: bool) {
        let slot = (wanted.command == "SSUBSCRIBE").then(|| slot_of_name(wanted.name.as_bytes()));
        let known = slot.and_then(|slot| self.slots.get(&slot).copied());
        let node = known.filter(|&node| !self.nodes[node].is_dead).unwrap_or(0);
        let mut place = Place::new(node, Phase::ToSubscribe);
        place.is_late = is_late;
        self.places.insert(wanted.clone(), place);
        self.enqueue(wanted, Phase::ToSubscribe);
    }

    fn enqueue(&mut self, wanted: &Wanted, phase: Phase) {
        let Some(place) = self.places.get_mut(wanted) else {
            return;
        };
        place.phase = phase;
        let node = &mut self.nodes[place.node];
        node.queue.push_back(wanted.clone());
        node.has_commands.notify_one();
    }

    /// Takes at most `max` commands for a connection, which have to be sent.
    pub(super) fn take_commands(&mut self, node: usize, max: usize) -> Vec<Command> {
        let mut commands = Vec::new();
        while commands.len() < max
            && let Some(wanted) = self.nodes[node].queue.pop_front()
        {
            let is_wanted = self.changes.contains(&wanted.interest());
            let Some(place) = self.places.get_mut(&wanted) else {
                continue;
            };
            let begins = place.phase == Phase::ToSubscribe;
            match (begins, is_wanted) {
                (true, false) => drop(self.places.remove(&wanted)),
                (false, true) => {
                    place.phase = Phase::Subscribed;
                    self.changes.confirm(&wanted.interest());
                }
                _ => {
                    place.phase = match begins {
                        true => Phase::Subscribing,
                        false => Phase::Unsubscribing,
                    };
                    commands.push(Command { wanted, begins });
                }
            }
        }
        commands
    }

    /// Records that the server has confirmed a subscription; returns whether it had failed before.
    pub(super) fn subscribed(&mut self, wanted: &Wanted) -> bool {
        let Some(place) = self.places.get_mut(wanted) else {
            return false;
        };
        place.phase = Phase::Subscribed;
        let is_late = std::mem::take(&mut place.is_late);
        if is_late {
            self.backoff.reset();
        }
        self.settle(wanted);
        is_late
    }

    /// Records that a subscription has ended.
    pub(super) fn unsubscribed(&mut self, wanted: &Wanted) {
        self.places.remove(wanted);
        self.settle(wanted);
    }

    /// Records that a name belongs to another node.
    pub(super) fn moved(&mut self, wanted: &Wanted, to: &Address) {
        let (node, _) = self.node_at(Some(to));
        self.learn(wanted, node);
        let Some(place) = self.places.get_mut(wanted) else {
            return;
        };
        place.node = node;
        place.num_redirections += 1;
        if place.num_redirections > MAX_REDIRECTIONS {
            let text = "the nodes of Redis Cluster disagree about a sharded topic";
            let failure = Failure::other(&to.to_string(), text);
            return self.failed(wanted, &Arc::new(failure));
        }
        self.enqueue(wanted, Phase::ToSubscribe);
    }

    fn learn(&mut self, wanted: &Wanted, node: usize) {
        if wanted.command == "SSUBSCRIBE" {
            self.slots.insert(slot_of_name(wanted.name.as_bytes()), node);
        }
    }

    /// Records that a name could not be subscribed to; it is tried again later, unless its subscriber was told.
    pub(super) fn failed(&mut self, wanted: &Wanted, failure: &Arc<Failure>) {
        self.places.remove(wanted);
        let interest = wanted.interest();
        let error = || failure.unreachable(self.deadline);
        if failure.is_refused() && !self.changes.refuse(&interest, error) {
            return;
        }
        if !self.changes.contains(&interest) {
            return;
        }
        note_failure(&wanted.name, failure);
        self.failed.insert(wanted.clone());
        if self.retry_at.is_none() {
            self.retry_at = Some(deadline::after(self.backoff.next_delay()));
            self.has_failed.notify_one();
        }
    }

    /// Records that a node could not be reached: other nodes are asked about its names later.
    pub(super) fn unreachable(&mut self, node: usize, failure: &Arc<Failure>) {
        self.nodes[node].is_dead = true;
        self.slots.retain(|_, at| *at != node);
        for wanted in std::mem::take(&mut self.nodes[node].queue) {
            self.failed(&wanted, failure);
        }
    }

    /// Returns when the names that failed are tried again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Returns what wakes a task when [`retry_at`](Self::retry_at) has changed.
    pub(super) fn has_failed(&self) -> Arc<Notify> {
        self.has_failed.clone()
    }

    /// Tries the names again that failed.
    pub(super) fn retry(&mut self) {
        self.retry_at = None;
        for wanted in std::mem::take(&mut self.failed) {
            if self.changes.contains(&wanted.interest()) {
                self.ask(&wanted, true);
            }
        }
    }
}

impl Place {
    fn new(node: usize, phase: Phase) -> Self {
        Self {
            node,
            phase,
            num_redirections: 0,
            is_late: false,
        }
    }
}

fn note_failure(name: &str, failure: &Failure) {
    static FAILED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = FAILED.pass() {
        let (topic, error) = (Escaped(name), Escaped(failure));
        let text = "cannot subscribe to a topic: its messages do not arrive; trying again";
        quietly(|| tracing::error!(suppressed, ?topic, ?error, "{text}"));
    }
}

#[cfg(test)]
mod tests;
