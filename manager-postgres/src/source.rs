//! A table as a source of records, such as an outbox: rows are taken with `FOR UPDATE SKIP LOCKED`, and deleted once
//! they are acknowledged.
//!
//! # A batch
//!
//! 1. One transaction locks the first rows that no other member has locked, in the order of their ids, and reads them.
//! 2. It stays open until all of them are acknowledged; then they are deleted, and it commits. A member that dies ends
//!    its connection, and with it the locks: other members have the rows at once.
//! 3. After [`hold`](TableSourceOptions::hold) it ends all the same, because an open transaction keeps vacuum from its
//!    work in the whole database. What was acknowledged is deleted, the other rows are not locked any more. Those that
//!    no other member has taken meanwhile are deleted when they are acknowledged.
//!
//! Nothing new is read before all of a batch is acknowledged. There is no position, so that rows of transactions that
//! commit late are found, although their ids are lower than those that were read.

mod lag;
mod letters;
mod options;
mod progress;
mod table;

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use manager_api::Error;
use manager_api::backend::{Failure as _, closed};
use manager_api::deadline;
use manager_api::source::{Position, Reading, Record, Source, SourceStatus};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_postgres::Row;

use crate::connect::Connector;
use crate::error::Failure;
use crate::refusal::Asked;
use crate::session::{Events, Session};
use letters::Letters;
pub use options::TableSourceOptions;
use progress::Progress;
use table::{Columns, Table};

/// The channel of notifications that rows were inserted.
const WAKE: &str = "sio_outbox";
/// The shortest interval of reading.
const MIN_POLL: Duration = Duration::from_millis(10);
/// The most ids of one statement.
const MAX_IDS: usize = 10_000;
/// The limits of the time after which the server ends the transaction of a silent member.
const MIN_SILENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A number that is not known.
const UNKNOWN: u64 = u64::MAX;

/// A table of PostgreSQL as a source of records.
///
/// The columns beside id and body are the headers of a record, as text; those that are null are left out. Dead letters
/// are rows of another table, each with the row as JSON and the reason.
///
/// # Behaviour
///
/// - Rows are handed out in the order of their ids, as far as they are committed and no other transaction has locked
///   them. Nothing is handed out again by the same source.
/// - [`acknowledge`](Source::acknowledge) notes, and never fails: rows are deleted by the next call of
///   [`next`](Source::next), or by [`close`](Source::close), which fails if that is not possible. A process that is
///   killed before leaves them to the others, as if they had not been acknowledged.
/// - A call of `next` waits until the batch before is acknowledged. Call it again at once, so that it ends the
///   transaction of a batch that takes long.
/// - After a lost connection, what was acknowledged meanwhile is deleted on the next one.
/// - The lag is the number of rows, up to 100,000, and the age of the row with the lowest id, if the table has a column
///   `created_at` with times.
/// - Two connections are used at most: one for rows, and one for dead letters once there are any. They are named
///   `sio relay` in `pg_stat_activity`, unless the options or the URL name them.
pub struct TableSource {
    options: TableSourceOptions,
    /// Opens both connections.
    connector: Connector,
    /// The name of the table, quoted.
    table: Table,
    /// The name of the table in places of records, as it was given.
    name: Arc<str>,
    /// The connection that locks, reads and deletes.
    slot: Mutex<Option<Reader>>,
    /// What is under way, and what is to be deleted.
    progress: Progress,
    /// The most rows of the next batch: fewer where rows are large, so that few are locked that are not handed out.
    batch: AtomicUsize,
    /// The connection that stores dead letters.
    letters: Mutex<Letters>,
    /// When the lag is to be looked up next.
    looked: std::sync::Mutex<Option<Instant>>,
    /// Whether the last call of `next` worked.
    is_connected: AtomicBool,
    /// Whether further calls fail.
    is_closed: AtomicBool,
    /// The number of rows, or [`UNKNOWN`].
    lag: AtomicU64,
    /// The age of the row with the lowest id in seconds, or [`UNKNOWN`].
    oldest: AtomicU64,
}

/// A connection that locks, reads and deletes rows.
struct Reader {
    /// The connection, which listens for notifications.
    session: Session,
    /// The columns of the table, as they were when it was opened.
    columns: Columns,
    /// By when the transaction of the batch ends, if one is open.
    held_until: Option<Instant>,
    /// Whether there was nothing to read.
    is_idle: bool,
}

impl TableSource {
    /// Creates a source, which connects on first use. The URL is that of a [`PostgresManager`](crate::PostgresManager);
    /// the objects of [`schema::install`](crate::schema::install) are not needed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](manager_api::ErrorKind::Config) for a URL, a name or an option that cannot be used. The
    /// text never contains a password.
    pub fn new(url: &str, options: TableSourceOptions) -> Result<Self, Error> {
        options.check()?;
        let table = Table::parse("the table", &options.table)?;
        let dead = Table::parse("the table of dead letters", &options.dead_letters)?;
        Ok(Self {
            connector: Connector::new(url, &options.postgres)?,
            name: options.table.as_str().into(),
            slot: Mutex::new(None),
            progress: Progress::default(),
            batch: AtomicUsize::new(options.max_batch.max(1)),
            looked: std::sync::Mutex::new(None),
            letters: Mutex::new(Letters::new(dead)),
            is_connected: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            lag: AtomicU64::new(UNKNOWN),
            oldest: AtomicU64::new(UNKNOWN),
            table,
            options,
        })
    }

    /// Returns the error of a call.
    fn error(&self, failure: Failure) -> Error {
        Arc::new(failure).unreachable(self.connector.connect_timeout)
    }

    /// Returns the limit of a statement.
    fn limit(&self) -> Duration {
        self.options.postgres.keepalive_timeout
    }

    /// Connects, listens for notifications, and looks at the table.
    async fn open(&self) -> Result<Reader, Failure> {
        let session = self.connector.connect(Asked::Relay, Events::new(|_| true)).await?;
        let columns = self.columns(&session).await?;
        self.limit_statements(&session).await?;
        session.run(&format!("LISTEN {WAKE}"), self.limit()).await?;
        Ok(Reader {
            session,
            columns,
            held_until: None,
            is_idle: false,
        })
    }

    /// Has the server end a statement shortly before it would be given up here: a connection that is given up leaves a
    /// statement that waits for a lock, and keeps its own.
    async fn limit_statements(&self, session: &Session) -> Result<(), Failure> {
        let limit = self.limit().mul_f32(0.9).as_millis().max(1);
        session
            .run(&format!("SET statement_timeout = {limit}"), self.limit())
            .await
    }

    /// Looks up the columns of the table; refuses it if it is not as the options say.
    async fn columns(&self, session: &Session) -> Result<Columns, Failure> {
        let options = &self.options;
        let (id, body) = (&options.id_column, &options.body_column);
        Columns::of(session, &self.table, id, body, self.limit()).await
    }

    /// Waits until there is something to do. Nothing is under way on the connection meanwhile.
    async fn wait(&self, reader: &mut Reader) -> Result<(), Failure> {
        let soon = deadline::after(self.options.poll_interval.max(MIN_POLL));
        if reader.is_idle {
            return tokio::select! {
                () = reader.session.woken() => Ok(()),
                failure = reader.session.ended() => Err(failure),
                () = sleep_until(soon) => Ok(()),
            };
        }
        // Without locks what is acknowledged is deleted soon.
        let until = reader.held_until.unwrap_or(soon);
        while self.progress.has_under_way() {
            // The lag matters most while nothing is acknowledged; and it shows that the server is there.
            let look_at = self.next_look();
            tokio::select! {
                () = self.progress.finished() => {}
                failure = reader.session.ended() => return Err(failure),
                () = sleep_until(until) => break,
                () = sleep_until(look_at) => self.look(reader).await?,
            }
        }
        Ok(())
    }

    /// Deletes what was acknowledged, and reads on if nothing is under way.
    async fn turn(&self, reader: &mut Reader) -> Result<Vec<Record>, Failure> {
        reader.is_idle = false;
        self.store(reader).await?;
        self.look(reader).await?;
        if self.progress.has_under_way() {
            return Ok(Vec::new());
        }
        let records = self.take(reader).await?;
        reader.is_idle = records.is_empty();
        Ok(records)
    }

    /// Deletes what was acknowledged, and ends the transaction. Of rows that are not locked any more those of other
    /// members are passed over.
    async fn store(&self, reader: &mut Reader) -> Result<(), Failure> {
        let acknowledged = self.progress.acknowledged();
        let (session, limit) = (&reader.session, self.limit());
        let mut kept = HashSet::new();
        for chunk in acknowledged.chunks(MAX_IDS) {
            let statement = reader.columns.delete(&self.table);
            let ids = reader.columns.ids(chunk);
            session.rows(&statement, &[(&ids, table::ID_LIST)], limit).await?;
            if reader.held_until.is_none() {
                // Locked by another member, or still by a connection of this one that was lost.
                let statement = reader.columns.existing(&self.table);
                let rows = session.rows(&statement, &[(&ids, table::ID_LIST)], limit).await?;
                kept.extend(rows.iter().filter_map(|row| reader.columns.place(row.try_get(0).ok()?)));
            }
        }
        if reader.held_until.take().is_some() {
            session.run("COMMIT", limit).await?;
        }
        let mut stored = acknowledged;
        stored.retain(|place| !kept.contains(place));
        self.progress.stored(&stored);
        Ok(())
    }

    /// Locks and reads rows.
    async fn take(&self, reader: &mut Reader) -> Result<Vec<Record>, Failure> {
        let (session, limit) = (&reader.session, self.limit());
        let silence = self.options.hold.saturating_mul(2).clamp(MIN_SILENCE, DAY);
        let begin = format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL idle_in_transaction_session_timeout = {}",
            silence.as_millis()
        );
        session.run(&begin, limit).await?;
        let rows = match self.is_next(session).await? {
            true => {
                let max = i64::try_from(self.options.postgres.common.max_message_bytes).unwrap_or(i64::MAX);
                let max_rows = self.batch.load(Ordering::Relaxed);
                let statement = reader.columns.select(&self.table, max_rows);
                let selected = session.rows(&statement, &[(&max, table::MAX)], limit).await;
                self.adapt(max_rows, selected.as_deref().ok());
                selected?
            }
            false => Vec::new(),
        };
        let records = rows.iter().map(|row| reader.columns.record(row, &self.name));
        let records: Option<Vec<Record>> = records.collect();
        let unreadable = || Failure::other(&session.address, "the table has a row that cannot be read");
        let mut records = records.ok_or_else(unreadable)?;
        if records.is_empty() {
            session.run("ROLLBACK", limit).await?;
        } else {
            reader.held_until = Some(deadline::after(self.options.hold));
            // Those that a lost connection had kept from being deleted are deleted with this batch.
            records.retain(|record| !self.progress.is_acknowledged(record.position.place));
            self.progress.handed_out(&records);
        }
        Ok(records)
    }

    /// Chooses the most rows of the next batch, by what became of one of `max_rows`: none of its rows if it failed.
    fn adapt(&self, max_rows: usize, rows: Option<&[Row]>) {
        let num_read = rows.map_or(0, <[_]>::len);
        let num_locked = rows.and_then(|rows| rows.first()?.try_get::<_, i64>(4).ok());
        let num_locked = num_locked.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        let next = match rows {
            None => max_rows / 8,
            Some(_) if num_read < num_locked => num_read.saturating_mul(2),
            Some(_) if num_locked >= max_rows => max_rows.saturating_mul(2),
            Some(_) => max_rows,
        };
        let next = next.clamp(1, self.options.max_batch.max(1));
        self.batch.store(next, Ordering::Relaxed);
    }

    /// Returns whether this member may read: of members that keep the order, one at a time.
    async fn is_next(&self, session: &Session) -> Result<bool, Failure> {
        if !self.options.is_ordered {
            return Ok(true);
        }
        let row = session.text_row(&self.table.try_lock(), self.limit()).await?;
        Ok(row.first().cloned().flatten().as_deref() == Some("t"))
    }

    /// Deletes what was acknowledged, if need be on a new connection.
    async fn store_at_last(&self, reader: Option<Reader>) -> Result<(), Failure> {
        if let Some(mut reader) = reader
            && self.store(&mut reader).await.is_ok()
        {
            return Ok(());
        }
        match self.progress.acknowledged().is_empty() {
            true => Ok(()),
            false => self.store(&mut self.open().await?).await,
        }
    }
}

#[async_trait]
impl Source for TableSource {
    async fn next(&self) -> Result<Reading, Error> {
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(closed());
        }
        let mut slot = self.slot.lock().await;
        let waited = match slot.as_mut() {
            // It stays in its place: when the caller gives up, the locks are kept until what is under way is acknowledged.
            Some(reader) => self.wait(reader).await,
            None => {
                let opened = timeout(self.connector.connect_timeout + self.limit(), self.open()).await;
                let opened = opened.unwrap_or_else(|_| Err(Failure::silent(self.connector.label(), self.limit())));
                // It reads at once: a connection alone shows nothing of the rights on the table.
                *slot = Some(opened.map_err(|failure| self.error(failure))?);
                Ok(())
            }
        };
        // Taken, so that a call that is given up leaves no result behind that the next one would take for its own.
        let reader = slot.take();
        let turned = match (waited, reader) {
            (Ok(()), Some(mut reader)) => self.turn(&mut reader).await.map(|records| (reader, records)),
            (Err(failure), _) => Err(failure),
            (Ok(()), None) => return Ok(Reading::Records(Vec::new())),
        };
        match turned {
            Ok((reader, records)) => {
                *slot = Some(reader);
                self.is_connected.store(true, Ordering::Relaxed);
                Ok(Reading::Records(records))
            }
            Err(failure) => {
                self.is_connected.store(false, Ordering::Relaxed);
                Err(self.error(failure))
            }
        }
    }

    async fn acknowledge(&self, positions: &[Position]) -> Result<(), Error> {
        self.progress.acknowledge(positions);
        Ok(())
    }

    async fn dead_letter(&self, record: &Record, reason: &str) -> Result<(), Error> {
        let mut letters = self.letters.lock().await;
        let stored = letters.store(self, record, reason).await;
        stored.map_err(|failure| self.error(failure))
    }

    async fn close(&self, limit: Duration) -> Result<(), Error> {
        self.is_closed.store(true, Ordering::Relaxed);
        self.is_connected.store(false, Ordering::Relaxed);
        let storing = async { self.store_at_last(self.slot.lock().await.take()).await };
        let stored = timeout(limit, storing).await;
        let stored = stored.unwrap_or_else(|_| Err(Failure::silent(self.connector.label(), limit)));
        stored.map_err(|failure| self.error(failure))
    }

    fn status(&self) -> SourceStatus {
        let known = |number: &AtomicU64| Some(number.load(Ordering::Relaxed)).filter(|number| *number != UNKNOWN);
        let oldest = known(&self.oldest).map(Duration::from_secs);
        SourceStatus::new(self.is_connected.load(Ordering::Relaxed), known(&self.lag)).with_oldest(oldest)
    }
}

impl fmt::Debug for TableSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableSource")
            .field("connector", &self.connector)
            .field("table", &self.options.table)
            .finish_non_exhaustive()
    }
}
