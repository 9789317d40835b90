//! What was handed out, what of it was acknowledged, and what of that is not deleted yet.

use std::collections::HashSet;
use std::sync::Mutex;

use manager_api::lock::Unpoisoned;
use manager_api::source::{Place, Position, Record};
use tokio::sync::Notify;

/// The rows of a batch, by their places.
#[derive(Default)]
pub(super) struct Progress {
    /// Held for a few instructions, and never while waiting.
    rows: Mutex<Rows>,
    /// Notified when none is under way any more.
    finished: Notify,
}

#[derive(Default)]
struct Rows {
    /// Handed out, and not acknowledged.
    under_way: HashSet<Place>,
    /// Acknowledged, and not deleted for certain.
    acknowledged: HashSet<Place>,
}

impl Progress {
    /// Records rows that were handed out.
    pub(super) fn handed_out(&self, records: &[Record]) {
        let mut rows = self.rows.lock().unpoisoned();
        for record in records {
            rows.under_way.insert(record.position.place);
        }
    }

    /// Records acknowledgements.
    pub(super) fn acknowledge(&self, positions: &[Position]) {
        let mut rows = self.rows.lock().unpoisoned();
        for position in positions {
            if rows.under_way.remove(&position.place) {
                rows.acknowledged.insert(position.place);
            }
        }
        if rows.under_way.is_empty() {
            self.finished.notify_one();
        }
    }

    /// Returns whether a row was handed out and not acknowledged.
    pub(super) fn has_under_way(&self) -> bool {
        !self.rows.lock().unpoisoned().under_way.is_empty()
    }

    /// Waits until all rows that were handed out may be acknowledged. It may also complete for an earlier batch.
    pub(super) async fn finished(&self) {
        self.finished.notified().await;
    }

    /// Returns what is to be deleted.
    pub(super) fn acknowledged(&self) -> Vec<Place> {
        self.rows.lock().unpoisoned().acknowledged.iter().copied().collect()
    }

    /// Returns whether a row was acknowledged and is not deleted for certain.
    pub(super) fn is_acknowledged(&self, place: Place) -> bool {
        self.rows.lock().unpoisoned().acknowledged.contains(&place)
    }

    /// Forgets what was deleted.
    pub(super) fn stored(&self, places: &[Place]) {
        let mut rows = self.rows.lock().unpoisoned();
        for place in places {
            rows.acknowledged.remove(place);
        }
    }
}
