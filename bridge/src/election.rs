//! The choice of the one bridge that forwards: a state machine over beats and time.
//!
//! A bridge that forwards holds a lease: it has received back a beat that it sent less than a lease ago. A standby takes
//! over once it has received its own beats, and none of an active bridge, for longer than a lease and a publish can last.
//! So the former one has stopped before the next one begins, although neither knows whether the other still runs.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::BridgeOptions;

/// Other bridges that are remembered.
const MAX_OTHERS: usize = 64;
/// Own beats that may be under way.
const MAX_SENT: usize = 256;

/// How far the term of another bridge may be ahead: further than one that claims with every beat gets in a lifetime.
const MAX_TERMS_AHEAD: u64 = 1 << 32;

/// What a bridge does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Duty {
    /// It watches.
    Standby,
    /// It is about to forward.
    Claiming,
    /// It forwards.
    Active,
}

/// What a bridge tells the others of its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beat {
    /// The name of the bridges.
    pub(crate) bridge: String,
    /// The one that sends it.
    pub(crate) id: String,
    /// Its number.
    pub(crate) n: u64,
    pub(crate) duty: Duty,
    /// The number of its turn at forwarding, or of the last one that it knows of.
    pub(crate) term: u64,
    /// Whether all its sides are connected.
    pub(crate) healthy: bool,
    /// For how long it has known what the active one has forwarded, in milliseconds; `None` if it does not.
    #[serde(default)]
    pub(crate) settled_ms: Option<u64>,
    /// Whether it has stopped forwarding of its own accord in this term.
    #[serde(default)]
    pub(crate) resigned: bool,
    /// Whether it ends.
    #[serde(default)]
    pub(crate) leaving: bool,
    /// The age of the oldest message that it has not forwarded, in milliseconds.
    #[serde(default)]
    pub(crate) oldest_ms: u64,
    /// How many messages it had told of before that it has given up.
    #[serde(default)]
    pub(crate) given_up_before: u64,
    /// Further ones: for each the side that it was for, and its mark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) given_up: Vec<(String, String)>,
    /// What its sides are.
    #[serde(default)]
    pub(crate) sides: Option<String>,
}

/// What a bridge knows about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) healthy: bool,
    /// For how long it has known what the active one has forwarded.
    pub(crate) settled_for: Option<Duration>,
    /// Whether it would rather have another bridge forward: it may have missed messages, or cannot publish. Since when.
    pub(crate) ailing_since: Option<Instant>,
}

/// Another bridge.
#[derive(Clone, Copy, Debug)]
struct Other {
    heard: Instant,
    healthy: bool,
    settled_for: Option<Duration>,
    leaving: bool,
}

/// The state of one bridge.
#[derive(Debug)]
pub(crate) struct Election {
    name: String,
    id: String,
    options: BridgeOptions,
    duty: Duty,
    term: u64,
    /// When the claim was made, and when it was received back.
    claimed: Option<Instant>,
    confirmed: Option<Instant>,
    lease_until: Option<Instant>,
    /// Since when own beats are received without an interruption, and the latest of them.
    hearing_since: Option<Instant>,
    heard_own: Option<Instant>,
    /// The latest beat of an active bridge.
    heard_active: Option<Instant>,
    /// The latest claim of another bridge.
    heard_claim: Option<Instant>,
    /// The active bridge has resigned, and none has followed.
    is_vacant: bool,
    has_resigned: bool,
    is_leaving: bool,
    others: HashMap<String, Other>,
    sent: VecDeque<(u64, Instant)>,
    last: u64,
}

impl Election {
    pub(crate) fn new(name: String, id: String, options: BridgeOptions) -> Self {
        Self {
            name,
            id,
            options,
            duty: Duty::Standby,
            term: 0,
            claimed: None,
            confirmed: None,
            lease_until: None,
            hearing_since: None,
            heard_own: None,
            heard_active: None,
            heard_claim: None,
            is_vacant: false,
            has_resigned: false,
            is_leaving: false,
            others: HashMap::new(),
            sent: VecDeque::new(),
            last: 0,
        }
    }

    pub(crate) fn duty(&self) -> Duty {
        self.duty
    }

    /// Returns until when it may forward; `None` if it must not.
    pub(crate) fn lease(&self) -> Option<Instant> {
        self.lease_until.filter(|_| self.duty == Duty::Active)
    }

    /// Returns whether it receives its own beats, without which it cannot forward.
    pub(crate) fn hears_itself(&self, now: Instant) -> bool {
        self.heard_own.is_some_and(|heard| now - heard <= self.options.lease)
    }

    /// Counts the other bridges that were heard lately.
    pub(crate) fn num_others(&self, now: Instant) -> usize {
        let others = self.others.values();
        others.filter(|other| self.is_current(other, now)).count()
    }

    /// Writes the next beat.
    pub(crate) fn beat(&mut self, now: Instant, condition: Condition, oldest_ms: u64) -> Beat {
        self.last += 1;
        self.sent.push_back((self.last, now));
        if self.sent.len() > MAX_SENT {
            self.sent.pop_front();
        }
        Beat {
            bridge: self.name.clone(),
            id: self.id.clone(),
            n: self.last,
            duty: self.duty,
            term: self.term,
            healthy: condition.healthy,
            settled_ms: condition.settled_for.map(milliseconds),
            resigned: self.has_resigned,
            leaving: self.is_leaving,
            oldest_ms,
            given_up_before: 0,
            given_up: Vec::new(),
            sides: None,
        }
    }

    /// Returns whether a bridge may have sent a beat.
    pub(crate) fn is_plausible(&self, beat: &Beat) -> bool {
        beat.term.saturating_sub(self.term) <= MAX_TERMS_AHEAD
    }

    /// Handles a beat. Returns whether it is of an active bridge other than this one.
    pub(crate) fn receive(&mut self, now: Instant, beat: &Beat) -> bool {
        if beat.bridge != self.name {
            return false;
        }
        if beat.id == self.id {
            self.receive_own(now, beat);
            return false;
        }
        self.remember(now, beat);
        let was_in_term = self.term;
        match beat.duty {
            Duty::Active => self.receive_active(now, beat),
            Duty::Claiming if self.duty == Duty::Claiming && self.yields_to(beat) => {
                self.stand_by();
                self.heard_claim = Some(now);
            }
            // An active bridge is heard by the claimant, which gives in.
            Duty::Claiming => self.heard_claim = Some(now),
            Duty::Standby if beat.resigned && beat.term >= was_in_term => {
                self.is_vacant = self.duty == Duty::Standby;
                self.heard_active = None;
            }
            Duty::Standby => {}
        }
        if self.duty != Duty::Active {
            self.term = self.term.max(beat.term);
        }
        beat.duty == Duty::Active
    }

    fn receive_own(&mut self, now: Instant, beat: &Beat) {
        let sent = self.sent.iter().find(|(n, _)| *n == beat.n).map(|(_, at)| *at);
        self.sent.retain(|(n, _)| *n > beat.n);
        let Some(sent) = sent else { return };
        let is_interrupted = self.heard_own.is_none_or(|heard| now - heard > self.options.lease);
        if is_interrupted {
            self.hearing_since = Some(now);
        }
        self.heard_own = Some(now);
        let counts = matches!(beat.duty, Duty::Claiming | Duty::Active) && beat.term == self.term;
        if counts && self.duty != Duty::Standby {
            self.lease_until = self.lease_until.max(Some(sent + self.options.lease));
            self.confirmed.get_or_insert(now);
        }
    }

    fn receive_active(&mut self, now: Instant, beat: &Beat) {
        match self.duty {
            Duty::Standby => {}
            // It is there after all.
            Duty::Claiming => self.stand_by(),
            Duty::Active if self.yields_to(beat) => self.stand_by(),
            // The other one gives in.
            Duty::Active => return,
        }
        self.heard_active = Some(now);
        self.is_vacant = false;
        self.has_resigned = false;
    }

    fn remember(&mut self, now: Instant, beat: &Beat) {
        if self.others.len() >= MAX_OTHERS {
            let takeover = self.options.takeover;
            self.others.retain(|_, other| now - other.heard < takeover);
        }
        if self.others.len() < MAX_OTHERS || self.others.contains_key(&beat.id) {
            let other = Other {
                heard: now,
                healthy: beat.healthy,
                settled_for: beat.settled_ms.map(Duration::from_millis),
                leaving: beat.leaving,
            };
            self.others.insert(beat.id.clone(), other);
        }
    }

    /// Returns whether another one goes before this one: the later term, within a term the smaller id.
    fn yields_to(&self, beat: &Beat) -> bool {
        (beat.term, std::cmp::Reverse(&beat.id)) > (self.term, std::cmp::Reverse(&self.id))
    }

    fn stand_by(&mut self) {
        self.duty = Duty::Standby;
        (self.claimed, self.confirmed, self.lease_until) = (None, None, None);
    }

    /// Handles a gap of the beats: others may have been missed.
    pub(crate) fn miss(&mut self) {
        (self.hearing_since, self.heard_own) = (None, None);
        self.is_vacant = false;
        if self.duty == Duty::Claiming {
            self.stand_by();
        }
    }

    /// Moves on with time.
    pub(crate) fn tick(&mut self, now: Instant, condition: Condition) {
        match self.duty {
            Duty::Standby if self.may_claim(now, condition) => {
                self.term = self.term.saturating_add(1);
                self.duty = Duty::Claiming;
                (self.claimed, self.confirmed, self.lease_until) = (Some(now), None, None);
                self.has_resigned = false;
            }
            Duty::Standby => {}
            Duty::Claiming => self.tick_claim(now),
            Duty::Active => {
                // Another one may have taken over; it is to be heard before this one begins again.
                let patience = self.options.takeover.saturating_sub(self.options.lease);
                if self.lease_until.is_none_or(|until| now > until + patience) {
                    self.stand_by();
                    (self.hearing_since, self.heard_own) = (None, None);
                }
            }
        }
    }

    fn tick_claim(&mut self, now: Instant) {
        let is_undisputed = self.confirmed.is_some_and(|at| now >= at + self.options.beat);
        if is_undisputed && self.lease_until.is_some_and(|until| now < until) {
            self.duty = Duty::Active;
            self.is_vacant = false;
        } else if self.claimed.is_none_or(|at| now > at + self.options.takeover) {
            self.stand_by();
        }
    }

    fn may_claim(&self, now: Instant, condition: Condition) -> bool {
        let options = &self.options;
        // A claim that was made is decided first.
        let patience = options.lease + options.beat;
        let is_claimed = self.heard_claim.is_some_and(|heard| now - heard < patience);
        if self.is_leaving || !self.hears_itself(now) || is_claimed {
            return false;
        }
        let is_fit = condition.healthy && condition.settled_for.is_some();
        // One that is fit goes before one that is not.
        let has_fitter = self.others.values().any(|other| self.is_fit(other, now));
        if !is_fit && has_fitter {
            return false;
        }
        let silence = options.takeover;
        let has_listened = self.hearing_since.is_some_and(|since| now - since >= silence);
        let is_silent = self.heard_active.is_none_or(|heard| now - heard >= silence);
        (self.is_vacant && is_fit) || (has_listened && is_silent)
    }

    fn is_current(&self, other: &Other, now: Instant) -> bool {
        !other.leaving && now - other.heard <= self.options.lease
    }

    fn is_fit(&self, other: &Other, now: Instant) -> bool {
        self.is_current(other, now) && other.healthy && other.settled_for.is_some()
    }

    /// Returns whether this bridge should let another one forward: it is ailing, and another one was fit a while later and
    /// has been since before. One that has missed something as well knows no more than this one.
    pub(crate) fn should_resign(&self, now: Instant, condition: Condition) -> bool {
        let Some(since) = condition.ailing_since else {
            return false;
        };
        let later = since + 2 * self.options.beat;
        let is_fit = |other: &Other| {
            let has_missed_nothing = other.settled_for.is_some_and(|time| other.heard - since <= time);
            self.is_fit(other, now) && other.heard >= later && has_missed_nothing
        };
        self.duty == Duty::Active && self.others.values().any(is_fit)
    }

    /// Stops forwarding, so that another bridge may begin at once.
    pub(crate) fn resign(&mut self) {
        self.has_resigned = self.duty == Duty::Active;
        self.stand_by();
        // The others go first.
        (self.hearing_since, self.heard_own) = (None, None);
    }

    /// Ends: forwards no more, and does not begin again.
    pub(crate) fn leave(&mut self) {
        self.resign();
        self.is_leaving = true;
    }

    /// Returns whether another bridge could follow at once.
    pub(crate) fn has_successor(&self, now: Instant) -> bool {
        self.others.values().any(|other| self.is_fit(other, now))
    }

    /// Returns whether another bridge has begun to forward since this one resigned.
    pub(crate) fn is_followed(&self) -> bool {
        self.heard_active.is_some() && !self.has_resigned
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
