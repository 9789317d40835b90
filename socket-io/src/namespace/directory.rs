//! The directory of namespaces: those that the application named, and those that exist while they have clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};

use manager_api::NamespaceName;
use manager_api::lock::Unpoisoned;
use manager_api::tables::wastes_memory;

use super::handlers::Handlers;
use super::state::NamespaceState;
use crate::config::Config;
use crate::error::Refusal;

/// Tells whether a group has a say in a namespace.
pub(crate) type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Is told which namespaces there are.
pub(crate) trait Attendance: Send + Sync {
    /// Called when a namespace begins to exist.
    fn attend(&self, namespace: &NamespaceName);

    /// Called when it exists no more.
    fn leave(&self, namespace: &NamespaceName);
}

pub(crate) struct Directory {
    attendance: Arc<dyn Attendance>,
    /// Those that the application named. They stay.
    named: RwLock<HashMap<NamespaceName, Arc<NamespaceState>>>,
    /// Those that clients asked for, for as long as they have clients.
    dynamic: Mutex<HashMap<NamespaceName, Weak<NamespaceState>>>,
    groups: RwLock<Arc<[Group]>>,
    any: Handlers,
    accepts_any: AtomicBool,
    max_dynamic: usize,
    max_name_bytes: usize,
}

#[derive(Clone)]
struct Group {
    matches: Predicate,
    handlers: Handlers,
}

impl Directory {
    pub(crate) fn new(config: &Config, attendance: Arc<dyn Attendance>) -> Arc<Self> {
        Arc::new(Self {
            attendance,
            named: RwLock::default(),
            dynamic: Mutex::default(),
            groups: RwLock::new(Arc::new([])),
            any: Handlers::default(),
            accepts_any: AtomicBool::new(false),
            max_dynamic: config.max_dynamic_namespaces,
            max_name_bytes: config.max_namespace_bytes,
        })
    }

    /// Finds the namespace that a client asks for; makes it, if the application lets it.
    pub(crate) fn find_or_admit(self: &Arc<Self>, name: &str) -> Result<Arc<NamespaceState>, Refusal> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        // The predicates are the application's code: no lock is held while they run.
        let group = self.groups().iter().find(|group| (group.matches)(name)).cloned();
        if group.is_none() && !self.accepts_any.load(Ordering::Acquire) || name.len() > self.max_name_bytes {
            return Err(invalid());
        }
        let name = NamespaceName::new(name).map_err(|_| invalid())?;
        let named = self.named.read().unpoisoned();
        let mut dynamic = self.dynamic();
        // The application or another client may have been quicker.
        if let Some(found) = named.get(&name) {
            return Ok(found.clone());
        }
        if let Some(found) = dynamic.get(&name).and_then(Weak::upgrade) {
            return Ok(found);
        }
        if dynamic.len() >= self.max_dynamic {
            return Err(Refusal::new("Too many namespaces"));
        }
        let state = self.make(name.clone(), group.map(|group| group.handlers));
        dynamic.insert(name, Arc::downgrade(&state));
        Ok(state)
    }

    /// Returns the namespace that the application names; clients of one that exists already stay in it.
    pub(crate) fn named(self: &Arc<Self>, name: NamespaceName) -> Arc<NamespaceState> {
        let mut named = self.named.write().unpoisoned();
        if let Some(found) = named.get(&name) {
            return found.clone();
        }
        let living = self.dynamic().remove(&name).and_then(|state| state.upgrade());
        let state = living.unwrap_or_else(|| self.make(name.clone(), None));
        named.insert(name, state.clone());
        state
    }

    /// Returns the handlers of every namespace; clients can connect to any from now on.
    pub(crate) fn any(&self) -> Handlers {
        self.accepts_any.store(true, Ordering::Release);
        self.any.clone()
    }

    pub(crate) fn add_group(&self, matches: Predicate) -> Handlers {
        let handlers = Handlers::default();
        let group = Group {
            matches,
            handlers: handlers.clone(),
        };
        let mut groups = self.groups.write().unpoisoned();
        *groups = groups.iter().cloned().chain([group]).collect();
        handlers
    }

    /// Returns the names of the namespaces that the application named.
    #[cfg(feature = "admin")]
    pub(crate) fn names(&self) -> Vec<NamespaceName> {
        let named = self.named.read().unpoisoned();
        named.keys().cloned().collect()
    }

    /// Returns the names of those that exist now because clients asked for them.
    #[cfg(feature = "admin")]
    pub(crate) fn dynamic_names(&self) -> Vec<NamespaceName> {
        self.dynamic().keys().cloned().collect()
    }

    /// Tells whether clients may ask for namespaces that the application has not named.
    #[cfg(feature = "admin")]
    pub(crate) fn admits_unnamed(&self) -> bool {
        self.accepts_any.load(Ordering::Acquire) || !self.groups().is_empty()
    }

    pub(crate) fn num_dynamic(&self) -> usize {
        self.dynamic().len()
    }

    fn find(&self, name: &str) -> Option<Arc<NamespaceState>> {
        let named = self.named.read().unpoisoned().get(name).cloned();
        named.or_else(|| self.dynamic().get(name).and_then(Weak::upgrade))
    }

    fn make(self: &Arc<Self>, name: NamespaceName, group: Option<Handlers>) -> Arc<NamespaceState> {
        self.attendance.attend(&name);
        Arc::new(NamespaceState {
            name,
            own: Handlers::default(),
            group,
            any: self.any.clone(),
            directory: Arc::downgrade(self),
        })
    }

    /// Forgets a dynamic namespace whose last client is gone, unless another one of its name has come up.
    pub(super) fn forget(&self, name: &NamespaceName) {
        let mut dynamic = self.dynamic();
        if dynamic.get(name).is_some_and(|state| state.strong_count() == 0) {
            dynamic.remove(name);
            self.attendance.leave(name);
        }
        if wastes_memory(dynamic.len(), dynamic.capacity()) {
            dynamic.shrink_to_fit();
        }
    }

    fn groups(&self) -> Arc<[Group]> {
        self.groups.read().unpoisoned().clone()
    }

    fn dynamic(&self) -> MutexGuard<'_, HashMap<NamespaceName, Weak<NamespaceState>>> {
        self.dynamic.lock().unpoisoned()
    }
}

fn invalid() -> Refusal {
    Refusal::new("Invalid namespace")
}
