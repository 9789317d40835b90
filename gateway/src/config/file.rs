//! The file: TOML, whose tables are the first part of a key.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::Problem;
use super::value::Raw;
use crate::small_file;

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// A value of the file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) raw: Raw,
    /// The file and the line.
    pub(super) place: String,
}

/// Reads all values of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Vec<Problem>> {
    let name = path.display().to_string();
    let unusable = |why: String| vec![Problem::at(name.clone(), why)];
    let text = small_file::read_text(path, MAX_BYTES);
    let text = text.map_err(|error| unusable(format!("cannot be read: {error}")))?;
    parse(&name, &text)
}

/// Reads the values of a text.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Entry>, Vec<Problem>> {
    let place = |at: usize| format!("{name}:{}", 1 + text[..at.min(text.len())].matches('\n').count());
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![Problem::at(place(at), error.message())]
    })?;
    let mut found = Found {
        entries: Vec::new(),
        problems: Vec::new(),
        place: &place,
    };
    found.table("", table.get_ref());
    match found.problems.is_empty() {
        true => Ok(found.entries),
        false => Err(found.problems),
    }
}

/// What was found in a text.
struct Found<'a> {
    entries: Vec<Entry>,
    problems: Vec<Problem>,
    place: &'a dyn Fn(usize) -> String,
}

impl Found<'_> {
    /// Collects the values of a table, and of those in it.
    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        for (name, value) in table.iter() {
            let key = format!("{prefix}{}", name.get_ref());
            if let DeValue::Table(inner) = value.get_ref() {
                self.table(&format!("{key}."), inner);
                continue;
            }
            let place = (self.place)(name.span().start);
            match raw(value) {
                Ok(raw) => self.entries.push(Entry { key, raw, place }),
                Err(text) => self.problems.push(Problem::at(place, format!("{key}: {text}"))),
            }
        }
    }
}

fn raw(value: &Spanned<DeValue<'_>>) -> Result<Raw, &'static str> {
    let DeValue::Array(array) = value.get_ref() else {
        return scalar(value.get_ref()).map(Raw::Text);
    };
    let texts: Result<_, _> = array.iter().map(|each| scalar(each.get_ref())).collect();
    texts.map(Raw::List)
}

fn scalar(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Datetime(_) => Err("a date is not expected here"),
        DeValue::Array(_) | DeValue::Table(_) => Err("a list within a list is not expected here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_the_first_part_of_a_key_and_values_know_their_line() {
        let text = "listen = \"0.0.0.0:80\"\n\n[limits]\npayload = 1_000\n# why\nrooms = 3\n[a.b]\nc = [\"x\", 2]\n";
        let entries = parse("f.toml", text).unwrap();
        let found: Vec<_> = entries
            .iter()
            .map(|each| (each.key.as_str(), each.place.as_str()))
            .collect();
        assert!(found.contains(&("listen", "f.toml:1")), "{found:?}");
        assert!(found.contains(&("limits.payload", "f.toml:4")), "{found:?}");
        assert!(found.contains(&("limits.rooms", "f.toml:6")), "{found:?}");
        assert!(found.contains(&("a.b.c", "f.toml:8")), "{found:?}");
        let list = entries.iter().find(|each| each.key == "a.b.c").unwrap();
        assert_eq!(list.raw, Raw::List(vec!["x".to_owned(), "2".to_owned()]));
    }

    #[test]
    fn what_is_not_toml_is_named_with_its_line() {
        for (text, line) in [
            ("a = 1\nb = \n", 2),
            ("a = 1\na = 2", 2),
            ("\n\nx", 3),
            ("a = [[1]]", 1),
        ] {
            let problems = parse("f.toml", text).unwrap_err();
            let shown = problems[0].to_string();
            assert!(shown.starts_with(&format!("f.toml:{line}: ")), "{text:?}: {shown}");
        }
    }
}
