//! The deletion of old messages, by the connections that there are anyway.
//!
//! Each listener and each publisher calls the function `trim` from time to time. It locks the one row of the table
//! `state`, and returns at once if another process has done so. It deletes a limited number of rows and waits half a
//! second at most for what others have locked, so that neither reading nor publishing, which the server does after it,
//! waits for long; and it is called again at once while there are more.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_postgres::types::Type;

use crate::config::quoted;
use crate::error::Failure;
use crate::session::Session;

/// The maximum number of messages that are deleted at once: what reading or publishing waits for meanwhile.
const MAX_ROWS: i32 = 2000;

/// The deletion of old messages over one connection.
pub(crate) struct Trim {
    /// Calls the function that deletes.
    statement: String,
    /// The time between two deletions, on average; zero never deletes.
    interval: Duration,
    /// `None` if it never is.
    next: Option<Instant>,
}

impl Trim {
    /// Creates one that is due for the first time within an interval.
    pub(crate) fn new(schema: &str, interval: Duration) -> Self {
        let mut trim = Self {
            statement: format!("SELECT {}.trim($1)", quoted(schema)),
            interval,
            next: None,
        };
        trim.schedule(interval.mul_f64(fastrand::f64()));
        trim
    }

    /// Sets when it is due next: after `pause`, or never.
    fn schedule(&mut self, pause: Duration) {
        self.next = match self.interval.is_zero() {
            true => None,
            false => Instant::now().checked_add(pause),
        };
    }

    /// Returns when it is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Completes when it is due.
    pub(crate) async fn due(&self) {
        match self.next {
            Some(next) => sleep_until(next).await,
            None => std::future::pending().await,
        }
    }

    /// Returns whether it is due.
    pub(crate) fn is_due(&self) -> bool {
        self.next.is_some_and(|next| next <= Instant::now())
    }

    /// Deletes a batch if that is due. If there was a whole one, the next is due at once. What the server refuses is left
    /// to other processes.
    ///
    /// # Errors
    ///
    /// The failure of the connection.
    pub(crate) async fn run_if_due(&mut self, session: &Session, limit: Duration) -> Result<(), Failure> {
        if !self.is_due() {
            return Ok(());
        }
        let deleted = session.rows(&self.statement, &[(&MAX_ROWS, Type::INT4)], limit).await;
        let rows = match deleted {
            Ok(rows) => rows,
            Err(failure) if failure.is_answer() && !session.client.is_closed() => {
                tracing::debug!(target: "manager_postgres", "old messages were not deleted: {failure}");
                Vec::new()
            }
            Err(failure) => return Err(failure),
        };
        let num_deleted: i64 = rows.first().and_then(|row| row.try_get(0).ok()).unwrap_or_default();
        let is_whole = num_deleted >= i64::from(MAX_ROWS);
        self.schedule(if is_whole {
            Duration::ZERO
        } else {
            self.interval.mul_f64(0.75 + fastrand::f64() / 2.0)
        });
        Ok(())
    }
}
