//! Clients that left, until the connection's task takes note.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::client::Client;
use crate::error::DisconnectReason;

type List = Vec<(Arc<Client>, DisconnectReason)>;

/// Whoever ends a client leaves it here, on whatever thread.
pub(super) struct Ended {
    /// Gone with the task: a client that nobody takes out would keep its connection, and that this list, in memory for ever.
    list: Mutex<Option<List>>,
    has_some: AtomicBool,
}

impl Ended {
    pub(super) fn new() -> Self {
        Self {
            list: Mutex::new(Some(Vec::new())),
            has_some: AtomicBool::new(false),
        }
    }

    /// Leaves a client; gives it back if the task is gone.
    pub(super) fn push(&self, client: Arc<Client>, reason: DisconnectReason) -> Result<(), Arc<Client>> {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = &mut *list else {
            return Err(client);
        };
        list.push((client, reason));
        self.has_some.store(true, Ordering::Release);
        Ok(())
    }

    pub(super) fn has_some(&self) -> bool {
        self.has_some.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> List {
        if !self.has_some.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.as_mut().map(mem::take).unwrap_or_default()
    }

    /// Nobody takes anything out any more.
    pub(super) fn close(&self) {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Clients are the application's as well, by their sessions: none is dropped under the lock.
        drop(list);
    }
}
