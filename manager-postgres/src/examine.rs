//! The examination of a database for a diagnosis.

use std::time::Duration;

use manager_api::diagnosis::{Circumstances, Code, Examination, Finding};
use tokio::time::timeout;

use crate::config::{literal, quoted};
use crate::connect::Connector;
use crate::listen::{LOCK_CLASS, lock_name};
use crate::refusal::Asked;
use crate::session::{Events, Session};

/// The shortest time for which messages are kept without a finding.
const MIN_RETENTION: f64 = 60.0;
/// The share of the server's queue of notifications that is used up without a finding.
const MAX_QUEUE: f64 = 0.5;
/// The number of the latest messages in which other channels are looked for.
const MAX_LOOKED_AT: usize = 10_000;
/// The number of other channels that are listed.
const MAX_CHANNELS: usize = 5;

/// Examines the database: listeners, retention, the queue of notifications, other channels.
pub(crate) async fn examine(connector: &Connector, channel: &str, known: &Circumstances) -> Examination {
    let mut examination = Examination::default();
    let examined = async {
        // The caller has reported before why it cannot connect.
        let session = connector.connect(Asked::Examine, Events::new(|_| false)).await.ok()?;
        let examined = Examined {
            session,
            schema: quoted(&connector.schema),
            limit: known.limit,
        };
        examined
            .count_listeners(connector, channel, known, &mut examination)
            .await;
        examined.compare_retention(&mut examination).await;
        examined.measure_queue(&mut examination).await;
        if !known.has_servers {
            examined.find_channels(channel, &mut examination).await;
        }
        Some(())
    };
    let _ = timeout(known.limit, examined).await;
    examination
}

/// An examination under way.
struct Examined {
    /// The connection on which questions are asked.
    session: Session,
    /// The schema of our objects, quoted.
    schema: String,
    /// The limit of each question.
    limit: Duration,
}

impl Examined {
    /// Returns the first field of the only row; `None` if the statement is refused.
    async fn ask(&self, statement: &str) -> Option<String> {
        let row = self.session.text_row(statement, self.limit).await.ok()?;
        row.into_iter().next().flatten()
    }

    /// Returns the object of findings about the server.
    fn subject(&self) -> String {
        format!("PostgreSQL at {}", self.session.address)
    }

    /// Counts the listeners on the channel, by their locks, without our own.
    async fn count_listeners(
        &self,
        connector: &Connector,
        channel: &str,
        known: &Circumstances,
        examination: &mut Examination,
    ) {
        let name = literal(&lock_name(&connector.schema, channel));
        // The second key is shown as a number without a sign.
        let question = format!(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCK_CLASS} AND objsubid = 2 \
             AND objid::bigint = hashtext({name})::bigint & 4294967295 \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        );
        let count = self.ask(&question).await.and_then(|count| count.parse::<usize>().ok());
        examination.listeners = count.map(|count| count.saturating_sub(known.own_subscriptions));
    }

    /// Compares the time for which messages are kept with that of a restart of a server.
    async fn compare_retention(&self, examination: &mut Examination) {
        let question = format!(
            "SELECT extract(epoch FROM retention)::float8 FROM {}.state",
            self.schema
        );
        match self
            .ask(&question)
            .await
            .and_then(|seconds| seconds.parse::<f64>().ok())
        {
            Some(seconds) if seconds < MIN_RETENTION => {
                let evidence =
                    format!("messages are kept for {seconds} s: a server that is away for longer misses some");
                let finding = Finding::new(Code::ShortRetention, self.subject(), evidence);
                let remedy = "raise it: sio postgres install --retention 10m";
                examination.findings.push(finding.with_remedy(remedy));
            }
            Some(_) => {}
            None => {
                let why = format!(
                    "the user lacks the right of `GRANT SELECT ON ALL TABLES IN SCHEMA {}`, which servers need",
                    self.schema
                );
                examination.not_checked("retention", why);
            }
        }
    }

    /// Measures the queue that all notifications of the server share: when it is full, no transaction that emits commits.
    async fn measure_queue(&self, examination: &mut Examination) {
        let used = self.ask("SELECT pg_notification_queue_usage()").await;
        if let Some(used) = used
            .and_then(|used| used.parse::<f64>().ok())
            .filter(|used| *used > MAX_QUEUE)
        {
            let percent = (used * 100.0).round();
            let evidence = format!(
                "the queue of notifications is {percent} % full; when it is full, no transaction that emits commits"
            );
            examination
                .findings
                .push(Finding::new(Code::NotificationQueue, self.subject(), evidence));
        }
    }

    /// Looks for other channels in the latest messages.
    async fn find_channels(&self, channel: &str, examination: &mut Examination) {
        let question = format!(
            "SELECT string_agg(channel, ',') FROM (SELECT DISTINCT channel FROM (SELECT channel FROM {}.message \
             ORDER BY id DESC LIMIT {MAX_LOOKED_AT}) AS latest WHERE channel <> {} ORDER BY channel LIMIT {MAX_CHANNELS}) AS other",
            self.schema,
            literal(channel)
        );
        if let Some(names) = self.ask(&question).await {
            examination.other_channels = names.split(',').map(str::to_owned).collect();
        }
    }
}
