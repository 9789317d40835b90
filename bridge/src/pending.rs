//! The messages of one side that are not known to have reached another side.
//!
//! Every bridge of a name keeps them: the active one until it has published them, a standby until it has seen their marks
//! on the other side. When a standby takes over, what is left here is exactly what the former one has not forwarded.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use manager_api::HostId;
use manager_api::message::Mark;
use manager_api::tables::shrink_if_sparse;
use tokio::time::Instant;

use crate::item::Item;

/// Marks that wait for their messages, and messages of which only the marks are kept; the oldest beyond that are
/// forgotten.
const MAX_MARKS: usize = 262_144;

/// What one entry costs beside its message.
const ENTRY_COST: usize = 128;

/// The messages from one side to another.
#[derive(Debug)]
pub(crate) struct Pending {
    /// By the order of arrival.
    waiting: BTreeMap<u64, Entry>,
    by_mark: HashMap<Mark, VecDeque<u64>>,
    /// Marks that arrived before their messages, and when.
    early: HashMap<Mark, VecDeque<Instant>>,
    /// The same in order; some of them have met their messages since.
    early_since: VecDeque<(Instant, Mark)>,
    last: u64,
    /// Entries up to this number are being published.
    taken: u64,
    /// Entries up to this number have lost their message to the limit.
    shed: u64,
    bytes: usize,
    /// Messages that are not trusted.
    num_untrusted: usize,
    /// What arrives before is left to the active bridge.
    trusted_from: Instant,
}

#[derive(Debug)]
struct Entry {
    mark: Mark,
    /// The process that sent it.
    origin: Option<HostId>,
    /// `None` once it was too much to keep.
    item: Option<Arc<Item>>,
    arrived: Instant,
    /// Whether this bridge would have seen its mark.
    is_trusted: bool,
}

impl Entry {
    fn cost(&self) -> usize {
        ENTRY_COST + self.item.as_ref().map_or(0, |item| item.size)
    }
}

impl Pending {
    /// Creates an empty table that trusts what arrives from now on.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            waiting: BTreeMap::new(),
            by_mark: HashMap::new(),
            early: HashMap::new(),
            early_since: VecDeque::new(),
            last: 0,
            taken: 0,
            shed: 0,
            bytes: 0,
            num_untrusted: 0,
            trusted_from: now,
        }
    }

    /// Adds a message; `false` if its mark was seen already: it is forwarded.
    pub(crate) fn arrive(&mut self, item: &Arc<Item>, now: Instant) -> bool {
        let mark = item.mark;
        if let Some(times) = self.early.get_mut(&mark) {
            times.pop_front();
            if times.is_empty() {
                self.early.remove(&mark);
            }
            return false;
        }
        let entry = Entry {
            mark,
            origin: item.origin.clone(),
            item: Some(item.clone()),
            arrived: now,
            is_trusted: now >= self.trusted_from,
        };
        self.last += 1;
        self.bytes += entry.cost();
        self.num_untrusted += usize::from(!entry.is_trusted);
        self.by_mark.entry(mark).or_default().push_back(self.last);
        self.waiting.insert(self.last, entry);
        true
    }

    /// Records that the mark of a message was seen on the other side.
    pub(crate) fn see(&mut self, mark: Mark, now: Instant) {
        if mark == Mark::UNKNOWN {
            return;
        }
        let oldest = self.by_mark.get(&mark).and_then(|numbers| numbers.front().copied());
        if let Some(oldest) = oldest {
            self.settle_before(oldest);
            self.remove(oldest);
            return;
        }
        if self.early_since.len() >= MAX_MARKS {
            self.forget_early();
        }
        self.early.entry(mark).or_default().push_back(now);
        self.early_since.push_back((now, mark));
    }

    /// Forgets what is not trusted of the sender of a message that was forwarded, and came before it: the active bridge
    /// forwards the messages of a sender in order.
    fn settle_before(&mut self, number: u64) {
        if self.num_untrusted == 0 {
            return;
        }
        let origin = self.waiting.get(&number).and_then(|entry| entry.origin.clone());
        let before = self.waiting.range(..number);
        let before = before.filter(|(_, entry)| !entry.is_trusted && entry.origin == origin);
        let before: Vec<_> = before.map(|(number, _)| *number).collect();
        for number in before {
            self.remove(number);
        }
    }

    /// Forgets marks that have waited for their messages since before `since`: an identical message that arrives from now
    /// on is another one.
    pub(crate) fn expire_early(&mut self, since: Instant) {
        while self.early_since.front().is_some_and(|(at, _)| *at < since) {
            self.forget_early();
        }
        shrink_if_sparse(&mut self.early);
    }

    fn forget_early(&mut self) {
        let Some((at, mark)) = self.early_since.pop_front() else {
            return;
        };
        if let Some(times) = self.early.get_mut(&mark) {
            if times.front() == Some(&at) {
                times.pop_front();
            }
            if times.is_empty() {
                self.early.remove(&mark);
            }
        }
    }

    /// Takes the next message to publish, with its number and the time of its arrival.
    pub(crate) fn take(&mut self) -> Option<(u64, Arc<Item>, Instant)> {
        let (&number, entry) = self
            .waiting
            .range(self.taken + 1..)
            .find(|(_, entry)| entry.item.is_some())?;
        let item = entry.item.clone()?;
        let arrived = entry.arrived;
        self.taken = number;
        Some((number, item, arrived))
    }

    /// Removes a message that was published, or is given up; `false` if its mark was seen meanwhile.
    pub(crate) fn remove(&mut self, number: u64) -> bool {
        let Some(entry) = self.waiting.remove(&number) else {
            return false;
        };
        self.bytes -= entry.cost();
        self.num_untrusted -= usize::from(!entry.is_trusted);
        if let Some(numbers) = self.by_mark.get_mut(&entry.mark) {
            // They ascend.
            if let Ok(at) = numbers.binary_search(&number) {
                numbers.remove(at);
            }
            if numbers.is_empty() {
                self.by_mark.remove(&entry.mark);
            }
        }
        true
    }

    /// Returns the mark of a message that is here.
    pub(crate) fn mark_of(&self, number: u64) -> Option<Mark> {
        self.waiting.get(&number).map(|entry| entry.mark)
    }

    /// Returns whether a message with a mark is here.
    pub(crate) fn waits_for(&self, mark: Mark) -> bool {
        self.by_mark.contains_key(&mark)
    }

    /// Returns whether a message is still here.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.waiting.contains_key(&number)
    }

    /// Publishes again from the oldest message that is here, because none is under way.
    pub(crate) fn restart(&mut self) {
        self.taken = 0;
    }

    /// Trusts what arrives from `from` on, and nothing before: marks may have been missed.
    pub(crate) fn unsettle(&mut self, from: Instant) {
        self.trusted_from = self.trusted_from.max(from);
        for entry in self.waiting.values_mut() {
            entry.is_trusted = false;
        }
        self.num_untrusted = self.waiting.len();
    }

    /// Returns for how long everything that arrives has been trusted; `None` if it is not, or something that is not waits.
    pub(crate) fn settled_for(&self, now: Instant) -> Option<Duration> {
        let time = now.checked_duration_since(self.trusted_from);
        time.filter(|_| self.num_untrusted == 0)
    }

    /// Begins to forward: what is not trusted, or was too much to keep, is given up and counted.
    pub(crate) fn take_over(&mut self, now: Instant) -> u64 {
        let lost = self.waiting.iter();
        let lost = lost.filter(|(_, entry)| !entry.is_trusted || entry.item.is_none());
        let lost: Vec<_> = lost.map(|(number, _)| *number).collect();
        for number in &lost {
            self.remove(*number);
        }
        (self.taken, self.trusted_from) = (0, now);
        lost.len() as u64
    }

    /// Forgets the messages that arrived before `before`: the active bridge has none that are older. Those that are not
    /// trusted are the active bridge's in any case, and are forgotten if they arrived before `before_untrusted`.
    pub(crate) fn prune(&mut self, before: Instant, before_untrusted: Instant) {
        if self.num_untrusted > 0 {
            let old = self.waiting.iter();
            let old = old.take_while(|(_, entry)| entry.arrived < before_untrusted);
            let old = old.filter(|(_, entry)| !entry.is_trusted);
            let old: Vec<_> = old.map(|(number, _)| *number).collect();
            for number in old {
                self.remove(number);
            }
        }
        while let Some((&number, entry)) = self.waiting.first_key_value()
            && entry.arrived < before
        {
            self.remove(number);
        }
        shrink_if_sparse(&mut self.by_mark);
    }

    /// Returns whether a message fits into `max` bytes; one that is larger is admitted alone.
    pub(crate) fn fits(&self, size: usize, max: usize) -> bool {
        self.waiting.is_empty() || self.bytes + size + ENTRY_COST <= max
    }

    /// Keeps only the marks of the oldest messages, until the rest fits into `max` bytes, of which marks take half at most;
    /// those of the oldest beyond that are forgotten, too. For a standby, whose active bridge has the messages.
    pub(crate) fn shed(&mut self, max: usize) {
        let max_marks = MAX_MARKS.min(max / (2 * ENTRY_COST)).max(1);
        while self.waiting.len() > max_marks {
            let Some((&oldest, _)) = self.waiting.first_key_value() else {
                break;
            };
            self.remove(oldest);
        }
        while self.bytes > max {
            let next = self.waiting.range_mut(self.shed + 1..).next();
            let Some((&number, entry)) = next else {
                break;
            };
            self.shed = number;
            let before = entry.cost();
            entry.item = None;
            self.bytes -= before - entry.cost();
        }
    }

    /// Counts the messages.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Returns their bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns when the oldest of them arrived.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, entry)| entry.arrived)
    }
}

#[cfg(test)]
mod tests;
