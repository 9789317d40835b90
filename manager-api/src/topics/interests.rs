//! [`Interests`]: what a subscription receives, changed while it runs.
//!
//! The set that is wanted is kept, and not a list of changes: a topic that is added, removed and added again before the
//! broker was asked costs nothing, and ends as it was asked for last.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::future::try_join_all;
use tokio::sync::{Notify, oneshot};

use super::Interest;
use crate::backend::{bad, check_interests, closed};
use crate::lock::Unpoisoned;
use crate::{Error, ErrorKind};

/// What a subscription receives, changed while it runs: the end of the subscriber.
///
/// The other end is for [`Topics::subscribe_to_changing`](super::Topics::subscribe_to_changing). Clones change the same
/// subscription. No method waits for I/O except [`subscribe`](Self::subscribe).
///
/// # Examples
///
/// ```
/// use manager_api::memory::MemoryBus;
/// use manager_api::topics::{Interest, Interests, Topic, Topics};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), manager_api::Error> {
/// let manager = MemoryBus::new().manager("unused");
/// let [one, two] = ["one", "two"].map(|name| Interest::Topic(Topic::new(name)));
/// let (interests, changes) = Interests::channel(vec![one.clone()], 1_000)?;
/// let mut subscription = manager.subscribe_to_changing(changes).await?;
/// interests.subscribe(vec![two]).await?; // later publishes to it are received
/// interests.remove(&one); // no more of this one, some time later
/// # drop(subscription.try_recv());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Interests {
    shared: Arc<Shared>,
}

/// What a subscription receives, changed while it runs: the end of the manager, which it reads until the subscription is
/// dropped.
pub struct InterestChanges {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    max: usize,
}

#[derive(Default)]
struct State {
    wanted: HashMap<Interest, Wanted>,
    /// Those that were added or removed since the manager looked.
    changed: HashSet<Interest>,
    /// The manager reads this set with each message, so that a change takes effect at once.
    is_immediate: bool,
    is_closed: bool,
}

/// What is known of an interest.
#[derive(Default)]
struct Wanted {
    /// Later publishes are received, or a gap tells.
    is_confirmed: bool,
    waiting: Vec<oneshot::Sender<Result<(), Error>>>,
}

impl Interests {
    /// Creates both ends, with the interests to begin with and the largest number of them that there may be at a time.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if a name is too long, or there are more than `max`.
    pub fn channel(initial: Vec<Interest>, max: usize) -> Result<(Self, InterestChanges), Error> {
        // Their number has its own limit here.
        for interest in &initial {
            check_interests(std::slice::from_ref(interest))?;
        }
        let wanted: HashMap<_, _> = initial
            .into_iter()
            .map(|interest| (interest, Wanted::default()))
            .collect();
        if wanted.len() > max {
            let len = wanted.len();
            return Err(bad(format!(
                "a subscription to {len} topics is over its limit of {max}"
            )));
        }
        let state = State {
            wanted,
            ..State::default()
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            changed: Notify::new(),
            max,
        });
        Ok((Self { shared: shared.clone() }, InterestChanges { shared }))
    }

    /// Adds an interest, which is subscribed to some time later; a [gap](crate::Incoming::Gap) follows if that fails at
    /// first. Does nothing if it is there, or the subscription has ended.
    ///
    /// # Errors
    ///
    /// [`Busy`](ErrorKind::Busy) if there are as many as may be, [`Config`](ErrorKind::Config) if it is a stream, or its
    /// name is too long. Nothing is added then.
    pub fn add(&self, interest: Interest) -> Result<(), Error> {
        self.insert(interest, None)
    }

    /// Adds interests, and returns once every later publish to any of them will be received.
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add), after which those before it stay added; the broker's refusal, after which the refused ones are removed; and
    /// [`Closed`](ErrorKind::Closed) once the subscription has ended, or one of them was removed meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the interests added.
    pub async fn subscribe(&self, interests: Vec<Interest>) -> Result<(), Error> {
        let mut confirmations = Vec::new();
        for interest in interests {
            let (confirm, confirmed) = oneshot::channel();
            self.insert(interest, Some(confirm))?;
            confirmations.push(async move { confirmed.await.unwrap_or_else(|_| Err(closed())) });
        }
        try_join_all(confirmations).await.map(drop)
    }

    /// Removes an interest: its messages end some time later. Does nothing if it is not there.
    pub fn remove(&self, interest: &Interest) {
        let mut state = self.shared.lock();
        if state.wanted.remove(interest).is_some() && !state.is_immediate {
            state.changed.insert(interest.clone());
            self.shared.changed.notify_one();
        }
    }

    /// Returns the number of interests.
    pub fn len(&self) -> usize {
        self.shared.lock().wanted.len()
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn insert(&self, interest: Interest, confirm: Option<oneshot::Sender<Result<(), Error>>>) -> Result<(), Error> {
        if matches!(interest, Interest::Stream { .. }) {
            return Err(bad("the streams of a subscription cannot be changed"));
        }
        check_interests(std::slice::from_ref(&interest))?;
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        if state.is_closed {
            return confirm.map_or(Ok(()), |_| Err(closed()));
        }
        if state.wanted.len() >= self.shared.max && !state.wanted.contains_key(&interest) {
            return Err(too_many(self.shared.max));
        }
        let is_new = !state.wanted.contains_key(&interest);
        let wanted = state.wanted.entry(interest.clone()).or_default();
        wanted.is_confirmed |= state.is_immediate;
        match confirm {
            // The receiver may be gone.
            Some(confirm) if wanted.is_confirmed => drop(confirm.send(Ok(()))),
            Some(confirm) => wanted.waiting.push(confirm),
            None => {}
        }
        if is_new && !state.is_immediate {
            state.changed.insert(interest);
            self.shared.changed.notify_one();
        }
        Ok(())
    }
}

impl InterestChanges {
    /// Completes once interests were added or removed that [`take_changed`](Self::take_changed) has not returned.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&self) {
        loop {
            let notified = self.shared.changed.notified();
            if !self.shared.lock().changed.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Returns the interests that were added or removed since the last call, or both; at most `max` of them.
    pub fn take_changed(&self, max: usize) -> Vec<Interest> {
        let mut state = self.shared.lock();
        if state.changed.len() <= max {
            return state.changed.drain().collect();
        }
        let some: Vec<_> = state.changed.iter().take(max).cloned().collect();
        for interest in &some {
            state.changed.remove(interest);
        }
        some
    }

    /// Returns whether an interest is wanted now.
    pub fn contains(&self, interest: &Interest) -> bool {
        self.shared.lock().wanted.contains_key(interest)
    }

    /// Returns whether a predicate holds for any interest that is wanted now.
    pub fn any(&self, predicate: impl FnMut(&Interest) -> bool) -> bool {
        self.shared.lock().wanted.keys().any(predicate)
    }

    /// Returns all that are wanted, as the beginning of a subscription: none of them has changed since.
    pub fn begin(&self) -> Vec<Interest> {
        let mut state = self.shared.lock();
        state.changed.clear();
        state.wanted.keys().cloned().collect()
    }

    /// Returns those that were confirmed before, as the beginning of another connection. The others, and what was
    /// removed, count as changed.
    pub fn begin_again(&self) -> Vec<Interest> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        state.changed.clear();
        let mut confirmed = Vec::new();
        for (interest, wanted) in &state.wanted {
            match wanted.is_confirmed {
                true => confirmed.push(interest.clone()),
                false => drop(state.changed.insert(interest.clone())),
            }
        }
        if !state.changed.is_empty() {
            self.shared.changed.notify_one();
        }
        confirmed
    }

    /// Records that later publishes to it will be received, or that a gap will tell if not.
    pub fn confirm(&self, interest: &Interest) {
        if let Some(wanted) = self.shared.lock().wanted.get_mut(interest) {
            wanted.is_confirmed = true;
            for confirm in wanted.waiting.drain(..) {
                // The receiver may be gone.
                drop(confirm.send(Ok(())));
            }
        }
    }

    /// Records that the broker has refused an interest; returns whether to try again. Where a subscriber waits for it,
    /// that one gets the error, and it is not wanted any more.
    pub fn refuse(&self, interest: &Interest, error: impl Fn() -> Error) -> bool {
        let mut state = self.shared.lock();
        let Some(wanted) = state.wanted.get_mut(interest) else {
            return false;
        };
        let mut is_told = false;
        for confirm in wanted.waiting.drain(..) {
            is_told |= confirm.send(Err(error())).is_ok();
        }
        if is_told {
            state.wanted.remove(interest);
        }
        !is_told
    }

    /// Confirms all interests, now and in future: for a manager that reads this set with each message.
    pub fn confirm_at_once(&self) {
        let all = {
            let mut state = self.shared.lock();
            state.is_immediate = true;
            state.changed.clear();
            state.wanted.keys().cloned().collect::<Vec<_>>()
        };
        for interest in &all {
            self.confirm(interest);
        }
    }
}

impl Drop for InterestChanges {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_closed = true;
        // Those who wait get an error.
        state.wanted.clear();
        state.changed.clear();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unpoisoned()
    }
}

fn too_many(max: usize) -> Error {
    Error::new(
        ErrorKind::Busy,
        format!("a subscription has {max} topics already, which is its limit"),
    )
}

impl fmt::Debug for Interests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interests")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for InterestChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterestChanges").finish_non_exhaustive()
    }
}
