//! The listening side of a subscription: one connection that is notified, and reads the log.
//!
//! # A connection
//!
//! 1. A pooler in between is refused ([`pooler`]): it would swallow notifications.
//! 2. `LISTEN`: what is committed from now on wakes this connection.
//! 3. An advisory lock, shared, by which listeners are counted; every login may count locks.
//! 4. The [`Origin`] of positions is compared with that of the former connection.
//! 5. At first, a position is found: what commits after it is read. What commits between 2 and 5 is in neither, or is
//!    read without having been notified.
//!
//! # Reading
//!
//! A notification says that there is something to read, not what. One that arrives while the log is read is remembered,
//! and followed by another look. Notifications of one transaction, and those that arrive meanwhile, are one: a busy
//! channel is read in large batches. Each statement is short, so that a subscriber that reads slowly holds up neither
//! the vacuum of the database nor a connection to it.

mod read;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::Error;
use manager_api::backend::{End, Feed, ListenLink, Resumed, Status};
use manager_api::log::{Escaped, LimitedLog, quietly};
use tokio::time::{sleep, timeout};
use tokio_postgres::Statement;

use crate::config::{PostgresOptions, quoted};
use crate::connect::Connector;
use crate::error::{Failure, timed_out};
use crate::pooler;
use crate::position::{Position, Snapshot};
use crate::refusal::Asked;
use crate::schema::wake;
use crate::session::{Events, Session};
use crate::trim::Trim;

/// The first key of the advisory lock that each listener holds, shared: by it listeners are counted.
pub(crate) const LOCK_CLASS: i32 = 0x0073_696f;

/// Why messages may have been missed after `sio postgres uninstall` and `install`.
const INSTALLED_ANEW: &str = "the schema was installed anew";

/// One subscription to the channel.
pub(crate) struct PostgresListener {
    /// Those of the manager.
    options: PostgresOptions,
    /// That of the manager.
    connector: Arc<Connector>,
    /// Counts notifications of other programs.
    status: Arc<Status>,
    /// `None` until the first connection.
    position: Option<(Origin, Position)>,
    /// Why the new connection does not continue where the last one ended.
    gap: Option<&'static str>,
}

/// A connection that is notified of messages.
pub(crate) struct Listening {
    /// The connection, which listens on the channel.
    session: Session,
    /// The statement that reads the log, prepared on this connection.
    read: Statement,
}

/// What positions are relative to: after a change they mean nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    /// The installation of the schema.
    incarnation: Option<String>,
    /// Changes when a standby is promoted, which may lack what listeners have read.
    timeline: Option<String>,
    /// The cluster of databases: another one after a restore from a dump.
    system: Option<String>,
}

impl ListenLink for PostgresListener {
    type Failure = Failure;
    type Connection = Listening;
    type Message = Bytes;

    /// Connects and listens within the connect timeout, then finds its position: what commits later is read or notified.
    async fn open(&mut self) -> Result<Listening, Failure> {
        let limit = self.connector.connect_timeout;
        let opened = timeout(limit, self.open_once()).await;
        opened.unwrap_or_else(|_| Err(Failure::silent(self.connector.label(), limit)))
    }

    /// Reads after each notification, and after a time without one, which shows that the server is
    /// alive.
    async fn read(&mut self, listening: &mut Listening, feed: &Feed) -> Result<Infallible, End<Failure>> {
        let (idle, limit) = (self.options.idle(), self.options.keepalive_timeout);
        let mut trim = Trim::new(&self.connector.schema, self.options.trim_interval);
        let session = &listening.session;
        loop {
            let is_cut = self.read_batch(listening, feed).await?;
            trim.run_if_due(session, limit).await?;
            if is_cut {
                continue;
            }
            tokio::select! {
                () = session.woken() => {}
                failure = session.ended() => return Err(End::Lost(failure)),
                () = sleep(idle) => {}
                () = trim.due() => {}
            }
        }
    }

    /// The log holds what was published in between, unless the position means nothing on this
    /// server.
    fn resumed(&mut self, _: &mut Listening, _: &Failure) -> Resumed {
        match self.gap.take() {
            Some(reason) => Resumed::Gap(reason.to_owned()),
            None => Resumed::Continues,
        }
    }

    fn address(&self, listening: &Listening) -> String {
        listening.session.address.clone()
    }

    fn timed_out(&self, deadline: Duration) -> Error {
        timed_out(self.connector.label(), deadline)
    }
}

impl PostgresListener {
    /// Creates a listener, which is not connected.
    pub(crate) fn new(connector: Arc<Connector>, status: Arc<Status>, options: &PostgresOptions) -> Self {
        Self {
            options: options.clone(),
            connector,
            status,
            position: None,
            gap: None,
        }
    }

    /// Makes one attempt to connect, listen and find the position.
    async fn open_once(&mut self) -> Result<Listening, Failure> {
        let events = self.events();
        let session = self.connector.connect(Asked::Listen, events).await?;
        pooler::check(&self.connector, &session).await?;
        let limit = self.connector.connect_timeout;
        let channel = quoted(&self.options.common.channel);
        session.run(&format!("LISTEN {channel}"), limit).await?;
        let origin = self.origin(&session).await?;
        self.find_position(&session, origin).await?;
        let statement = read::statement(&self.connector.schema);
        let read = session.within(limit, session.client.prepare(&statement)).await?;
        Ok(Listening { session, read })
    }

    /// Creates the events of a connection: what wakes it, and what is counted and passed over.
    fn events(&self) -> Arc<Events> {
        let wake = wake(&self.connector.schema);
        let foreign = Foreign {
            status: self.status.clone(),
            channel: self.options.common.channel.clone(),
            log: LimitedLog::new(),
        };
        Events::new(move |notification| {
            let is_ours = notification.payload() == wake;
            if !is_ours {
                foreign.pass_over(notification.payload());
            }
            is_ours
        })
    }

    /// Asks what positions are relative to, and makes this listener one that is counted.
    async fn origin(&self, session: &Session) -> Result<Origin, Failure> {
        let schema = quoted(&self.connector.schema);
        let key = crate::config::literal(&lock_name(&self.connector.schema, &self.options.common.channel));
        let question = format!(
            "SELECT (SELECT incarnation::text FROM {schema}.state), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8), \
             (SELECT system_identifier::text FROM pg_control_system()), pg_try_advisory_lock_shared({LOCK_CLASS}, hashtext({key}))"
        );
        let mut row = session
            .text_row(&question, self.connector.connect_timeout)
            .await?
            .into_iter();
        let mut next = || row.next().flatten();
        Ok(Origin {
            incarnation: next(),
            timeline: next(),
            system: next(),
        })
    }

    /// Keeps the position, or begins anew: at first, and where it means nothing any more.
    async fn find_position(&mut self, session: &Session, origin: Origin) -> Result<(), Failure> {
        match &self.position {
            Some((known, _)) if *known == origin => return Ok(()),
            Some((known, _)) => {
                self.gap = Some(match known.incarnation == origin.incarnation {
                    true => "connected to another server: a standby that was promoted, or a copy",
                    false => INSTALLED_ANEW,
                });
            }
            None => {}
        }
        let position = self.begin(session).await?;
        self.position = Some((origin, position));
        Ok(())
    }

    /// Finds the position from which on everything is read that commits from now on.
    async fn begin(&self, session: &Session) -> Result<Position, Failure> {
        // The record makes the commit wait until the number of this transaction is on the disk: a crash does not
        // assign it again. The second statement has a snapshot that was taken after the number was assigned.
        let statements = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit = local; \
                          SELECT pg_logical_emit_message(true, 'sio', ''); \
                          SELECT pg_current_xact_id()::text, pg_current_snapshot()::text";
        let row = session.text_row(statements, self.connector.connect_timeout).await?;
        session.run("COMMIT", self.connector.connect_timeout).await?;
        let field = |index: usize| row.get(index).cloned().flatten().unwrap_or_default();
        match (field(0).parse(), field(1).parse::<Snapshot>()) {
            (Ok(own), Ok(snapshot)) => Ok(Position::begin(own, &snapshot)),
            _ => Err(Failure::other(&session.address, "the server returned no snapshot")),
        }
    }

    /// Reads and delivers messages, about a mebibyte at most; true if there may be more.
    async fn read_batch(&mut self, listening: &Listening, feed: &Feed) -> Result<bool, End<Failure>> {
        let session = &listening.session;
        let (origin, position) = self.position.as_mut().expect("an open connection has a position");
        let max_len = self.options.common.max_message_bytes;
        let batch = read::Request {
            channel: &self.options.common.channel,
            position,
            max_len,
        };
        let batch = batch
            .send(session, &listening.read, self.options.keepalive_timeout)
            .await?;
        if batch.incarnation != origin.incarnation {
            // Of this server, so that the position still holds; but what was in the former log is gone.
            origin.incarnation = batch.incarnation;
            feed.gap(INSTALLED_ANEW)?;
        }
        if position.is_missing(batch.deleted, batch.num_deleted_pending) {
            feed.gap("messages were deleted from the log before they were read")?;
        }
        for message in batch.messages {
            match message {
                Ok(message) => feed.message(message).await?,
                Err(len) => feed.skip(len)?,
            }
        }
        position.advance(&batch.snapshot, batch.last, batch.is_cut);
        Ok(batch.is_cut)
    }
}

/// Notifications of other programs on the channel.
struct Foreign {
    /// Counts notifications of other programs.
    status: Arc<Status>,
    /// The channel, for log lines.
    channel: String,
    /// Limits the rate of log lines.
    log: LimitedLog,
}

impl Foreign {
    /// Counts a notification, and logs it at a limited rate. Its payload may hold anything, and is not repeated.
    fn pass_over(&self, payload: &str) {
        self.status.foreign();
        let Some(suppressed) = self.log.pass() else {
            return;
        };
        let (len, channel) = (payload.len(), Escaped(&self.channel));
        let text = "another program uses the channel";
        quietly(
            || tracing::warn!(target: "manager_postgres", suppressed, "passed over a notification of {len} bytes on {channel}: {text}"),
        );
    }
}

/// Returns the text whose hash is the second key of the lock of listeners on a channel.
pub(crate) fn lock_name(schema: &str, channel: &str) -> String {
    format!("{schema}.{channel}")
}
