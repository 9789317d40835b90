//! The state of a server: what namespaces, connections and the other servers meet in.

use std::sync::{Arc, OnceLock};

use engine_io::Engine;
use manager_api::NamespaceName;
use tokio::task::AbortHandle;

use crate::connection::{ClientHub, Core};
use crate::namespace::{Attendance, Directory};

/// What all handles of a server share.
pub(crate) struct Server {
    pub(crate) core: Arc<Core>,
    pub(crate) namespaces: Arc<Directory>,
    pub(super) engine: OnceLock<Engine>,
    pub(super) listening: OnceLock<AbortHandle>,
    /// The task of the Admin UI.
    pub(super) telling: OnceLock<AbortHandle>,
}

impl Server {
    pub(crate) fn new(core: Core) -> Self {
        Self {
            namespaces: Directory::new(&core.config, core.hub.clone()),
            core: Arc::new(core),
            engine: OnceLock::new(),
            listening: OnceLock::new(),
            telling: OnceLock::new(),
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.get().expect("set by the builder")
    }
}

impl Attendance for ClientHub {
    fn attend(&self, namespace: &NamespaceName) {
        self.attend_namespace(namespace);
    }

    fn leave(&self, namespace: &NamespaceName) {
        self.leave_namespace(namespace);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for task in [&self.listening, &self.telling] {
            if let Some(task) = task.get() {
                task.abort();
            }
        }
    }
}
