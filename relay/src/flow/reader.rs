//! The task that reads the source, ahead of what is under way by one reading.

use std::sync::Arc;
use std::time::Duration;

use manager_api::source::{Reading, Source};
use manager_api::{Backoff, Error};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::status::RelayStatus;

/// The readings of a source, until it ends or this is dropped.
pub(super) struct Reader {
    readings: mpsc::Receiver<Result<Reading, Error>>,
    task: JoinHandle<()>,
}

impl Reader {
    /// Starts to read. Failures are repeated with back-off; a refusal of the very first call is the last item, and so is
    /// a failure after which the source has ended.
    pub(super) fn start(source: Arc<dyn Source>, status: RelayStatus, backoff: (Duration, Duration)) -> Self {
        let (sender, readings) = mpsc::channel(1);
        let task = tokio::spawn(read(source, status, Backoff::new(backoff.0, backoff.1), sender));
        Self { readings, task }
    }

    /// Waits for a reading; `None` after the last one.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Reading, Error>> {
        self.readings.recv().await
    }

    /// Ends reading, and returns what was read and not taken.
    pub(super) async fn stop(&mut self) -> Vec<Reading> {
        self.task.abort();
        let mut left = Vec::new();
        while let Some(reading) = self.readings.recv().await {
            left.extend(reading.ok());
        }
        left
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(
    source: Arc<dyn Source>,
    status: RelayStatus,
    mut backoff: Backoff,
    sender: mpsc::Sender<Result<Reading, Error>>,
) {
    let mut has_worked = false;
    let mut failure = None;
    // Room comes first: a reading that has to wait for it would be lost when this task is ended.
    while let Ok(room) = sender.reserve().await {
        match source.next().await {
            // A source that cannot go on has not ended well.
            Ok(Reading::End) => return room.send(failure.map_or(Ok(Reading::End), Err)),
            Ok(reading) => {
                has_worked = true;
                failure = None;
                backoff.reset();
                status.source_worked();
                room.send(Ok(reading));
            }
            Err(error) if error.is_refusal() && !has_worked => return room.send(Err(error)),
            Err(error) => {
                status.source_failed("read", &error);
                failure = Some(error);
                tokio::time::sleep(backoff.next_delay()).await;
            }
        }
    }
}
