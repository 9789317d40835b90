//! The election's task: sends and receives beats, and gives this bridge its role.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::{Backoff, ClientManager, Error, ErrorKind, Incoming, Subscription};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::counters::count;
use crate::election::{Beat, Condition, Duty, Election};
use crate::given_up::Told;
use crate::shared::{Role, Shared};
use crate::takeover::{probe, take_over};

/// Beats that are published at a time; further ones are left out.
const BEATS_IN_FLIGHT: usize = 8;
/// The interval at which a bridge that stops forwarding looks whether all publishes are complete.
const LOOK: Duration = Duration::from_millis(20);

/// The task.
struct Control {
    shared: Arc<Shared>,
    manager: Arc<dyn ClientManager>,
    election: Election,
    beats: FuturesUnordered<BoxFuture<'static, Result<(), Error>>>,
    /// What other bridges have given up.
    told: Told,
    /// Since when it could hear others.
    opened: Option<Instant>,
    /// A beat was published.
    has_published: bool,
    /// It forwards no more, and tells the others once nothing is under way.
    steps_down: bool,
    /// Until when it forwards what waits, and waits for a successor, because it ends.
    leaves_by: Option<Instant>,
}

/// Takes part in the election until `leaving`, and for a while after that; a bridge without a control channel forwards
/// from the start.
pub(crate) async fn run(
    shared: Arc<Shared>,
    manager: Option<Arc<dyn ClientManager>>,
    mut leaving: watch::Receiver<bool>,
) {
    let Some(manager) = manager else {
        take_over(&shared);
        shared.role.send_replace(Role::Active { until: None });
        tokio::select! {
            // The sender lives as long as the bridge.
            _ = leaving.wait_for(|is_leaving| *is_leaving) => {}
            () = shared.keep_expiring() => {}
        }
        let _ = tokio::time::timeout(shared.options.flush, flushed(&shared)).await;
        shared.role.send_replace(Role::Standby);
        return;
    };
    let election = Election::new(shared.name.clone(), shared.id.clone(), shared.options.clone());
    let control = Control {
        shared,
        manager,
        election,
        beats: FuturesUnordered::new(),
        told: Told::default(),
        opened: None,
        has_published: false,
        steps_down: false,
        leaves_by: None,
    };
    control.run(leaving).await;
}

async fn flushed(shared: &Shared) {
    while !shared.is_flushed() {
        tokio::time::sleep(LOOK).await;
    }
}

impl Control {
    async fn run(mut self, mut leaving: watch::Receiver<bool>) {
        let mut backoff = Backoff::new(self.shared.options.beat, Duration::from_secs(30));
        let mut link = Link::open(&self.manager, Duration::ZERO);
        let mut ticks = tokio::time::interval(self.shared.options.beat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = self.shared.clone();
        while !self.has_left() {
            tokio::select! {
                event = link.next() => match event {
                    LinkEvent::Incoming(incoming) => self.receive(incoming),
                    LinkEvent::Opened(subscription) => {
                        backoff.reset();
                        link = Link::Open(subscription);
                        self.opened.get_or_insert_with(Instant::now);
                        self.election.miss();
                    }
                    LinkEvent::Failed(error) => {
                        self.note_failure(&error, self.opened.is_none());
                        link = Link::open(&self.manager, backoff.next_delay());
                    }
                    LinkEvent::Ended => link = Link::open(&self.manager, backoff.next_delay()),
                },
                _ = ticks.tick() => self.tick(),
                () = shared.condition_changed.notified() => self.step(),
                Some(published) = self.beats.next() => self.note_published(published),
                () = tokio::time::sleep(LOOK), if self.waits_for_quiet() => self.step(),
                _ = leaving.changed(), if self.leaves_by.is_none() => self.leave(),
            }
            let is_connected = matches!(link, Link::Open(_)) && self.election.hears_itself(Instant::now());
            shared
                .counters
                .is_control_connected
                .store(is_connected, Ordering::Relaxed);
        }
        // The last beats tell that it has left.
        let last_beats = async { while self.beats.next().await.is_some() {} };
        let _ = tokio::time::timeout(self.shared.options.beat, last_beats).await;
    }

    /// Returns whether it has not been able to hear others for long, and has forwarded nothing.
    fn is_starting(&self) -> bool {
        let is_new = self.opened.is_none_or(|at| at.elapsed() < self.shared.options.takeover);
        is_new && self.shared.counters.takeovers.load(Ordering::Relaxed) == 0
    }

    fn condition(&self) -> Condition {
        Condition {
            healthy: self.shared.is_healthy(),
            settled_for: self.shared.settled_for(),
            ailing_since: *self.shared.ailing_since.lock().unpoisoned(),
        }
    }

    fn tick(&mut self) {
        self.election.tick(Instant::now(), self.condition());
        self.step();
        self.send_beat();
        self.shared.expire_early();
        let others = self.election.num_others(Instant::now()) as u64;
        self.shared.counters.others.store(others, Ordering::Relaxed);
        self.recover();
    }

    /// Forgets an ailment that has passed, and that no other bridge could help with.
    fn recover(&self) {
        let mut ailing_since = self.shared.ailing_since.lock().unpoisoned();
        let patience = self.shared.options.takeover + self.shared.options.settle;
        let has_passed = ailing_since.is_some_and(|since| since.elapsed() > patience);
        let mut pairs = self.shared.pairs.iter();
        let is_stalled = pairs.any(|pair| pair.counters.is_stalled.load(Ordering::Relaxed));
        if has_passed && !is_stalled {
            *ailing_since = None;
        }
    }

    fn send_beat(&mut self) {
        if self.beats.len() >= BEATS_IN_FLIGHT {
            return;
        }
        let oldest = u64::try_from(self.shared.oldest_waiting().as_millis()).unwrap_or(u64::MAX);
        let mut beat = self.election.beat(Instant::now(), self.condition(), oldest);
        self.shared.tell(&mut beat);
        beat.sides = Some(self.shared.description.clone());
        let bytes = serde_json::to_vec(&beat).expect("a beat is JSON");
        let manager = self.manager.clone();
        self.beats
            .push(async move { manager.publish(bytes.into()).await }.boxed());
    }

    fn receive(&mut self, incoming: Incoming) {
        match incoming {
            Incoming::Message(message) => self.receive_beat(&message),
            _ => self.election.miss(),
        }
        self.step();
    }

    fn receive_beat(&mut self, message: &Bytes) {
        static BAD: LimitedLog = LimitedLog::new();
        let beat = serde_json::from_slice::<Beat>(message).ok();
        let Some(beat) = beat.filter(|beat| self.election.is_plausible(beat)) else {
            count(&self.shared.counters.bad_beats);
            if let Some(suppressed) = BAD.pass() {
                quietly(|| tracing::warn!(suppressed, "a message on the channel of the bridges is not of a bridge"));
            }
            return;
        };
        let now = Instant::now();
        let is_of_active = self.election.receive(now, &beat);
        if beat.bridge == self.shared.name && beat.id != self.shared.id {
            self.shared.learn(&mut self.told, &beat, now);
            self.shared.compare_sides(&beat, self.is_starting(), now);
        }
        if !is_of_active || self.election.duty() == Duty::Active {
            return;
        }
        // The active bridge has nothing older.
        let (oldest, options) = (Duration::from_millis(beat.oldest_ms), &self.shared.options);
        let before = |slack: Duration| now.checked_sub(oldest.saturating_add(slack));
        let (Some(before), Some(before_untrusted)) = (before(options.forget), before(options.early)) else {
            return;
        };
        for pair in &self.shared.pairs {
            pair.pending.lock().unpoisoned().prune(before, before_untrusted);
            pair.has_room.notify_waiters();
        }
    }

    /// Gives the bridge the role that follows from the election and its condition.
    fn step(&mut self) {
        let now = Instant::now();
        if !self.steps_down && self.election.should_resign(now, self.condition()) {
            let bridge = Escaped(&self.shared.name);
            quietly(|| tracing::warn!(%bridge, "the bridge lets another one forward, which has missed nothing"));
            self.steps_down = true;
        }
        while self.shared.has_untold() && self.beats.len() < BEATS_IN_FLIGHT {
            self.send_beat();
        }
        self.step_leaving(now);
        if self.steps_down {
            self.step_down();
        }
        let role = match self.election.lease() {
            Some(until) if !self.steps_down => Role::Active { until: Some(until) },
            _ => Role::Standby,
        };
        self.set_role(role);
    }

    fn set_role(&self, role: Role) {
        let shared = &self.shared;
        match (role, shared.is_active()) {
            (Role::Active { .. }, false) => {
                // Publishes of an earlier turn are complete first.
                if !shared.is_quiet() {
                    return;
                }
                take_over(shared);
                probe(shared);
                shared.role.send_replace(role);
                shared.pairs.iter().for_each(|pair| pair.has_more.notify_one());
            }
            (Role::Standby, true) => {
                shared.role.send_replace(role);
                *shared.ailing_since.lock().unpoisoned() = None;
                let bridge = Escaped(&shared.name);
                quietly(|| tracing::info!(%bridge, "the bridge stands by"));
            }
            (role, _) => {
                shared.role.send_if_modified(|now| std::mem::replace(now, role) != role);
            }
        }
    }

    /// Tells the others that they may begin, once nothing is under way or untold.
    fn step_down(&mut self) {
        self.set_role(Role::Standby);
        // What it has given up is told before another one begins.
        if !self.shared.is_quiet() || self.shared.has_untold() {
            return;
        }
        self.steps_down = false;
        match self.leaves_by {
            Some(_) => self.election.leave(),
            None => self.election.resign(),
        }
        self.send_beat();
    }

    fn leave(&mut self) {
        self.leaves_by = Some(Instant::now() + self.shared.options.flush);
        if self.election.duty() != Duty::Active {
            self.election.leave();
            self.send_beat();
        }
        self.step();
    }

    /// Hands over: at once to a successor, otherwise after what waits is forwarded.
    fn step_leaving(&mut self, now: Instant) {
        let Some(by) = self.leaves_by else { return };
        if self.election.duty() != Duty::Active || self.steps_down {
            return;
        }
        self.steps_down = self.election.has_successor(now) || self.shared.is_flushed() || now >= by;
    }

    /// Returns whether a change waits until nothing is under way.
    fn waits_for_quiet(&self) -> bool {
        let is_to_begin = self.election.lease().is_some() && !self.shared.is_active();
        self.leaves_by.is_some() || self.steps_down || is_to_begin
    }

    /// Returns whether it has ended, and its successor has begun if there is one.
    fn has_left(&self) -> bool {
        let Some(by) = self.leaves_by else {
            return false;
        };
        let (now, election) = (Instant::now(), &self.election);
        let has_stopped = !self.steps_down && election.duty() == Duty::Standby;
        let waits = election.has_successor(now) && !election.is_followed() && now < by;
        has_stopped && !waits
    }

    fn note_published(&mut self, published: Result<(), Error>) {
        match published {
            Ok(()) => self.has_published = true,
            Err(error) => self.note_failure(&error, !self.has_published),
        }
    }

    /// Logs a failure of the control channel. The first attempt to use it must not be refused.
    fn note_failure(&self, error: &Error, is_first: bool) {
        static FAILED: LimitedLog = LimitedLog::new();
        if error.kind() == ErrorKind::Closed && self.leaves_by.is_none() {
            let text = "the manager of the control channel was closed while the bridge ran";
            return self.shared.fail(Error::new(ErrorKind::Closed, text));
        }
        // Later on all bridges would end at once, of which one may be needed when the refusal has ended.
        if is_first && (error.is_refusal() || error.kind() == ErrorKind::Config) {
            let text = format!("the control channel: {error}");
            return self.shared.fail(Error::new(error.kind(), text).refused());
        }
        if let Some(suppressed) = FAILED.pass() {
            let error = Escaped(error);
            let text = "the bridges cannot reach each other; without that none of them forwards";
            quietly(|| tracing::warn!(suppressed, ?error, "{text}"));
        }
    }
}

/// The subscription to the beats.
enum Link {
    Opening(BoxFuture<'static, Result<Subscription, Error>>),
    Open(Subscription),
}

/// What happens to it.
enum LinkEvent {
    Opened(Subscription),
    Failed(Error),
    Incoming(Incoming),
    Ended,
}

impl Link {
    /// Subscribes after a while.
    fn open(manager: &Arc<dyn ClientManager>, wait: Duration) -> Self {
        let manager = manager.clone();
        let subscribing = async move {
            tokio::time::sleep(wait).await;
            manager.subscribe().await
        };
        Self::Opening(subscribing.boxed())
    }

    /// Waits for the next event. Dropping the future loses nothing.
    async fn next(&mut self) -> LinkEvent {
        match self {
            Self::Opening(subscribing) => match subscribing.await {
                Ok(subscription) => LinkEvent::Opened(subscription),
                Err(error) => LinkEvent::Failed(error),
            },
            Self::Open(subscription) => match subscription.recv().await {
                Some(incoming) => LinkEvent::Incoming(incoming),
                None => LinkEvent::Ended,
            },
        }
    }
}
