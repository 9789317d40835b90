//! Probes: events without recipients, by which a bridge finds out that it has received what was published before.

use std::sync::{Arc, Mutex};

use manager_api::lock::Unpoisoned;
use manager_api::message::{Emit, Envelope, Mark, Message, Target};
use manager_api::wire::Messenger;
use manager_api::{EventName, NamespaceName, Payload, Room};
use tokio::sync::Notify;

/// The name of the event that a probe is. No client receives it.
pub(crate) const PROBE: &str = "sio-bridge";

/// The probes of a side.
pub(crate) struct Probes {
    /// Publishes as a process of its own: a side does not hand on what the bridge itself has published.
    messenger: Arc<dyn Messenger>,
    /// Those that have not returned in this turn.
    awaited: Mutex<Vec<Mark>>,
    returned: Notify,
}

impl Probes {
    pub(crate) fn new(messenger: Arc<dyn Messenger>) -> Self {
        Self {
            messenger,
            awaited: Mutex::default(),
            returned: Notify::new(),
        }
    }

    /// Returns whether all have returned.
    pub(crate) fn are_back(&self) -> bool {
        self.awaited.lock().unpoisoned().is_empty()
    }

    /// Handles a mark that was received; returns whether it is of a probe.
    pub(crate) fn see(&self, mark: Mark) -> bool {
        let mut awaited = self.awaited.lock().unpoisoned();
        let Some(at) = awaited.iter().position(|awaited| *awaited == mark) else {
            return false;
        };
        awaited.swap_remove(at);
        if awaited.is_empty() {
            self.returned.notify_one();
        }
        true
    }

    /// Expects these, and no earlier ones any more.
    pub(crate) fn expect(&self, marks: Vec<Mark>) {
        *self.awaited.lock().unpoisoned() = marks;
    }

    /// Returns whether one of them is still expected.
    pub(crate) fn awaits(&self, is_one: impl Fn(&Mark) -> bool) -> bool {
        self.awaited.lock().unpoisoned().iter().any(is_one)
    }

    /// Waits until all have returned.
    pub(crate) async fn returned(&self) {
        self.returned.notified().await;
    }

    /// Publishes one.
    pub(crate) async fn publish(&self, namespace: &NamespaceName, mark: Mark) {
        let name = EventName::new(PROBE).expect("it is a name");
        let mut emit = Emit::new(namespace.clone(), name, Payload::empty());
        emit.target = Target::Rooms(vec![Room::from(format!("{PROBE}-{mark}"))]);
        let envelope = Envelope {
            host_id: Some(self.messenger.process().host_id.clone()),
            message: Message::Emit(emit),
            mark: Some(mark),
        };
        // If it fails, it does not return.
        let _ = self.messenger.encode(envelope).publish.await;
    }
}
