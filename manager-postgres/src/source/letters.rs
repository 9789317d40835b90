//! Dead letters: rows of a table of their own, each with the whole row as JSON.

use std::time::Duration;

use manager_api::source::Record;
use tokio_postgres::types::Type;

use super::table::{Columns, Table};
use super::{TableSource, table};
use crate::error::Failure;
use crate::refusal::Asked;
use crate::session::{Events, Session};

/// The table of dead letters, with a connection once there was one.
pub(super) struct Letters {
    /// Its name, quoted.
    dead: Table,
    /// The connection, and the columns of the table that is read.
    open: Option<(Session, Columns)>,
}

impl Letters {
    /// Creates one without a connection.
    pub(super) fn new(dead: Table) -> Self {
        Self { dead, open: None }
    }

    /// Stores a row with the reason; returns once that is committed. The server copies the row, which the transaction
    /// of its batch keeps locked: what was too large to be read is stored as well.
    pub(super) async fn store(&mut self, source: &TableSource, record: &Record, reason: &str) -> Result<(), Failure> {
        let limit = source.limit();
        // Taken, so that a connection that failed is not used again.
        let (session, columns) = match self.open.take() {
            Some(open) => open,
            None => self.connect(source, limit).await?,
        };
        let statement = columns.bury(&source.table, &self.dead);
        let id = table::id_text(record.position.place);
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&id, Type::TEXT), (&reason, Type::TEXT)];
        session.rows(&statement, &parameters, limit).await?;
        self.open = Some((session, columns));
        Ok(())
    }

    /// Connects, and creates the table if there is none.
    async fn connect(&self, source: &TableSource, limit: Duration) -> Result<(Session, Columns), Failure> {
        let session = source.connector.connect(Asked::Relay, Events::new(|_| false)).await?;
        source.limit_statements(&session).await?;
        let columns = source.columns(&session).await?;
        let row = session.text_row(&self.dead.is_missing(), limit).await?;
        // Even where the table exists, the statement would need the right to create one.
        if row.first().cloned().flatten().as_deref() == Some("t") {
            session.run(&self.dead.create(), limit).await?;
        }
        Ok((session, columns))
    }
}
