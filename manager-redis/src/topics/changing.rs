//! What the connections of one subscription share: its table, and the task that keeps it up to date.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use manager_api::deadline;
use manager_api::lock::Unpoisoned;
use manager_api::topics::{Interest, InterestChanges};
use tokio::time::sleep_until;

use super::table::Table;
use crate::config::RedisOptions;

/// The topics of one subscription, and the connections that they are on.
pub(super) struct Changing {
    changes: Arc<InterestChanges>,
    /// Held for a moment only, by the one task of the subscription.
    table: Mutex<Table>,
}

impl Changing {
    pub(super) fn new(changes: InterestChanges, options: &RedisOptions) -> Self {
        let changes = Arc::new(changes);
        Self {
            table: Mutex::new(Table::new(changes.clone(), options)),
            changes,
        }
    }

    /// Returns the interests of a first connection.
    pub(super) fn begin(&self) -> Vec<Interest> {
        self.changes.begin()
    }

    /// Returns the interests of a further connection. What was not confirmed before is added later, so that it keeps
    /// nothing from being received.
    pub(super) fn begin_again(&self) -> Vec<Interest> {
        self.changes.begin_again()
    }

    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unpoisoned()
    }

    /// Tells the table of changes, and tries again what failed; never completes.
    pub(super) async fn follow(&self) -> Infallible {
        let has_failed = self.table().has_failed();
        loop {
            let retry_at = self.table().retry_at();
            let never = deadline::after(Duration::MAX);
            tokio::select! {
                () = self.changes.changed() => self.table().follow(),
                () = sleep_until(retry_at.unwrap_or(never)), if retry_at.is_some() => self.table().retry(),
                () = has_failed.notified() => {}
            }
            tokio::task::yield_now().await;
        }
    }
}
