//! What the tasks of a bridge share.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use manager_api::lock::Unpoisoned;
use manager_api::{Error, ErrorKind, NamespaceName};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use crate::counters::{Counters, PairCounters, count};
use crate::given_up::Untold;
use crate::pending::Pending;
use crate::side::SideState;
use crate::{BridgeOptions, agreement};

/// Whether this bridge forwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It watches.
    Standby,
    /// It forwards, until the lease ends if there is one.
    Active { until: Option<Instant> },
}

impl Role {
    /// Returns whether a publish may begin now.
    pub(crate) fn may_forward(self) -> bool {
        match self {
            Self::Standby => false,
            Self::Active { until } => until.is_none_or(|until| Instant::now() < until),
        }
    }
}

/// The state of a bridge.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) options: BridgeOptions,
    pub(crate) sides: Vec<SideState>,
    /// What the sides are, for other bridges.
    pub(crate) description: String,
    /// When a bridge of this name with other sides was heard.
    pub(crate) disagreed: Mutex<Option<Instant>>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) role: watch::Sender<Role>,
    /// Wakes the election: something has happened to this bridge.
    pub(crate) condition_changed: Notify,
    /// Since when another bridge should rather forward: this one may have missed messages, or cannot publish.
    pub(crate) ailing_since: Mutex<Option<Instant>>,
    /// What this bridge has given up, and other bridges do not know of.
    pub(crate) untold: Mutex<Untold>,
    /// Requests, and events with acknowledgements, that may still be taken on.
    asked_budget: Arc<Semaphore>,
    /// Why the bridge cannot go on.
    pub(crate) fatal: watch::Sender<Option<Arc<Error>>>,
    pub(crate) counters: Counters,
    pub(crate) started: Instant,
}

/// One direction between two sides.
pub(crate) struct Pair {
    /// The sides, by their places.
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) pending: Mutex<Pending>,
    /// Something waits to be published.
    pub(crate) has_more: Notify,
    /// Something was removed.
    pub(crate) has_room: Notify,
    pub(crate) counters: PairCounters,
}

impl Pair {
    fn new(from: usize, to: usize) -> Self {
        Self {
            from,
            to,
            pending: Mutex::new(Pending::new(Instant::now())),
            has_more: Notify::new(),
            has_room: Notify::new(),
            counters: PairCounters::default(),
        }
    }
}

impl Shared {
    pub(crate) fn new(name: String, options: BridgeOptions, sides: Vec<SideState>) -> Self {
        let pairs = (0..sides.len()).flat_map(|from| (0..sides.len()).map(move |to| (from, to)));
        let pairs = pairs.filter(|(from, to)| from != to);
        let max_requests = options.max_requests.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            name,
            id: uuid::Uuid::new_v4().simple().to_string(),
            pairs: pairs.map(|(from, to)| Pair::new(from, to)).collect(),
            options,
            description: agreement::description(&sides),
            disagreed: Mutex::default(),
            sides,
            role: watch::Sender::new(Role::Standby),
            condition_changed: Notify::new(),
            ailing_since: Mutex::default(),
            untold: Mutex::default(),
            asked_budget: Arc::new(Semaphore::new(max_requests)),
            fatal: watch::Sender::new(None),
            counters: Counters::default(),
            started: Instant::now(),
        }
    }

    /// Returns whether this bridge is the one that forwards, lease or not.
    pub(crate) fn is_active(&self) -> bool {
        matches!(*self.role.borrow(), Role::Active { .. })
    }

    /// Returns whether a publish may begin now.
    pub(crate) fn may_forward(&self) -> bool {
        self.role.borrow().may_forward()
    }

    /// Returns the directions that begin at a side.
    pub(crate) fn pairs_from(&self, side: usize) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| pair.from == side)
    }

    /// Returns the directions that end at a side.
    pub(crate) fn pairs_to(&self, side: usize) -> impl Iterator<Item = &Pair> {
        self.pairs.iter().filter(move |pair| pair.to == side)
    }

    /// Returns whether messages of a namespace pass between two sides.
    pub(crate) fn passes(&self, pair: &Pair, namespace: &NamespaceName) -> bool {
        self.sides[pair.from].has(namespace) && self.sides[pair.to].has(namespace)
    }

    /// Takes on a request, or an event with acknowledgements; `None` if there are too many.
    pub(crate) fn take_on(&self) -> Option<OwnedSemaphorePermit> {
        let permit = self.asked_budget.clone().try_acquire_owned().ok();
        if permit.is_none() {
            count(&self.counters.refused_requests);
        }
        permit
    }

    /// Trusts what arrives at a side, and the marks that do, a while from now on only.
    pub(crate) fn unsettle(&self, side: usize) {
        let from = Instant::now() + self.options.settle;
        for pair in self.pairs.iter().filter(|pair| pair.from == side || pair.to == side) {
            pair.pending.lock().unpoisoned().unsettle(from);
        }
        self.ail();
    }

    /// Records that another bridge should rather forward.
    pub(crate) fn ail(&self) {
        self.ailing_since.lock().unpoisoned().get_or_insert_with(Instant::now);
        self.condition_changed.notify_one();
    }

    /// Returns whether all sides are connected.
    pub(crate) fn is_healthy(&self) -> bool {
        self.sides.iter().all(SideState::is_connected)
    }

    /// Forgets marks that have waited too long for their messages.
    pub(crate) fn expire_early(&self) {
        let Some(since) = Instant::now().checked_sub(self.options.early) else {
            return;
        };
        for pair in &self.pairs {
            pair.pending.lock().unpoisoned().expire_early(since);
        }
    }

    /// Forgets them at intervals; never completes.
    pub(crate) async fn keep_expiring(&self) {
        loop {
            tokio::time::sleep(self.options.beat).await;
            self.expire_early();
        }
    }

    /// Returns for how long it is known of what arrives whether it is forwarded; `None` if it is not.
    pub(crate) fn settled_for(&self) -> Option<Duration> {
        let now = Instant::now();
        let times = self
            .pairs
            .iter()
            .map(|pair| pair.pending.lock().unpoisoned().settled_for(now));
        let shortest = times.min().flatten();
        shortest.filter(|_| self.is_healthy())
    }

    /// Returns the age of the oldest message that waits.
    pub(crate) fn oldest_waiting(&self) -> Duration {
        let oldest = self
            .pairs
            .iter()
            .filter_map(|pair| pair.pending.lock().unpoisoned().oldest());
        oldest.min().map_or_else(Default::default, |oldest| oldest.elapsed())
    }

    /// Returns whether nothing waits and nothing is under way.
    pub(crate) fn is_flushed(&self) -> bool {
        self.pairs
            .iter()
            .all(|pair| pair.pending.lock().unpoisoned().len() == 0)
            && self.is_quiet()
    }

    /// Returns whether other bridges are to be told of messages that this one has given up.
    pub(crate) fn has_untold(&self) -> bool {
        !self.untold.lock().unpoisoned().is_empty()
    }

    /// Returns whether no publish is under way.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut pairs = self.pairs.iter();
        pairs.all(|pair| pair.counters.in_flight.load(Ordering::Acquire) == 0)
    }

    /// Runs a task for one message, beside those of the whole bridge. A panic ends the bridge.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let shared = self.clone();
        tokio::spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                shared.fail(defect());
            }
        });
    }

    /// Ends the bridge with an error.
    pub(crate) fn fail(&self, error: Error) {
        self.fatal.send_if_modified(|fatal| {
            let is_first = fatal.is_none();
            fatal.get_or_insert_with(|| Arc::new(error));
            is_first
        });
    }
}

/// Returns the error of a bridge of which a task has panicked.
pub(crate) fn defect() -> Error {
    let text = "a task of the bridge has panicked: a defect of the bridge";
    Error::new(ErrorKind::Closed, text)
}
