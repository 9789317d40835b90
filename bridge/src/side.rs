//! One side of a bridge: a fleet, as a member of which the bridge acts there.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use manager_api::ack::{AckLimits, AckTable};
use manager_api::cluster::{RequestLimits, Requester};
use manager_api::wire::{Messenger, Process, Python, Role, Wire};
use manager_api::{ClientManager, Error, ErrorKind, HostId, NamespaceName};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::BridgeOptions;
use crate::counters::SideCounters;
use crate::probes::Probes;
use crate::responses::Outgoing;

/// A fleet that a bridge joins with others: a channel of a broker, and what is spoken there.
///
/// ```
/// use bridge::Side;
/// use manager_api::memory::MemoryBus;
///
/// let side = Side::new("python", MemoryBus::new().manager("socketio")).namespaces(["/", "/chat"])?;
/// # Ok::<(), manager_api::Error>(())
/// ```
pub struct Side {
    pub(crate) name: String,
    manager: Arc<dyn ClientManager>,
    /// `None` for the wire of python-socketio.
    wire: Option<Arc<dyn Wire>>,
    namespaces: Option<Vec<NamespaceName>>,
    has_silent_servers: bool,
}

impl Side {
    /// Creates a side with the wire of python-socketio, which servers of this project speak by default. Its namespaces are
    /// those of the other sides; all, if none of them names any.
    pub fn new(name: impl Into<String>, manager: impl ClientManager) -> Self {
        Self {
            name: name.into(),
            manager: Arc::new(manager),
            wire: None,
            namespaces: None,
            has_silent_servers: true,
        }
    }

    /// Sets another wire, that of servers on Node. Its namespaces are `/`, unless others are [set](Self::namespaces).
    #[must_use]
    pub fn wire(mut self, wire: impl Wire + 'static) -> Self {
        self.wire = Some(Arc::new(wire));
        self
    }

    /// Sets the namespaces whose messages pass between this side and others.
    ///
    /// # Errors
    ///
    /// [`Config`](ErrorKind::Config) if the list is empty, or a name is not one of a namespace.
    pub fn namespaces<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Result<Self, Error> {
        let names: Result<Vec<_>, _> = names.into_iter().map(NamespaceName::new).collect();
        let names = names.map_err(|error| of_side(&self.name, &error))?;
        if names.is_empty() {
            let text = format!(
                "side {:?} has an empty list of namespaces: no message would pass",
                self.name
            );
            return Err(Error::new(ErrorKind::Config, text));
        }
        self.namespaces = Some(names);
        Ok(self)
    }

    /// Sets whether servers of python-socketio are among those of this side. They do not say how many clients an event
    /// was sent to, so that a server on Node that waits for all acknowledgements gets this side's number only when three
    /// quarters of its time are over. Default true; without effect with another wire.
    #[must_use]
    pub fn silent_servers(mut self, has: bool) -> Self {
        self.has_silent_servers = has;
        self
    }

    /// Opens the side.
    pub(crate) fn open(self, options: &BridgeOptions) -> Result<SideState, Error> {
        let is_python = self.wire.is_none();
        let host_id = self.manager.host_id().unwrap_or_else(HostId::random);
        let process = Process {
            host_id: host_id.clone(),
            role: Role::Server,
            limits: options.limits,
        };
        let open = |process| match &self.wire {
            None => Ok(Python::messenger(self.manager.clone(), process)),
            Some(wire) => {
                let opened = wire.open(self.manager.clone(), process);
                opened.map_err(|error| of_side(&self.name, &error))
            }
        };
        let (messenger, prober) = (open(process)?, open(Process::emitter())?);
        let namespaces = self
            .namespaces
            .or_else(|| (!is_python).then(|| vec![NamespaceName::root()]));
        for namespace in namespaces.iter().flatten().filter(|_| !is_python) {
            messenger.attend(namespace);
        }
        let limits = RequestLimits {
            max_requests: options.max_requests.saturating_mul(2),
            ..RequestLimits::default()
        };
        Ok(SideState {
            name: self.name,
            host_id: host_id.clone(),
            is_python,
            has_silent_servers: is_python && self.has_silent_servers,
            namespaces,
            acks: Arc::new(AckTable::new(AckLimits::default())),
            requester: Arc::new(Requester::new(host_id, limits)),
            outgoing: Outgoing::new(),
            presence_requested: Notify::new(),
            had_gap: Notify::new(),
            probes: Probes::new(prober),
            held_until: Mutex::default(),
            unheard: Mutex::default(),
            has_no_servers: AtomicBool::new(false),
            is_subscribed: AtomicBool::new(false),
            num_connections: AtomicUsize::new(0),
            counters: SideCounters::default(),
            messenger,
        })
    }
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side")
            .field("name", &self.name)
            .field("wire", &self.wire)
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

/// Returns an error that names the side.
pub(crate) fn of_side(name: &str, error: &Error) -> Error {
    Error::new(error.kind(), format!("side {name:?}: {error}")).refused_if(error.is_refusal())
}

/// The state of a side.
pub(crate) struct SideState {
    pub(crate) name: String,
    pub(crate) messenger: Arc<dyn Messenger>,
    pub(crate) host_id: HostId,
    /// Whether its servers may be those of python-socketio.
    pub(crate) is_python: bool,
    pub(crate) has_silent_servers: bool,
    /// `None` for all.
    namespaces: Option<Vec<NamespaceName>>,
    /// The acknowledgements of events that the bridge has brought here.
    pub(crate) acks: Arc<AckTable>,
    /// The requests that the bridge has brought here.
    pub(crate) requester: Arc<Requester>,
    /// Responses and acknowledgements to the processes of this side.
    pub(crate) outgoing: Outgoing,
    pub(crate) presence_requested: Notify,
    /// Presence messages may have been missed.
    pub(crate) had_gap: Notify,
    pub(crate) probes: Probes,
    /// Until when nothing that comes from here is forwarded, after a gap.
    pub(crate) held_until: Mutex<Option<Instant>>,
    /// What the bridge does not receive, as far as it has seen.
    pub(crate) unheard: Mutex<Option<String>>,
    /// No other server was found when it was last looked for.
    pub(crate) has_no_servers: AtomicBool,
    pub(crate) is_subscribed: AtomicBool,
    /// The connections of its subscriptions, as they were when all of them were made.
    pub(crate) num_connections: AtomicUsize,
    pub(crate) counters: SideCounters,
}

impl SideState {
    /// Returns the manager.
    pub(crate) fn manager(&self) -> &Arc<dyn ClientManager> {
        self.messenger.manager()
    }

    /// Returns whether the messages of a namespace pass.
    pub(crate) fn has(&self, namespace: &NamespaceName) -> bool {
        self.namespaces.as_ref().is_none_or(|names| names.contains(namespace))
    }

    /// Returns the namespaces that pass; `None` for all.
    pub(crate) fn namespaces(&self) -> Option<&[NamespaceName]> {
        self.namespaces.as_deref()
    }

    /// Returns the namespaces, for people.
    pub(crate) fn shown_namespaces(&self) -> String {
        match &self.namespaces {
            None => "all".to_owned(),
            Some(names) => names.iter().map(NamespaceName::as_str).collect::<Vec<_>>().join(" "),
        }
    }

    /// Returns whether messages arrive, of all subscriptions, as far as its manager tells.
    pub(crate) fn is_connected(&self) -> bool {
        let health = self.manager().health();
        let is_cut_off = health.listening_since.is_none() && health.last_error.is_some();
        // A wire of Node has a subscription for each namespace.
        let is_cut_off = is_cut_off || health.num_listening < self.num_connections.load(Ordering::Relaxed);
        self.is_subscribed.load(Ordering::Relaxed) && !is_cut_off
    }
}
