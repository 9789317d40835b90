//! The channels of the rooms that have members on this server, for the sharded adapter.
//!
//! In its dynamic modes a server publishes an event for one room on a channel of that room, and each server subscribes to
//! the channels of the rooms that it has members of. As on Node, a client that enters a room is not kept waiting until
//! the broker has confirmed that.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use manager_api::lock::Unpoisoned;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::topics::{Interest, InterestChanges, Interests, Topic};
use manager_api::wire::RoomWatcher;
use manager_api::{Error, NamespaceName, Room, Sid};
use tokio::sync::Notify;

/// Which rooms have channels of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscriptionMode {
    /// None: servers publish on the channel of the namespace only. A server of ours in another mode misses nothing here,
    /// and subscribes in vain.
    Static,
    /// Those that clients enter. The default, as of the adapter.
    Dynamic,
    /// Also those named by the ids of clients.
    DynamicPrivate,
}

/// The rooms of all namespaces, and the subscriptions to their channels.
pub(crate) struct Rooms {
    prefix: String,
    mode: SubscriptionMode,
    max: usize,
    namespaces: Mutex<HashMap<NamespaceName, Occupied>>,
    /// The reason of a gap that was not reported yet.
    gap: Mutex<Option<String>>,
    has_gap: Arc<Notify>,
}

/// The rooms of a namespace.
#[derive(Default)]
struct Occupied {
    /// By the name of its channel, for how many reasons each one is wanted: a room that is a number and one of the same
    /// text share a channel. The changes come in any order, so that a count may be negative for a moment.
    counts: HashMap<Arc<str>, i64>,
    /// Wanted, and over the limit.
    over: HashSet<Arc<str>>,
    /// The running subscription.
    interests: Option<Interests>,
}

impl Rooms {
    pub(crate) fn new(prefix: &str, mode: SubscriptionMode, max: usize, has_gap: Arc<Notify>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            mode,
            max,
            namespaces: Mutex::default(),
            gap: Mutex::default(),
            has_gap,
        }
    }

    /// Begins the subscription of a namespace with `interests`, to which the channels of its rooms are added.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) if a name is too long.
    pub(crate) fn begin(
        &self,
        namespace: &NamespaceName,
        mut interests: Vec<Interest>,
    ) -> Result<InterestChanges, Error> {
        let mut namespaces = self.lock();
        let occupied = namespaces.entry(namespace.clone()).or_default();
        let max = self.max.saturating_add(interests.len());
        let wanted = occupied.counts.iter().filter(|(_, count)| **count > 0);
        let mut wanted: Vec<_> = wanted.map(|(name, _)| name.clone()).collect();
        let over = wanted.split_off(self.max.min(wanted.len()));
        interests.extend(wanted.iter().map(interest));
        let (interests, changes) = Interests::channel(interests, max)?;
        occupied.over = over.into_iter().collect();
        occupied.interests = Some(interests);
        let num_over = occupied.over.len();
        drop(namespaces);
        if num_over > 0 {
            self.missed(namespace, num_over);
        }
        Ok(changes)
    }

    /// Ends the subscription of a namespace.
    pub(crate) fn end(&self, namespace: &NamespaceName) {
        let mut namespaces = self.lock();
        if let Some(occupied) = namespaces.get_mut(namespace) {
            occupied.interests = None;
            occupied.over.clear();
            if occupied.counts.is_empty() {
                namespaces.remove(namespace);
            }
        }
    }

    /// Returns the reason why messages to rooms may have been missed since the last call.
    pub(crate) fn take_gap(&self) -> Option<String> {
        self.gap.lock().unpoisoned().take()
    }

    /// Changes for how many reasons the channel of a room is wanted.
    fn change(&self, namespace: &NamespaceName, room: &str, by: i64) {
        let name: Arc<str> = format!("{}#{namespace}#{room}#", self.prefix).into();
        let mut namespaces = self.lock();
        let occupied = namespaces.entry(namespace.clone()).or_default();
        let count = occupied.counts.entry(name.clone()).or_default();
        let was_wanted = *count > 0;
        *count += by;
        let is_wanted = *count > 0;
        if *count == 0 {
            occupied.counts.remove(&name);
        }
        if occupied.counts.is_empty() && occupied.interests.is_none() {
            namespaces.remove(namespace);
            return;
        }
        let is_added = match (was_wanted, is_wanted) {
            (false, true) => occupied.add(name),
            (true, false) => occupied.remove(&name),
            _ => true,
        };
        drop(namespaces);
        if !is_added {
            self.missed(namespace, 1);
        }
    }

    fn missed(&self, namespace: &NamespaceName, count: usize) {
        note_missed(namespace, count);
        let reason = format!("rooms of {namespace} are over the limit of {} channels", self.max);
        self.gap.lock().unpoisoned().get_or_insert(reason);
        self.has_gap.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NamespaceName, Occupied>> {
        self.namespaces.lock().unpoisoned()
    }
}

impl Occupied {
    /// Subscribes to a channel; returns false if it is over the limit.
    fn add(&mut self, name: Arc<str>) -> bool {
        let Some(interests) = &self.interests else {
            return true;
        };
        let is_added = interests.add(interest(&name)).is_ok();
        if !is_added {
            self.over.insert(name);
        }
        is_added
    }

    /// Unsubscribes from a channel. Another one may take its place, whose messages were missed: returns false then.
    fn remove(&mut self, name: &Arc<str>) -> bool {
        let Some(interests) = &self.interests else {
            return true;
        };
        if self.over.remove(name) {
            return true;
        }
        interests.remove(&interest(name));
        let Some(next) = self.over.iter().next().cloned() else {
            return true;
        };
        self.over.remove(&next);
        self.add(next);
        false
    }
}

impl RoomWatcher for Rooms {
    fn room_changed(&self, namespace: &NamespaceName, room: &Room, is_occupied: bool) {
        self.change(namespace, room.as_str(), if is_occupied { 1 } else { -1 });
    }

    fn client_changed(&self, namespace: &NamespaceName, sid: &Sid, is_connected: bool) {
        if self.mode == SubscriptionMode::DynamicPrivate {
            self.change(namespace, sid.as_str(), if is_connected { 1 } else { -1 });
        }
    }
}

fn interest(name: &Arc<str>) -> Interest {
    Interest::Topic(Topic::sharded(name.clone()))
}

fn note_missed(namespace: &NamespaceName, count: usize) {
    static MISSED: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = MISSED.pass() {
        let namespace = Escaped(namespace);
        let text = "clients miss what other servers send to their room alone: raise the limit max_rooms of the wire";
        quietly(|| tracing::error!(suppressed, ?namespace, count, "{text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case {
        rooms: Rooms,
        changes: InterestChanges,
        root: NamespaceName,
    }

    fn case(mode: SubscriptionMode, max: usize) -> Case {
        let rooms = Rooms::new("p", mode, max, Arc::default());
        let root = NamespaceName::root();
        let changes = rooms.begin(&root, Vec::new()).unwrap();
        Case { rooms, changes, root }
    }

    impl Case {
        fn change(&self, room: impl Into<Room>, is_occupied: bool) {
            self.rooms.room_changed(&self.root, &room.into(), is_occupied);
        }

        /// The names of the channels that are subscribed to.
        fn channels(&self) -> Vec<String> {
            let mut names: Vec<_> = self.changes.begin().iter().map(name_of).collect();
            names.sort();
            names
        }
    }

    fn name_of(interest: &Interest) -> String {
        match interest {
            Interest::Topic(topic) if topic.is_sharded => topic.name.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_room_has_a_channel_while_it_has_members_and_a_number_shares_that_of_its_text() {
        let case = case(SubscriptionMode::Dynamic, 100);
        case.change("a", true);
        case.change(5_i64, true);
        case.change("5", true);
        assert_eq!(case.channels(), ["p#/#5#", "p#/#a#"]);
        case.change(5_i64, false);
        case.change("a", false);
        assert_eq!(case.channels(), ["p#/#5#"]);
        case.change("5", false);
        assert_eq!(case.channels(), [""; 0]);
    }

    #[test]
    fn changes_of_several_threads_end_right_in_any_order() {
        let case = case(SubscriptionMode::Dynamic, 100);
        case.change("a", false);
        assert_eq!(case.channels(), [""; 0]);
        case.change("a", true);
        assert_eq!(case.channels(), [""; 0]);
        case.change("a", true);
        assert_eq!(case.channels(), ["p#/#a#"]);
    }

    #[test]
    fn the_ids_of_clients_have_channels_in_the_private_mode_only() {
        for (mode, expected) in [
            (SubscriptionMode::Dynamic, &[][..]),
            (SubscriptionMode::DynamicPrivate, &["p#/#sid#"]),
        ] {
            let case = case(mode, 100);
            case.rooms.client_changed(&case.root, &Sid::from("sid"), true);
            assert_eq!(case.channels(), expected);
            case.rooms.client_changed(&case.root, &Sid::from("sid"), false);
            assert_eq!(case.channels(), [""; 0]);
        }
    }

    #[test]
    fn rooms_over_the_limit_are_reported_and_take_the_place_of_others() {
        let case = case(SubscriptionMode::Dynamic, 1);
        case.change("a", true);
        assert_eq!(case.rooms.take_gap(), None);
        case.change("b", true);
        assert_eq!(case.channels(), ["p#/#a#"]);
        assert!(case.rooms.take_gap().is_some());
        case.change("a", false);
        assert_eq!(case.channels(), ["p#/#b#"]);
        assert!(case.rooms.take_gap().is_some());
    }

    #[test]
    fn a_subscription_begins_with_the_rooms_that_have_members_then() {
        let mut case = case(SubscriptionMode::Dynamic, 2);
        case.change("a", true);
        case.rooms.end(&case.root);
        case.change("b", true);
        case.change("a", false);
        case.changes = case.rooms.begin(&case.root, Vec::new()).unwrap();
        assert_eq!(case.channels(), ["p#/#b#"]);
        case.change("b", false);
        case.rooms.end(&case.root);
        assert!(case.rooms.lock().is_empty());
    }

    #[test]
    fn a_subscription_begins_with_more_rooms_than_one_that_does_not_change_may_have() {
        let mut case = case(SubscriptionMode::Dynamic, 1_000_000);
        for room in 0..70_000_i64 {
            case.change(room, true);
        }
        case.rooms.end(&case.root);
        case.changes = case.rooms.begin(&case.root, Vec::new()).unwrap();
        assert_eq!(case.channels().len(), 70_000);
    }
}
