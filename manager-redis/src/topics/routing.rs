//! The messages of one connection that another one is to send, or the same later.

use std::collections::VecDeque;
use std::mem::take;
use std::time::Duration;

use manager_api::backend::Job;
use manager_api::backend::url::Address;
use tokio::time::Instant;

use super::head::slot_of;
use super::redirection::Redirection;

/// The pause before a slot is tried again that no node serves.
const PAUSE: Duration = Duration::from_millis(100);

/// A message, and how often it was redirected.
#[derive(Debug)]
pub(crate) struct Routed {
    /// The message, and the caller that waits for it.
    pub(crate) job: Job,
    pub(crate) num_redirections: u8,
    /// Whether the node is told first that it is asked for a slot that is not its own yet.
    pub(crate) is_asking: bool,
}

impl From<Job> for Routed {
    fn from(job: Job) -> Self {
        Self {
            job,
            num_redirections: 0,
            is_asking: false,
        }
    }
}

/// The messages that a connection has yet to send, and those that it is not to send.
#[derive(Debug, Default)]
pub(crate) struct Routing {
    /// Messages to send, in their order.
    pub(crate) waiting: VecDeque<Routed>,
    /// Messages for a node that takes them one by one.
    pub(crate) asked: Vec<(Address, Routed)>,
    /// The number of replies that were read.
    pub(crate) num_replies: u64,
    /// Slots of which messages are held back.
    pub(super) departures: Vec<Departure>,
}

/// A slot that leaves a connection. Its messages are held back until each command that was in flight is answered, so that
/// none overtakes another one.
#[derive(Debug)]
pub(super) struct Departure {
    /// The slot that the node has refused.
    pub(super) slot: u16,
    /// The new node; `None` if any node is to be asked again.
    pub(super) to: Option<Address>,
    /// The number of replies after which nothing of the slot is in flight.
    until_replies: u64,
    /// When the pause ends that no node serves it.
    not_before: Instant,
    /// Messages that were redirected, in the order of their replies.
    redirected: VecDeque<Routed>,
    /// Messages that came later.
    later: VecDeque<Routed>,
}

impl Routing {
    /// Takes a message that was redirected while `num_in_flight` commands are unanswered.
    pub(crate) fn redirected(&mut self, redirection: Redirection, routed: Routed, num_in_flight: usize) {
        let (slot, to, not_before) = match redirection {
            Redirection::Ask { to } => return self.asked.push((to, routed)),
            Redirection::Moved { slot, to } => (Some(slot), Some(to), Instant::now()),
            Redirection::Later => (slot_of(&routed.job.head), None, Instant::now() + PAUSE),
        };
        let slot = slot.unwrap_or_default();
        if let Some(departure) = self.departure_of(slot) {
            departure.to = to;
            departure.not_before = not_before;
            departure.redirected.push_back(routed);
            return;
        }
        let is_of_slot = |routed: &Routed| slot_of(&routed.job.head) == Some(slot);
        let (later, waiting) = take(&mut self.waiting).into_iter().partition(is_of_slot);
        self.waiting = waiting;
        self.departures.push(Departure {
            slot,
            to,
            until_replies: self.num_replies + num_in_flight as u64,
            not_before,
            redirected: VecDeque::from([routed]),
            later,
        });
    }

    /// Takes back what was redirected before a message of the same slot was accepted, which it may not follow any more.
    pub(crate) fn overtaken(&mut self, head: &[u8]) -> VecDeque<Routed> {
        let Some(slot) = slot_of(head).filter(|_| !self.departures.is_empty()) else {
            return VecDeque::new();
        };
        let departure = self.departure_of(slot);
        departure
            .map(|departure| take(&mut departure.redirected))
            .unwrap_or_default()
    }

    /// Holds a message back if its slot is leaving.
    pub(super) fn held(&mut self, slot: u16, routed: Routed) -> Option<Routed> {
        match self.departure_of(slot) {
            Some(departure) => {
                departure.later.push_back(routed);
                None
            }
            None => Some(routed),
        }
    }

    /// Takes a slot of which nothing is in flight any more.
    pub(super) fn departed(&mut self) -> Option<Departure> {
        let num_replies = self.num_replies;
        let is_over =
            |departure: &Departure| departure.until_replies <= num_replies && departure.not_before <= Instant::now();
        let at = self.departures.iter().position(is_over)?;
        Some(self.departures.remove(at))
    }

    /// Returns when a departure is to be looked at again though no reply comes.
    pub(super) fn next_look(&self) -> Option<Instant> {
        self.departures.iter().map(|departure| departure.not_before).min()
    }

    /// Returns whether no message waits, and no slot leaves.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.asked.is_empty() && self.departures.is_empty()
    }

    /// Returns the lists of messages that wait.
    pub(super) fn lists(&mut self) -> impl Iterator<Item = &mut VecDeque<Routed>> {
        let departures = self.departures.iter_mut();
        let departing = departures.flat_map(|departure| [&mut departure.redirected, &mut departure.later]);
        departing.chain([&mut self.waiting])
    }

    /// Takes every message that was not sent, those of a slot in order.
    pub(crate) fn take_all(&mut self) -> Vec<Job> {
        let asked = take(&mut self.asked).into_iter().map(|(_, routed)| routed.job);
        let mut all: Vec<_> = asked.collect();
        all.extend(self.lists().flat_map(take).map(|routed| routed.job));
        self.departures.clear();
        all
    }

    /// Returns the departure of a slot that is leaving.
    fn departure_of(&mut self, slot: u16) -> Option<&mut Departure> {
        self.departures.iter_mut().find(|departure| departure.slot == slot)
    }
}

impl Departure {
    /// Returns its messages in their order.
    pub(super) fn into_messages(self) -> impl Iterator<Item = Routed> {
        self.redirected.into_iter().chain(self.later)
    }
}
