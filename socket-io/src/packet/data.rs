//! The JSON part of packets of clients.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use engine_io::ProtocolError;
use manager_api::{Payload, RESERVED_EVENTS};
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Takes the authentication details of a CONNECT: an object, or nothing.
pub(crate) fn auth(json: &str) -> Result<Payload, ProtocolError> {
    if json.is_empty() {
        return Ok(Payload::empty());
    }
    let object: &RawValue = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("a CONNECT with malformed data").with_source(error))?;
    if !object.get().starts_with('{') {
        return Err(ProtocolError::new("a CONNECT whose data is no object"));
    }
    Ok(Payload::from_trusted(format!("[{}]", object.get()).into(), Vec::new()))
}

/// Splits `["name",argument,…]` into name and arguments; the latter are checked to be JSON, not parsed.
///
/// A client cannot emit the names that the protocol keeps for itself.
pub(crate) fn event(json: &str, attachments: Vec<Bytes>) -> Result<(Cow<'_, str>, Payload), ProtocolError> {
    let Elements { name, arguments } = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("an event must be an array that begins with a name").with_source(error))?;
    if RESERVED_EVENTS.contains(&&*name) {
        return Err(ProtocolError::new("a client must not emit a reserved event"));
    }
    let inner = arguments.map_or("", |(first, last)| between(json, first, last));
    let mut array = Vec::with_capacity(inner.len() + 2);
    array.push(b'[');
    array.extend_from_slice(inner.as_bytes());
    array.push(b']');
    check_placeholders(json, attachments.len())?;
    Ok((name, Payload::from_trusted(array.into(), attachments)))
}

/// Takes the arguments of an acknowledgement: an array, or nothing.
pub(crate) fn ack_payload(json: &str, attachments: Vec<Bytes>) -> Result<Payload, ProtocolError> {
    if json.is_empty() {
        return Ok(Payload::empty());
    }
    let array: &RawValue = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("an acknowledgement must be an array").with_source(error))?;
    if !array.get().starts_with('[') {
        return Err(ProtocolError::new("an acknowledgement must be an array"));
    }
    check_placeholders(json, attachments.len())?;
    Ok(Payload::from_trusted(
        Bytes::copy_from_slice(array.get().as_bytes()),
        attachments,
    ))
}

/// Refuses placeholders that stand for attachments that did not come.
fn check_placeholders(json: &str, num_attachments: usize) -> Result<(), ProtocolError> {
    if num_attachments == 0 {
        return Ok(());
    }
    let value: Value = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("a binary packet must be JSON").with_source(error))?;
    match placeholders_fit(&value, num_attachments as u64) {
        true => Ok(()),
        false => Err(ProtocolError::new("a placeholder for an attachment that did not come")),
    }
}

fn placeholders_fit(value: &Value, num_attachments: u64) -> bool {
    match value {
        Value::Array(values) => values.iter().all(|value| placeholders_fit(value, num_attachments)),
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => map
            .get("num")
            .and_then(Value::as_u64)
            .is_some_and(|num| num < num_attachments),
        Value::Object(map) => map.values().all(|value| placeholders_fit(value, num_attachments)),
        _ => true,
    }
}

/// The text from the beginning of one slice of `text` to the end of another.
fn between<'a>(text: &'a str, first: &str, last: &str) -> &'a str {
    let start = first.as_ptr() as usize - text.as_ptr() as usize;
    let end = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
    &text[start..end]
}

/// A name and the first and last of the arguments behind it.
struct Elements<'a> {
    name: Cow<'a, str>,
    arguments: Option<(&'a str, &'a str)>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ElementsVisitor)
    }
}

struct ElementsVisitor;

impl<'de> Visitor<'de> for ElementsVisitor {
    type Value = Elements<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of a name and arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Elements<'de>, A::Error> {
        let Name(name) = elements
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let mut arguments = None;
        while let Some(argument) = elements.next_element::<&RawValue>()? {
            let (first, _) = arguments.unwrap_or((argument.get(), ""));
            arguments = Some((first, argument.get()));
        }
        Ok(Elements { name, arguments })
    }
}

/// A string, or a number, which JavaScript allows as a name.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event's name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Name<'de>, E> {
        Ok(Name(Cow::Owned(number.to_string())))
    }
}
