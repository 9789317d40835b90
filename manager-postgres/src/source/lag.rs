//! How much waits in the table, looked up from time to time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use manager_api::deadline;
use manager_api::lock::Unpoisoned;
use tokio::time::Instant;

use super::{Reader, TableSource, UNKNOWN};
use crate::error::Failure;

/// How often the number of rows, and the age of the oldest, are looked up.
const LOOK: Duration = Duration::from_secs(5);
/// The time after which they are looked up again if the server could not tell.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl TableSource {
    /// Returns when the lag is to be looked up next.
    pub(super) fn next_look(&self) -> Instant {
        self.looked.lock().unpoisoned().unwrap_or_else(Instant::now)
    }

    /// Looks up from time to time how much waits. If the server cannot tell, it is not known for a while, and rows are read
    /// all the same.
    pub(super) async fn look(&self, reader: &mut Reader) -> Result<(), Failure> {
        if self.next_look() > Instant::now() {
            return Ok(());
        }
        *self.looked.lock().unpoisoned() = Some(deadline::after(LOOK));
        let (session, limit) = (&reader.session, self.limit());
        let is_held = reader.held_until.is_some();
        if is_held {
            session.run("SAVEPOINT sio_look", limit).await?;
        }
        let row = session.text_row(&reader.columns.lag(&self.table), limit).await;
        let row = match row {
            Ok(row) => row,
            Err(failure) if !failure.is_of_statement() => return Err(failure),
            Err(_) => {
                *self.looked.lock().unpoisoned() = Some(deadline::after(LOOK_AGAIN));
                if is_held {
                    session.run("ROLLBACK TO SAVEPOINT sio_look", limit).await?;
                }
                Vec::new()
            }
        };
        let number = |index: usize| row.get(index).cloned().flatten().and_then(|text| text.parse().ok());
        self.lag.store(number(0).unwrap_or(UNKNOWN), Ordering::Relaxed);
        self.oldest.store(number(1).unwrap_or(UNKNOWN), Ordering::Relaxed);
        Ok(())
    }
}
