//! What a reader does for a stream from time to time, on the connection that reads it: it trims the stream by its age, and
//! notices when the stream was deleted under it.

use std::sync::Arc;
use std::time::Duration;

use manager_api::deadline;
use manager_api::log::{Escaped, LimitedLog, quietly};
use manager_api::replay::Epoch;
use redis::cmd;
use tokio::time::Instant;

use super::epoch::known_epoch;
use crate::config::StreamLog;
use crate::connection::Connection;
use crate::error::Failure;
use crate::refusal::Asked;
use crate::topics::stream::{Tend, now_of};

/// What is to be done, and when.
#[derive(Debug)]
pub(super) struct Care {
    /// The name of the stream.
    stream: Arc<str>,
    /// The age beyond which entries are deleted; zero deletes none.
    max_age: Duration,
    /// The time between two looks.
    interval: Duration,
    /// When the next one is due.
    next: Instant,
    /// The epoch that the connection has found.
    pub(super) epoch: Epoch,
}

impl Care {
    /// Creates it; the first time is after an interval.
    pub(super) fn new(stream: Arc<str>, limits: &StreamLog) -> Self {
        let interval = limits.trim_interval.max(Duration::from_millis(1));
        Self {
            stream,
            max_age: limits.max_age,
            interval,
            next: deadline::after(interval),
            epoch: Epoch(0),
        }
    }

    /// Deletes the entries that are too old. What the server refuses is told, and keeps nothing from being read: publishers
    /// limit the length of the stream.
    async fn trim(&self, connection: &mut Connection) -> Result<(), Failure> {
        let now = now_of(connection).await?;
        let max_age = u64::try_from(self.max_age.as_millis()).unwrap_or(u64::MAX);
        let mut trim = cmd("XTRIM");
        trim.arg(&*self.stream).arg("MINID").arg(now.saturating_sub(max_age));
        if let Err(error) = connection.request(&trim).await? {
            let (command, name) = ("XTRIM", &*self.stream);
            let asked = Asked::Topic { command, name };
            note_kept(name, &Failure::server(&connection.address, asked, error));
        }
        Ok(())
    }
}

impl Tend for Care {
    /// Compares the epoch and trims, if the time has come. Another epoch ends the connection: the next one finds out what may
    /// have been missed.
    async fn tend(&mut self, connection: &mut Connection) -> Result<(), Failure> {
        if self.next > Instant::now() {
            return Ok(());
        }
        self.next = deadline::after(self.interval);
        if known_epoch(connection, &self.stream).await? != Some(self.epoch) {
            let text = format!("the stream {:?} was deleted or made anew", self.stream);
            return Err(Failure::other(&connection.address, text));
        }
        match self.max_age.is_zero() {
            true => Ok(()),
            false => self.trim(connection).await,
        }
    }
}

/// Logs that a stream could not be trimmed.
fn note_kept(name: &str, failure: &Failure) {
    static KEPT: LimitedLog = LimitedLog::new();
    if let Some(suppressed) = KEPT.pass() {
        let (stream, error) = (Escaped(name), Escaped(failure));
        let text = "cannot trim a stream by its age: it keeps messages up to its length";
        quietly(|| tracing::warn!(suppressed, ?stream, ?error, "{text}"));
    }
}
