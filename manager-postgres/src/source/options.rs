//! The options of a [`TableSource`](super::TableSource).

use std::time::Duration;

use manager_api::Error;
use manager_api::backend::bad;

use crate::PostgresOptions;
use crate::config::check_name;

/// The options of a [`TableSource`](super::TableSource).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TableSourceOptions {
    /// The options of connections. [`max_message_bytes`](manager_api::ManagerOptions::max_message_bytes) is the limit
    /// of a record; channel and schema are not used.
    pub postgres: PostgresOptions,
    /// The table, `name` or `schema.name`, with upper and lower case as in the catalogue. It must exist.
    pub table: String,
    /// The column by which rows are known and ordered: a number or a UUID, unique and with an index. Default `id`.
    pub id_column: String,
    /// The column that is the body: text, JSON or `bytea`. Default `payload`.
    pub body_column: String,
    /// The most rows of one batch. Default 500; zero counts as one. Their bytes are limited as well, to a mebibyte,
    /// unless one row alone is larger.
    pub max_batch: usize,
    /// How often the table is read without a notification. Default 1 s; zero counts as 10 ms.
    pub poll_interval: Duration,
    /// How long the rows of a batch are locked, and its transaction is open. Default 30 s. The server ends one of a
    /// member that is silent for twice as long, at least 10 s.
    pub hold: Duration,
    /// Whether only one member at a time reads the table, so that rows are handed out in the order of their ids.
    /// Default false.
    pub is_ordered: bool,
    /// The table of dead letters, which is created if it does not exist. Default the name of the table with `_dead`.
    pub dead_letters: String,
}

impl TableSourceOptions {
    /// Reads `table`, with defaults.
    pub fn new(table: impl Into<String>) -> Self {
        let table = table.into();
        Self {
            postgres: PostgresOptions::default(),
            dead_letters: format!("{table}_dead"),
            table,
            id_column: "id".to_owned(),
            body_column: "payload".to_owned(),
            max_batch: 500,
            poll_interval: Duration::from_secs(1),
            hold: Duration::from_secs(30),
            is_ordered: false,
        }
    }

    /// Refuses names that are not identifiers of PostgreSQL. Those of tables are checked where they are read.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.postgres.check()?;
        check_name("the column of ids is", &self.id_column)?;
        check_name("the column of bodies is", &self.body_column)?;
        match self.dead_letters == self.table {
            true => Err(bad("the table of dead letters is the table itself")),
            false => Ok(()),
        }
    }
}
