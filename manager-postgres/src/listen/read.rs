//! The statement that reads the log, and its result.

use std::time::Duration;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use crate::config::quoted;
use crate::error::Failure;
use crate::position::{Place, Position, Snapshot};
use crate::session::Session;

/// The maximum number of messages of a batch.
const MAX_MESSAGES: i64 = 1000;
/// The length of a batch, in bytes, after which no further message is added.
const MAX_BYTES: i64 = 1 << 20;

/// Returns the statement. All of its parts see one snapshot, which is in the first row.
///
/// The first row also has the installation, the latest deleted transaction of the channel, and how many pending transactions may have had
/// messages that were deleted. A number at or above `xmax` is of another server, from which the table was copied.
pub(super) fn statement(schema: &str) -> String {
    let schema = quoted(schema);
    let part = |condition: &str| {
        format!(
            "(SELECT id, xid, message FROM {schema}.message WHERE channel = $1 AND {condition} ORDER BY xid, id LIMIT {MAX_MESSAGES})"
        )
    };
    let pending = part(
        "xid = ANY ($3::text[]::xid8[]) AND NOT EXISTS (SELECT FROM unnest($4::text[], $5::int8[]) AS partial (xid, id) \
         WHERE partial.xid::xid8 = message.xid AND message.id <= partial.id)",
    );
    let new = part("xid > $2::text::xid8 AND xid < pg_snapshot_xmax(pg_current_snapshot())");
    format!(
        "SELECT NULL::int8 AS id, pg_current_snapshot()::text AS xid, \
            (SELECT count(*) FROM unnest($3::text[]) AS one (xid), {schema}.state \
             WHERE pg_visible_in_snapshot(one.xid::xid8, state.horizon))::int4 AS len, \
            (SELECT convert_to(incarnation::text, 'UTF8') FROM {schema}.state) AS message, (SELECT xid::text FROM {schema}.trimmed WHERE channel = $1) AS deleted \
         UNION ALL \
         SELECT id, xid::text, len, CASE WHEN len <= $6 THEN message END, NULL FROM ( \
            SELECT id, xid, message, octet_length(message) AS len, \
                sum(octet_length(message)) OVER (ORDER BY xid, id) - octet_length(message) AS before \
            FROM (SELECT * FROM ({pending} UNION ALL {new}) AS unread ORDER BY xid, id LIMIT {MAX_MESSAGES}) AS first \
         ) AS measured WHERE before < {MAX_BYTES}"
    )
}

/// A request for the next messages.
pub(super) struct Request<'a> {
    /// The channel.
    pub(super) channel: &'a str,
    /// What was read before.
    pub(super) position: &'a Position,
    /// The largest message that is transferred.
    pub(super) max_len: usize,
}

/// The next messages.
pub(super) struct Batch {
    /// The snapshot in which all of this was read.
    pub(super) snapshot: Snapshot,
    /// The installation of the schema from which they were read.
    pub(super) incarnation: Option<String>,
    /// The latest transaction of which a message was deleted.
    pub(super) deleted: u64,
    /// The number of pending transactions of which messages may have been deleted.
    pub(super) num_deleted_pending: i32,
    /// The messages, in order; of one that is too large, its length.
    pub(super) messages: Vec<Result<Bytes, usize>>,
    /// The place of the last message, if there is any.
    pub(super) last: Option<Place>,
    /// Whether there may be more.
    pub(super) is_cut: bool,
}

impl Request<'_> {
    /// Sends the request, and waits for the result at most for `limit`.
    pub(super) async fn send(
        self,
        session: &Session,
        statement: &Statement,
        limit: Duration,
    ) -> Result<Batch, Failure> {
        let partial = self.position.partial();
        let (xids, ids): (Vec<_>, Vec<_>) = partial.iter().map(|(xid, id)| (xid.to_string(), *id)).unzip();
        let highest = self.position.highest().to_string();
        let pending: Vec<_> = self.position.pending().iter().map(ToString::to_string).collect();
        let max_len = i32::try_from(self.max_len).unwrap_or(i32::MAX);
        let parameters: [&(dyn ToSql + Sync); 6] = [&self.channel, &highest, &pending, &xids, &ids, &max_len];
        let request = session.client.query(statement, &parameters);
        let rows = session.within(limit, request).await?;
        Batch::read(&rows).ok_or_else(|| Failure::other(&session.address, "the log has a row that cannot be read"))
    }
}

impl Batch {
    /// Reads the rows of the statement; `None` if they do not have its form.
    fn read(rows: &[Row]) -> Option<Self> {
        let (head, rows) = rows.split_first()?;
        let mut batch = Self {
            snapshot: head.try_get::<_, &str>(1).ok()?.parse().ok()?,
            incarnation: match head.try_get::<_, Option<&[u8]>>(3).ok()? {
                Some(text) => Some(String::from_utf8(text.to_vec()).ok()?),
                None => None,
            },
            deleted: match head.try_get::<_, Option<&str>>(4).ok()? {
                Some(xid) => xid.parse().ok()?,
                None => 0,
            },
            num_deleted_pending: head.try_get(2).ok()?,
            messages: Vec::with_capacity(rows.len()),
            last: None,
            is_cut: false,
        };
        let mut num_bytes = 0;
        for row in rows {
            let (id, xid): (i64, &str) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            let len: i32 = row.try_get(2).ok()?;
            batch.last = Some((xid.parse().ok()?, id));
            let message = row.try_get::<_, Option<&[u8]>>(3).ok()?;
            batch.messages.push(match message {
                Some(message) => Ok(Bytes::copy_from_slice(message)),
                None => Err(usize::try_from(len).unwrap_or_default()),
            });
            num_bytes += i64::from(len);
        }
        batch.is_cut = num_bytes >= MAX_BYTES || rows.len() as i64 >= MAX_MESSAGES;
        Some(batch)
    }
}
