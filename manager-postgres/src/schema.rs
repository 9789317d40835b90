//! The objects in the database: installing, removing and describing them.
//!
//! | object | contents |
//! |---|---|
//! | `message` | the log: a row for each message, with its channel and the transaction that wrote it |
//! | `epoch` | what was committed at a time, every few seconds, by which the age of messages is known |
//! | `trimmed` | the latest transaction of each channel of which a message was deleted |
//! | `state` | one row: version, retention, limits |
//! | `publish`, `trim`, `version` | functions for managers |
//! | `sio_emit`, `sio_emit_in`, `sio_publish` | functions for applications, by default in the schema `public` |
//!
//! A trigger records what is deleted, also if an operator deletes or truncates: a listener that had not read it reports
//! a gap.
//!
//! ```rust,no_run
//! # async fn example() -> Result<(), manager_api::Error> {
//! use manager_postgres::PostgresOptions;
//! use manager_postgres::schema::{Installation, install};
//!
//! let hour = Installation { retention: Some(std::time::Duration::from_secs(3600)), ..Installation::default() };
//! let installed = install("postgres://admin@localhost/shop", &PostgresOptions::default(), &hour).await?;
//! println!("{installed}");
//! # Ok(())
//! # }
//! ```
//!
//! One schema, `sio` unless named otherwise, holds the log of messages; the functions that applications call are in the
//! schema `public` unless named otherwise. [`install`] is idempotent, and updates an older version.

use std::fmt;
use std::time::Duration;

use manager_api::Error;
use manager_api::backend::{Failure as _, bad};

use crate::config::{PostgresOptions, check_schema, literal, quoted};
use crate::connect::Connector;
use crate::error::Failure;
use crate::listen::LOCK_CLASS;
use crate::refusal::Asked;
use crate::session::{Events, Session};

/// The version of the objects that this crate needs.
pub(crate) const VERSION: i32 = 1;

/// The log and its surroundings.
const TABLES: &str = include_str!("schema/tables.sql");
/// What publishes and deletes.
const FUNCTIONS: &str = include_str!("schema/functions.sql");
/// What applications call.
const EMIT: &str = include_str!("schema/emit.sql");
/// What is in the log although it cannot be: rows of another server, from which the table was copied, and whose
/// transactions have numbers that this server has not reached.
const CLEAN: &str = "DELETE FROM @schema@.message WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()); \
                     DELETE FROM @schema@.trimmed WHERE xid >= pg_snapshot_xmax(pg_current_snapshot()); \
                     DELETE FROM @schema@.epoch WHERE pg_snapshot_xmax(seen) > pg_snapshot_xmax(pg_current_snapshot()); \
                     UPDATE @schema@.state SET horizon = '1:1:' \
                     WHERE pg_snapshot_xmax(horizon) > pg_snapshot_xmax(pg_current_snapshot());";
/// Makes two installations at once follow each other.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'73696f'::int, 0);";
/// How much later than the server's own limit its answer is given up.
const ANSWER: Duration = Duration::from_secs(1);

/// What [`install`] sets. `None` keeps what is installed; for a new installation it is the default.
#[derive(Clone, Debug, Default)]
pub struct Installation {
    /// How long a message is kept after its commit, for servers that are away. Default 10 min.
    pub retention: Option<Duration>,
    /// The number of messages that are kept at most, as far as they are older than half a minute. Default 1,000,000.
    pub max_messages: Option<u64>,
    /// The schema of `sio_emit`, `sio_emit_in` and `sio_publish`. Default `public`, so that they are found without a
    /// schema in front of their names.
    pub functions: Option<String>,
}

/// What is installed in a database, and what it holds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Installed {
    /// The schema of the log.
    pub schema: String,
    /// The schema of the functions that applications call.
    pub functions: String,
    /// The version of the objects.
    pub version: i32,
    /// How long a message is kept.
    pub retention: Duration,
    /// The number of messages that are kept at most.
    pub max_messages: u64,
    /// The number of messages in the log at the moment.
    pub num_messages: u64,
    /// The size of the log on the disk, in bytes, with what is deleted and not used again yet.
    pub num_bytes: u64,
    /// The number of listeners, on all channels.
    pub num_listeners: u64,
}

impl fmt::Display for Installed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "schema {:?}, version {}; functions in {:?}",
            self.schema, self.version, self.functions
        )?;
        let retention = self.retention.as_secs();
        writeln!(
            f,
            "messages are kept for {retention} s, and {} at most",
            self.max_messages
        )?;
        writeln!(
            f,
            "{} messages, {} bytes on the disk",
            self.num_messages, self.num_bytes
        )?;
        write!(f, "{} listeners", self.num_listeners)
    }
}

/// Installs the objects, or updates them, and returns what is installed then.
///
/// The login needs the right to create a schema (`GRANT CREATE ON DATABASE`), and to create functions in the schema of
/// the functions.
///
/// # Errors
///
/// [`Config`](manager_api::ErrorKind::Config) for a URL or name that cannot be used, or for functions of these names that
/// belong to another installation; a [refusal](Error::is_refusal) that names a missing right;
/// [`Connect`](manager_api::ErrorKind::Connect) if the server cannot be reached, or is not done by the deadline: then it
/// does not happen later.
///
/// # Cancel safety
///
/// It is one transaction: it happens as a whole or not at all.
pub async fn install(url: &str, options: &PostgresOptions, wanted: &Installation) -> Result<Installed, Error> {
    if let Some(functions) = &wanted.functions {
        check_schema("the schema of the functions is", functions)?;
    }
    let (connector, session) = open(url, options).await?;
    let of_call = |failure| error(options, failure);
    let schema = &*connector.schema;
    let functions = match &wanted.functions {
        Some(functions) => functions.clone(),
        None => known_functions(&session, schema, options).await.map_err(of_call)?,
    };
    refuse_foreign(&session, schema, &functions, options).await?;
    let script = transaction(&script(schema, &functions, wanted), limit(options));
    session.run(&script, limit(options) + ANSWER).await.map_err(of_call)?;
    describe(&session, schema, options).await.map_err(of_call)
}

/// Removes the objects, with all messages. Listeners are refused from then on. Nothing happens where nothing is
/// installed.
///
/// # Errors
///
/// As [`install`].
///
/// # Cancel safety
///
/// As [`install`].
pub async fn uninstall(url: &str, options: &PostgresOptions) -> Result<(), Error> {
    let (connector, session) = open(url, options).await?;
    let of_call = |failure| error(options, failure);
    let schema = &*connector.schema;
    let functions = known_functions(&session, schema, options).await.map_err(of_call)?;
    let mut script = format!("DROP SCHEMA IF EXISTS {} CASCADE;", quoted(schema));
    if owner_of_functions(&session, schema, &functions, options)
        .await
        .map_err(of_call)?
        == Owner::This
    {
        let functions = quoted(&functions);
        script += &format!(
            "DROP FUNCTION IF EXISTS {functions}.sio_emit(text, text, jsonb[]), \
             {functions}.sio_emit_in(text, text, text, jsonb[]), {functions}.sio_publish(text, json);"
        );
    }
    let script = transaction(&script, limit(options));
    session.run(&script, limit(options) + ANSWER).await.map_err(of_call)
}

/// Returns what is installed.
///
/// # Errors
///
/// As [`install`]; [`Config`](manager_api::ErrorKind::Config) if nothing is.
pub async fn status(url: &str, options: &PostgresOptions) -> Result<Installed, Error> {
    let (connector, session) = open(url, options).await?;
    let described = describe(&session, &connector.schema, options).await;
    described.map_err(|failure| error(options, failure))
}

/// The payload of a notification of ours.
pub(crate) fn wake(schema: &str) -> String {
    format!("sio {schema}")
}

/// Whose functions have our names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    None,
    This,
    Another,
}

/// Connects to a server, which need not have our objects.
async fn open(url: &str, options: &PostgresOptions) -> Result<(Connector, Session), Error> {
    options.check()?;
    let connector = Connector::new(url, options)?;
    let session = connector.connect(Asked::Install, Events::new(|_| false)).await;
    match session {
        Ok(session) => Ok((connector, session)),
        Err(failure) => Err(error(options, failure)),
    }
}

/// Returns the error of a caller.
fn error(options: &PostgresOptions, failure: Failure) -> Error {
    std::sync::Arc::new(failure).unreachable(options.common.deadline)
}

/// Returns the limit of one statement: an index on a large log takes its time.
fn limit(options: &PostgresOptions) -> Duration {
    options.common.deadline
}

/// Returns the schema of the functions of an installation, or the default.
async fn known_functions(session: &Session, schema: &str, options: &PostgresOptions) -> Result<String, Failure> {
    let question = format!(
        "SELECT to_regclass({}) IS NOT NULL",
        literal(&format!("{}.state", quoted(schema)))
    );
    let exists = session.text_row(&question, limit(options)).await?;
    if exists.first().cloned().flatten().as_deref() != Some("t") {
        return Ok("public".to_owned());
    }
    let question = format!(
        "SELECT coalesce((SELECT functions FROM {}.state), 'public')",
        quoted(schema)
    );
    let row = session.text_row(&question, limit(options)).await?;
    Ok(row.first().cloned().flatten().unwrap_or_default())
}

/// Refuses to replace functions of another installation, or of another program.
async fn refuse_foreign(
    session: &Session,
    schema: &str,
    functions: &str,
    options: &PostgresOptions,
) -> Result<(), Error> {
    let owner = owner_of_functions(session, schema, functions, options).await;
    match owner.map_err(|failure| error(options, failure))? {
        Owner::None | Owner::This => Ok(()),
        Owner::Another => Err(bad(format!(
            "the schema {functions:?} has functions sio_emit or sio_publish that belong to another installation: name another \
             schema for those of {schema:?}"
        ))),
    }
}

/// Finds out whose functions of our names are in a schema: ours call `publish` of their log.
async fn owner_of_functions(
    session: &Session,
    schema: &str,
    functions: &str,
    options: &PostgresOptions,
) -> Result<Owner, Failure> {
    let question = format!(
        "SELECT count(*), count(*) FILTER (WHERE strpos(prosrc, {} ) > 0) FROM pg_proc \
         WHERE pronamespace = to_regnamespace({}) AND proname IN ('sio_emit_in', 'sio_publish')",
        literal(&format!("{}.publish(", quoted(schema))),
        literal(&quoted(functions)),
    );
    let row = session.text_row(&question, limit(options)).await?;
    Ok(match (row.first(), row.get(1)) {
        (Some(Some(all)), _) if all == "0" => Owner::None,
        (all, own) if all == own => Owner::This,
        _ => Owner::Another,
    })
}

/// Returns statements as one transaction, which the server does not commit after a limit: by then its caller has been told
/// that it failed.
fn transaction(statements: &str, limit: Duration) -> String {
    // Zero would be no limit, and more is not permitted.
    let millis = limit.as_millis().clamp(1, i32::MAX as u128);
    format!(
        "BEGIN; SET LOCAL statement_timeout = {millis}; {LOCK} SET LOCAL client_min_messages = warning;\n{statements}\n\
         DO $sio$ BEGIN\n\
         IF clock_timestamp() > transaction_timestamp() + interval '{millis} milliseconds' THEN\n\
         RAISE EXCEPTION 'not completed within {millis} ms' USING ERRCODE = 'query_canceled';\n\
         END IF;\nEND $sio$; COMMIT;"
    )
}

/// Returns the statements of an installation.
fn script(schema: &str, functions: &str, wanted: &Installation) -> String {
    let (quoted_schema, quoted_functions) = (quoted(schema), quoted(functions));
    let filled = |text: &str| {
        text.replace("@schema@", &quoted_schema)
            .replace("@functions@", &quoted_functions)
            .replace("@version@", &VERSION.to_string())
            .replace("@wake@", &literal(&wake(schema)))
    };
    let retention = wanted
        .retention
        .map(|time| format!("make_interval(secs => {})", time.as_secs_f64()));
    let max = wanted
        .max_messages
        .map(|max| i64::try_from(max).unwrap_or(i64::MAX).to_string());
    let keep = |given: &Option<String>, known: &str| given.clone().unwrap_or_else(|| format!("state.{known}"));
    let (kept_retention, kept_max) = (keep(&retention, "retention"), keep(&max, "max_rows"));
    let state = format!(
        "INSERT INTO {quoted_schema}.state (version, retention, max_rows, functions) \
         VALUES ({VERSION}, {}, {}, {functions}) ON CONFLICT (is_only) DO UPDATE SET version = {VERSION}, \
         retention = {kept_retention}, max_rows = {kept_max}, functions = {functions};",
        retention.as_deref().unwrap_or("interval '10 min'"),
        max.as_deref().unwrap_or("1000000"),
        functions = literal(functions),
    );
    let parts = [TABLES, FUNCTIONS, EMIT].map(filled).join("\n");
    format!("{parts}\n{state}\n{}", filled(CLEAN))
}

/// Returns what is installed, in one statement.
async fn describe(session: &Session, schema: &str, options: &PostgresOptions) -> Result<Installed, Failure> {
    let of = quoted(schema);
    let question = format!(
        "SELECT functions, version, extract(epoch FROM retention)::float8, max_rows, (SELECT count(*) FROM {of}.message), \
         pg_total_relation_size({}::regclass), (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' \
         AND classid = {LOCK_CLASS} AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())) \
         FROM {of}.state",
        literal(&format!("{of}.message")),
    );
    let row = session.text_row(&question, limit(options)).await?;
    let described = described(schema, &row);
    described.ok_or_else(|| Failure::other(&session.address, format!("the table {of}.state is not as installed")))
}

/// Reads the answer to the question of [`describe`]; `None` if a field is missing or not of its type.
fn described(schema: &str, row: &[Option<String>]) -> Option<Installed> {
    let field = |index: usize| row.get(index)?.as_deref();
    let number = |index: usize| field(index)?.parse().ok();
    Some(Installed {
        schema: schema.to_owned(),
        functions: field(0)?.to_owned(),
        version: field(1)?.parse().ok()?,
        retention: Duration::try_from_secs_f64(field(2)?.parse().ok()?).ok()?,
        max_messages: number(3)?,
        num_messages: number(4)?,
        num_bytes: number(5)?,
        num_listeners: number(6)?,
    })
}
