//! The name of a table of attachments, as another program writes it into its statements.
//!
//! Programs that have the name as an option put it into their statements as it is. Here it is taken apart and quoted, so
//! that it means the same table and can be nothing else.

use std::fmt;

use manager_api::Error;
use manager_api::backend::bad;

use crate::config::{MAX_NAME_LEN, quoted};

/// The name of a table, quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table(String);

impl Table {
    /// Reads a name, perhaps with a schema before it. What is not in quotes is in lower case, as PostgreSQL takes it.
    ///
    /// # Errors
    ///
    /// [`Config`](manager_api::ErrorKind::Config) for any other text: it would become part of a statement.
    pub(super) fn parse(name: &str) -> Result<Self, Error> {
        let parts = parts(name).filter(|parts| matches!(parts.len(), 1 | 2));
        let refused = || {
            bad(format!(
                "{name:?} is not the name of a table: expected table, schema.table, or these in quotes"
            ))
        };
        let parts = parts.ok_or_else(refused)?;
        let parts: Vec<_> = parts.iter().map(|part| quoted(part)).collect();
        Ok(Self(parts.join(".")))
    }

    /// Returns a table whose name was quoted by [`parse`](Self::parse).
    pub(super) fn of_quoted(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Splits a name at its points; `None` if a part is not an identifier.
fn parts(name: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = name;
    loop {
        let (part, behind) = match rest.strip_prefix('"') {
            Some(inner) => in_quotes(inner)?,
            None => {
                let (part, behind) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
                (plain(part)?, behind)
            }
        };
        if !(1..=MAX_NAME_LEN).contains(&part.len()) || part.contains('\0') {
            return None;
        }
        parts.push(part);
        match behind.strip_prefix('.') {
            Some(next) => rest = next,
            None if behind.is_empty() => return Some(parts),
            None => return None,
        }
    }
}

/// Returns what is in the quotes that were opened, and what follows them.
fn in_quotes(inner: &str) -> Option<(String, &str)> {
    let mut part = String::new();
    let mut rest = inner;
    loop {
        let (before, behind) = rest.split_once('"')?;
        part += before;
        match behind.strip_prefix('"') {
            Some(further) => {
                part.push('"');
                rest = further;
            }
            None => return Some((part, behind)),
        }
    }
}

/// Returns a name without quotes as PostgreSQL takes it; `None` if it needs quotes.
fn plain(part: &str) -> Option<String> {
    let is_begin = |first: char| first.is_alphabetic() || first == '_';
    let is_inside = |each: char| each.is_alphanumeric() || matches!(each, '_' | '$');
    let is_identifier = part.starts_with(is_begin) && part.chars().all(is_inside);
    is_identifier.then(|| part.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_as_postgresql_takes_it_and_nothing_else_is_one() {
        for (name, expected) in [
            ("socket_io_attachments", Some("\"socket_io_attachments\"")),
            ("MySchema.Attachments$2", Some("\"myschema\".\"attachments$2\"")),
            ("\"My \"\"Schema\"\"\".t", Some("\"My \"\"Schema\"\"\".\"t\"")),
            ("a.\"b.c\"", Some("\"a\".\"b.c\"")),
            ("", None),
            ("a.b.c", None),
            ("a.", None),
            (".a", None),
            ("\"a", None),
            ("\"\"", None),
            ("\"a\"b", None),
            ("a; DROP TABLE b", None),
            ("a b", None),
            ("1a", None),
            ("a\0", None),
        ] {
            let parsed = Table::parse(name).map(|table| table.to_string());
            assert_eq!(parsed.ok().as_deref(), expected, "{name:?}");
        }
        assert!(Table::parse(&"a".repeat(64)).is_err());
    }
}
