//! The table of a source: its name, its columns, and the statements about it.
//!
//! Names are those of the application, and quoted wherever they stand in a statement. Values are always parameters.
//! Ids are passed as text, and cast to the type of their column, so that one statement serves numbers and UUIDs and uses
//! the index.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use manager_api::Error;
use manager_api::diagnosis::Code;
use manager_api::source::{Fault, Place, Position, Record};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::config::{check_name, literal, quoted};
use crate::error::Failure;
use crate::session::Session;

/// The types of the parameters of statements: ids as text, the largest record.
pub(super) const ID_LIST: Type = Type::TEXT_ARRAY;
pub(super) const MAX: Type = Type::INT8;

/// The bytes of a batch after which no further row is added.
const MAX_BYTES: usize = 1 << 20;
/// The most rows that are counted.
const MAX_COUNTED: usize = 100_000;

/// Returns the columns of the table `$1`, with their types, and whether one alone is unique. A unique index of a
/// partitioned table has further columns, by which its rows are distributed.
const COLUMNS: &str = "SELECT attname::text, atttypid::regtype::text, EXISTS (SELECT FROM pg_index \
    WHERE indrelid = attrelid AND indisunique AND indisvalid AND indpred IS NULL \
    AND (indnkeyatts = 1 AND indkey[0] = attnum OR relkind = 'p' AND attnum = ANY (indkey::int2[]))) \
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid \
    WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";

/// The name of a table, quoted.
pub(super) struct Table(String);

impl Table {
    /// Reads `name` or `schema.name`.
    pub(super) fn parse(what: &str, text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.splitn(2, '.').collect();
        for part in &parts {
            check_name(&format!("{what}, as each part of {text:?}, is"), part)?;
        }
        let parts: Vec<String> = parts.into_iter().map(quoted).collect();
        Ok(Self(parts.join(".")))
    }

    /// Takes the lock of the one member that reads in order, if it is free. The transaction releases it.
    pub(super) fn try_lock(&self) -> String {
        let name = literal(&format!("sio relay {}", self.0));
        format!("SELECT pg_try_advisory_xact_lock(hashtextextended({name}, 0))")
    }

    /// Returns whether the table does not exist.
    pub(super) fn is_missing(&self) -> String {
        format!("SELECT to_regclass({}) IS NULL", literal(&self.0))
    }

    /// Creates the table as one of dead letters.
    pub(super) fn create(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (id text NOT NULL, reason text NOT NULL, \
             stored_at timestamptz NOT NULL DEFAULT now(), record json NOT NULL)",
            self.0
        )
    }
}

/// The columns of a table.
pub(super) struct Columns {
    /// The column by which rows are known and ordered, quoted.
    id: String,
    /// Its type.
    id_type: IdType,
    /// The column of bodies, quoted.
    body: String,
    /// Whether bodies are `bytea`, and not something that is read as text.
    is_binary: bool,
    /// Those that become headers, and their names.
    headers: Vec<(String, Arc<str>)>,
    /// The time at which a row was made, if there is such a column.
    created: Option<String>,
}

/// The type of ids.
#[derive(Clone, Copy)]
enum IdType {
    /// One of the types of whole numbers, by its name.
    Number(&'static str),
    /// A UUID. Only those of version 7 have the order of time.
    Uuid,
}

impl IdType {
    /// Returns the type with this name; `None` if it cannot be one of ids.
    fn of(name: &str) -> Option<Self> {
        match name {
            "smallint" => Some(Self::Number("smallint")),
            "integer" => Some(Self::Number("integer")),
            "bigint" => Some(Self::Number("bigint")),
            "uuid" => Some(Self::Uuid),
            _ => None,
        }
    }

    /// Returns the name, for casts.
    fn name(self) -> &'static str {
        match self {
            Self::Number(name) => name,
            Self::Uuid => "uuid",
        }
    }
}

impl Columns {
    /// Looks up the columns of a table.
    pub(super) async fn of(
        session: &Session,
        table: &Table,
        id: &str,
        body: &str,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let rows = session.rows(COLUMNS, &[(&table.0, Type::TEXT)], limit).await?;
        let all: Vec<(String, String)> = rows
            .iter()
            .filter_map(|row| Some((row.try_get(0).ok()?, row.try_get(1).ok()?)))
            .collect();
        let unique = rows.iter().filter(|row| row.try_get(2).unwrap_or(false));
        let is_unique = unique
            .filter_map(|row| row.try_get(0).ok())
            .any(|name: &str| name == id);
        let refused = |what: String| Failure::wrong_url(&session.address, Code::NotInstalled, what);
        if all.is_empty() {
            let name = &table.0;
            return Err(refused(format!(
                "there is no table {name} in this database, or this user may not see it"
            )));
        }
        let type_of = |name: &str| {
            let found = all.iter().find(|(each, _)| each == name);
            let missing = || refused(format!("the table {} has no column {name:?}", table.0));
            found.map(|(_, type_name)| type_name.as_str()).ok_or_else(missing)
        };
        let id_name = type_of(id)?;
        let id_type = IdType::of(id_name).ok_or_else(|| {
            refused(format!(
                "the column {id:?} of the table {} is of the type {id_name}: ids are smallint, integer, bigint or uuid",
                table.0
            ))
        })?;
        if !is_unique {
            let name = &table.0;
            return Err(refused(format!(
                "the column {id:?} of the table {name} has no unique index of its own: rows with the same id would be deleted together"
            )));
        }
        let is_binary = type_of(body)? == "bytea";
        let others = all.iter().filter(|(name, _)| name != id && name != body);
        let is_time =
            |(name, type_name): &&(String, String)| name == "created_at" && type_name.starts_with("timestamp");
        Ok(Self {
            id: quoted(id),
            id_type,
            body: quoted(body),
            is_binary,
            headers: others.map(|(name, _)| (quoted(name), name.as_str().into())).collect(),
            created: all.iter().find(is_time).map(|(name, _)| quoted(name)),
        })
    }

    /// Locks and reads rows; `$1` is the largest record. Of a larger one only the length is read.
    ///
    /// The rows are locked before their bytes are summed, because a window function cannot stand beside `FOR UPDATE`.
    /// Those over the limit of bytes stay locked and are read with the next batch.
    pub(super) fn select(&self, table: &Table, max_rows: usize) -> String {
        let (id, body, table) = (&self.id, &self.body, &table.0);
        let body = match self.is_binary {
            true => body.clone(),
            false => format!("convert_to({body}::text, 'UTF8')"),
        };
        let headers: Vec<String> = self.headers.iter().map(|(name, _)| format!("{name}::text")).collect();
        let headers = headers.join(", ");
        format!(
            "WITH taken AS MATERIALIZED (SELECT {id} AS id, {body} AS body, ARRAY[{headers}]::text[] AS headers FROM {table} \
                ORDER BY {id} LIMIT {max_rows} FOR UPDATE SKIP LOCKED), \
             measured AS (SELECT *, (coalesce(octet_length(body), 0) \
                + (SELECT coalesce(sum(octet_length(one)), 0) FROM unnest(headers) AS one))::int8 AS len FROM taken), \
             summed AS (SELECT *, sum(least(len, $1)) OVER (ORDER BY id) - least(len, $1) AS before FROM measured) \
             SELECT id::text, len, CASE WHEN len <= $1 THEN body END, CASE WHEN len <= $1 THEN headers END, \
             (SELECT count(*) FROM taken) FROM summed WHERE before < {MAX_BYTES} ORDER BY summed.id"
        )
    }

    /// Returns which of the ids in `$1` there are, as text.
    pub(super) fn existing(&self, table: &Table) -> String {
        let (id, table, id_type) = (&self.id, &table.0, self.id_type.name());
        format!("SELECT {id}::text FROM {table} WHERE {id} = ANY ($1::text[]::{id_type}[])")
    }

    /// Deletes rows by their ids in `$1`: those that no other transaction has locked.
    pub(super) fn delete(&self, table: &Table) -> String {
        let (id, table, id_type) = (&self.id, &table.0, self.id_type.name());
        format!(
            "DELETE FROM {table} WHERE {id} IN (SELECT {id} FROM {table} WHERE {id} = ANY ($1::text[]::{id_type}[]) \
             ORDER BY {id} FOR UPDATE SKIP LOCKED)"
        )
    }

    /// Copies the row with the id `$1` into a table of dead letters, with the reason `$2`. Nothing happens if another
    /// member has handled it meanwhile, or if the same row was stored before. Another row with the same id, of another table
    /// or from before the ids began anew, is another letter.
    pub(super) fn bury(&self, table: &Table, dead: &Table) -> String {
        let (id, id_type) = (&self.id, self.id_type.name());
        format!(
            "INSERT INTO {dead} (id, reason, record) SELECT $1, $2, buried.record FROM \
             (SELECT to_json(sio_row.*) AS record FROM {table} AS sio_row WHERE sio_row.{id} = ($1::text)::{id_type}) AS buried \
             WHERE NOT EXISTS (SELECT FROM {dead} AS known WHERE known.id = $1 AND known.record::text = buried.record::text)",
            dead = dead.0,
            table = table.0
        )
    }

    /// Returns the number of rows, and the age of the one with the lowest id in seconds. Neither looks at more rows than are
    /// counted; where vacuum has not removed deleted ones, the server passes over all of them.
    pub(super) fn lag(&self, table: &Table) -> String {
        let (id, table) = (&self.id, &table.0);
        let oldest = match &self.created {
            Some(created) => format!(
                "coalesce((SELECT CASE WHEN isfinite({created}) THEN greatest(0, extract(epoch FROM clock_timestamp() - {created}))::int8 END \
                 FROM {table} ORDER BY {id} LIMIT 1), 0)"
            ),
            None => "NULL".to_owned(),
        };
        format!("SELECT (SELECT count(*) FROM (SELECT FROM {table} LIMIT {MAX_COUNTED}) AS counted), {oldest}")
    }

    /// Returns ids as a parameter.
    pub(super) fn ids(&self, places: &[Place]) -> Vec<String> {
        places.iter().map(|place| id_text(*place)).collect()
    }

    /// Makes a record of a row; `None` if it does not have the form of the statement.
    pub(super) fn record(&self, row: &Row, name: &Arc<str>) -> Option<Record> {
        let place = self.place(row.try_get(0).ok()?)?;
        let len: i64 = row.try_get(1).ok()?;
        let body: Option<&[u8]> = row.try_get(2).ok()?;
        let values: Option<Vec<Option<&str>>> = row.try_get(3).ok()?;
        let name = name.clone();
        let mut record = Record::new(Position { name, place }, Bytes::new());
        let Some(values) = values else {
            record.fault = Some(Fault::TooLarge(usize::try_from(len).unwrap_or(usize::MAX)));
            return Some(record);
        };
        let known = self.headers.iter().zip(values);
        record.headers = known
            .filter_map(|((_, name), value)| Some((name.clone(), Bytes::copy_from_slice(value?.as_bytes()))))
            .collect();
        match body {
            Some(body) => record.body = Bytes::copy_from_slice(body),
            None => record.fault = Some(Fault::BodyMissing),
        }
        Some(record)
    }

    /// Reads an id; `None` if it does not have the form of its type.
    pub(super) fn place(&self, id: &str) -> Option<Place> {
        match self.id_type {
            IdType::Number(_) => Some(Place::Row { id: id.parse().ok()? }),
            IdType::Uuid => {
                let id = u128::from_str_radix(&id.replace('-', ""), 16).ok()?;
                Some(Place::UuidRow { id })
            }
        }
    }
}

/// Returns the id of a row as PostgreSQL reads it.
pub(super) fn id_text(place: Place) -> String {
    match place {
        Place::Row { id } => id.to_string(),
        Place::UuidRow { id } => format!("{id:032x}"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_name_are_quoted_one_by_one() {
        let parsed = |text| Table::parse("the table", text).map(|table| table.0);
        assert_eq!(parsed("outbox").unwrap(), r#""outbox""#);
        assert_eq!(parsed(r#"a"b.Out.box"#).unwrap(), r#""a""b"."Out.box""#);
        for bad in ["", ".a", "a.", &"x".repeat(64)] {
            let said = parsed(bad).unwrap_err().to_string();
            assert!(said.contains("1 to 63 bytes"), "{said}");
        }
    }

    #[test]
    fn ids_are_read_as_they_were_written() {
        let columns = |id_type| Columns {
            id: quoted("id"),
            id_type,
            body: quoted("payload"),
            is_binary: false,
            headers: Vec::new(),
            created: None,
        };
        let number = columns(IdType::Number("bigint")).place("-42").unwrap();
        assert_eq!((number, id_text(number)), (Place::Row { id: -42 }, "-42".to_owned()));
        let uuid = columns(IdType::Uuid)
            .place("0a000000-0000-0000-0000-00000000000b")
            .unwrap();
        assert_eq!(id_text(uuid), "0a00000000000000000000000000000b");
        assert!(columns(IdType::Uuid).place("x").is_none());
    }
}
