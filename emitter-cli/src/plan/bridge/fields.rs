//! The keys and values of one table of the settings, each with its place.

use std::fmt::Display;

use crate::failure::Failure;
use crate::output::printable;
use crate::plan::url_source;

/// How far a key may be from one that is known for that to be proposed, in letters.
const NEAR: usize = 3;

/// The keys of a side.
pub(super) const SIDE: &[&str] = &[
    "name",
    "url",
    "url_file",
    "channel",
    "wire",
    "wire_prefix",
    "wire_stream",
    "wire_stream_count",
    "wire_sharded_pub_sub",
    "wire_table",
    "namespaces",
    "silent_servers",
];

/// A value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    List(Vec<String>),
}

/// The values of a table that were not read yet.
#[derive(Debug)]
pub(super) struct Fields {
    /// Where the table stands.
    place: String,
    /// The keys that it may have.
    known: &'static [&'static str],
    entries: Vec<(String, Value, String)>,
}

impl Fields {
    pub(super) fn new(place: String, known: &'static [&'static str], entries: Vec<(String, Value, String)>) -> Self {
        Self { place, known, entries }
    }

    /// A table that is not there.
    pub(super) fn none(place: &str, known: &'static [&'static str]) -> Self {
        Self::new(place.to_owned(), known, Vec::new())
    }

    /// Reads `KEY=VALUE,…`. A URL may hold commas: it ends where another key begins.
    pub(super) fn of_flag(text: &str) -> Result<Self, Failure> {
        let mut fields = Self::none("--side", SIDE);
        let mut rest = text;
        while !rest.is_empty() {
            let Some((key, value)) = rest.split_once('=') else {
                return Err(fields.problem("expected KEY=VALUE, with commas between them"));
            };
            let (value, next) = match key {
                "url" => value.split_at(end_of_url(value)),
                _ => value.split_once(',').unwrap_or((value, "")),
            };
            rest = next.trim_start_matches(',');
            fields.add_flag(key, value)?;
        }
        Ok(fields)
    }

    fn add_flag(&mut self, key: &str, value: &str) -> Result<(), Failure> {
        let is_namespace = key == "namespace";
        let key = if is_namespace { "namespaces" } else { key };
        let known = self.entries.iter_mut().find(|(other, ..)| other == key);
        match known {
            Some((_, Value::List(list), _)) if is_namespace => list.push(value.to_owned()),
            Some(_) => return Err(self.problem(format!("{key} is given twice"))),
            None => {
                let value = match is_namespace {
                    true => Value::List(vec![value.to_owned()]),
                    false => Value::Text(value.to_owned()),
                };
                self.entries.push((key.to_owned(), value, self.place.clone()));
            }
        }
        Ok(())
    }

    /// Names the table in what is said from now on.
    pub(super) fn name(&mut self, name: &str) {
        self.place = format!("{}: side {:?}", self.place, printable(name));
    }

    /// Says what is wrong with the table.
    pub(super) fn problem(&self, text: impl Display) -> Failure {
        Failure::input(format!("{}: {text}", self.place))
    }

    fn take(&mut self, key: &str) -> Option<(Value, String)> {
        let at = self.entries.iter().position(|(other, ..)| other == key)?;
        let (_, value, place) = self.entries.remove(at);
        Some((value, place))
    }

    /// Takes a text that is not empty.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Failure> {
        match self.take(key) {
            None => Ok(None),
            Some((Value::Text(text), place)) if text.trim().is_empty() => {
                Err(Failure::input(format!("{place}: {key} must not be empty")))
            }
            Some((Value::Text(text), _)) => Ok(Some(text.trim().to_owned())),
            Some((Value::List(_), place)) => Err(Failure::input(format!(
                "{place}: {key}: expected one value, not a list"
            ))),
        }
    }

    /// Takes a value of another kind; `read` says what was expected.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Failure> {
        let place = self.entries.iter().find(|(other, ..)| other == key);
        let place = place.map(|(.., place)| place.clone()).unwrap_or_default();
        let text = self.text(key)?;
        let value = text.map(|text| read(&text)).transpose();
        value.map_err(|why| Failure::input(format!("{place}: {key}: {why}")))
    }

    /// Takes a list of texts; a single one is a list of one.
    pub(super) fn list(&mut self, key: &str) -> Result<Vec<String>, Failure> {
        match self.take(key) {
            None => Ok(Vec::new()),
            Some((Value::Text(text), _)) => Ok(vec![text]),
            Some((Value::List(list), place)) if list.is_empty() => {
                Err(Failure::input(format!("{place}: {key} must not be empty")))
            }
            Some((Value::List(list), _)) => Ok(list),
        }
    }

    /// Takes the URL of a broker, or reads it from the file that is named.
    pub(super) fn url(&mut self) -> Result<Option<String>, Failure> {
        let (url, file) = (self.text("url")?, self.text("url_file")?);
        match (url, file) {
            (Some(_), Some(_)) => Err(self.problem("url and url_file are both given")),
            (None, Some(file)) => {
                let read = url_source::read("url_file", std::path::Path::new(&file));
                read.map(Some).map_err(|failure| self.problem(failure))
            }
            (url, None) => Ok(url),
        }
    }

    /// Refuses what was not read: an unknown key.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let Some((key, _, place)) = self.entries.first() else {
            return Ok(());
        };
        let nearest = self.known.iter().map(|known| (strsim::levenshtein(known, key), known));
        let nearest = nearest.min().filter(|(distance, _)| *distance <= NEAR);
        let proposal = match nearest {
            Some((_, known)) => format!("; did you mean {known}?"),
            None => format!("; known are {}", self.known.join(", ")),
        };
        let key = printable(key);
        Err(Failure::input(format!("{place}: unknown key {key:?}{proposal}")))
    }
}

/// Returns where a URL ends in a flag: before a comma and a key that is known, or looks like a misspelt one.
fn end_of_url(text: &str) -> usize {
    let is_key = |rest: &str| {
        let key = rest.split_once('=').map(|(key, _)| key);
        let known = SIDE.iter().chain(&["namespace"]);
        key.is_some_and(|key| {
            known
                .clone()
                .any(|known| strsim::levenshtein(known, key) <= known.len() / 4)
        })
    };
    let mut commas = text.match_indices(',').map(|(at, _)| at);
    commas.find(|at| is_key(&text[at + 1..])).unwrap_or(text.len())
}
