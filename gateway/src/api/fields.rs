//! The fields of an object in a body, read one by one, so that an error names the one that is
//! wrong.
//!
//! A field that is `null` counts as one that is not there, because many programs write it so. A
//! field that is not known is an error: it is more likely a typing error than meant for nothing.

use std::collections::BTreeMap;

use http::StatusCode;
use manager_api::{NamespaceName, Room};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::members::Members;
use super::problem::{Code, Problem};

/// The longest name of a room or client, in bytes.
const MAX_NAME_BYTES: usize = 1024;

/// The fields of one object.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    values: BTreeMap<String, &'a RawValue>,
}

impl<'a> Fields<'a> {
    /// Reads an object, all of whose fields are known.
    pub(super) fn read(json: &'a str, known: &[&str]) -> Result<Self, Problem> {
        if !json.trim_start().starts_with('{') {
            let detail = "expected an object";
            return Err(Problem::new(StatusCode::BAD_REQUEST, Code::NotAnObject, detail));
        }
        let Members(members) = serde_json::from_str(json).map_err(|error| not_json(&error))?;
        let mut values = BTreeMap::new();
        for (name, value) in members {
            if values.contains_key(&name) {
                return Err(invalid(&shortened(&name), "it stands there twice"));
            }
            values.insert(name, value);
        }
        match values.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(Self { values }),
            Some(name) => {
                let detail = format!("unknown field; known are {}", known.join(", "));
                Err(Problem::field(Code::UnknownField, shortened(name), detail))
            }
        }
    }

    /// Returns the text of a field; `None` if it is not there, or `null`.
    pub(super) fn raw(&self, name: &str) -> Option<&'a RawValue> {
        self.values.get(name).copied().filter(|value| value.get() != "null")
    }

    /// Reads a field; `None` if it is not there, or `null`.
    pub(super) fn optional<T: DeserializeOwned>(&self, name: &str, expected: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.raw(name) else {
            return Ok(None);
        };
        let value = serde_json::from_str(raw.get());
        value
            .map(Some)
            .map_err(|_| invalid(name, &format!("expected {expected}")))
    }

    /// Reads the namespace; `/` if there is none.
    pub(super) fn namespace(&self) -> Result<NamespaceName, Problem> {
        let name: Option<String> = self.optional("namespace", "text")?;
        let name = name.as_deref().unwrap_or("/");
        NamespaceName::new(name).map_err(|error| invalid("namespace", &error.to_string()))
    }

    /// Reads a list of rooms, or a single one; a number is another room than the text of its
    /// digits.
    pub(super) fn rooms(&self, name: &str, max: usize) -> Result<Vec<Room>, Problem> {
        let entries = match self.optional::<Value>(name, "a room, or a list of rooms")? {
            None => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries,
            Some(single) => vec![single],
        };
        if entries.len() > max {
            return Err(too_many(name, entries.len(), max));
        }
        entries.into_iter().map(|entry| room(name, entry)).collect()
    }
}

/// Returns the beginning of a name that came from outside.
fn shortened(name: &str) -> String {
    name.chars().take(100).collect()
}

/// Reads a room: text, or a whole number.
fn room(name: &str, entry: Value) -> Result<Room, Problem> {
    match &entry {
        Value::String(text) => match text.len() {
            1..=MAX_NAME_BYTES => Ok(text.into()),
            0 => Err(invalid(name, "a name must not be empty")),
            _ => Err(invalid(
                name,
                &format!("a name must have at most {MAX_NAME_BYTES} bytes"),
            )),
        },
        Value::Number(number) => {
            let number = number
                .as_i64()
                .ok_or_else(|| invalid(name, "a number must be a whole one"))?;
            Ok(number.into())
        }
        _ => Err(invalid(name, "expected text, a whole number, or a list of them")),
    }
}

/// Refuses a field that has another form than expected.
pub(super) fn invalid(field: &str, detail: &str) -> Problem {
    Problem::field(Code::InvalidField, field, detail)
}

/// Refuses an object without a field that it needs.
pub(super) fn missing(field: &str) -> Problem {
    Problem::field(Code::MissingField, field, "this field is needed")
}

/// Refuses a list that is longer than a limit allows.
pub(super) fn too_many(field: &str, count: usize, max: usize) -> Problem {
    Problem::field(Code::TooMany, field, format!("{count} entries: the limit is {max}"))
}

/// Refuses text that is not JSON; the place is named, and nothing is quoted.
pub(super) fn not_json(error: &serde_json::Error) -> Problem {
    let (line, column) = (error.line(), error.column());
    let detail = format!("the body is not JSON: line {line}, column {column}");
    Problem::new(StatusCode::BAD_REQUEST, Code::NotJson, detail)
}
