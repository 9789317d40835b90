//! The JSON part of packets of clients.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use engine_io::ProtocolError;
use manager_api::Payload;
use manager_api::id::RESERVED_EVENTS;
use manager_api::json::unescape;
use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::Parser;

/// Takes the authentication details of a CONNECT: an object, or nothing; `None` if it is something else.
pub(crate) fn auth(json: &str) -> Result<Option<Payload>, ProtocolError> {
    if json.is_empty() {
        return Ok(Some(Payload::empty()));
    }
    let auth: &RawValue = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("a CONNECT with malformed data").with_source(error))?;
    let auth = auth.get();
    Ok(match auth.as_bytes()[0] {
        b'{' => Some(Payload::from_trusted(format!("[{auth}]").into(), Vec::new())),
        b'n' => Some(Payload::empty()),
        _ => None,
    })
}

/// Splits `["name",argument,…]` into name and arguments; the latter are checked to be JSON of any depth, not parsed.
///
/// A client cannot emit the names that the protocol keeps for itself.
pub(crate) fn event(
    json: &str,
    attachments: Vec<Bytes>,
    parser: Parser,
) -> Result<(Cow<'_, str>, Payload), ProtocolError> {
    let Elements { name, arguments } = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("an event must be an array that begins with a name").with_source(error))?;
    let name = event_name(name)?;
    if RESERVED_EVENTS.contains(&&*name) {
        return Err(ProtocolError::new("a client must not emit a reserved event"));
    }
    let inner = arguments.map_or("", |(first, last)| between(json, first, last));
    let mut array = Vec::with_capacity(inner.len() + 2);
    array.push(b'[');
    array.extend_from_slice(inner.as_bytes());
    array.push(b']');
    Ok((name, payload(array.into(), attachments, parser)?))
}

/// Takes the arguments of an acknowledgement: an array, or nothing.
pub(crate) fn ack_payload(json: &str, attachments: Vec<Bytes>, parser: Parser) -> Result<Payload, ProtocolError> {
    if json.is_empty() {
        return Ok(Payload::empty());
    }
    let array: &RawValue = serde_json::from_str(json)
        .map_err(|error| ProtocolError::new("an acknowledgement must be an array").with_source(error))?;
    if !array.get().starts_with('[') {
        return Err(ProtocolError::new("an acknowledgement must be an array"));
    }
    payload(Bytes::copy_from_slice(array.get().as_bytes()), attachments, parser)
}

fn payload(json: Bytes, attachments: Vec<Bytes>, parser: Parser) -> Result<Payload, ProtocolError> {
    let payload = match parser {
        Parser::Json => Payload::with_attachments_of_client(json, attachments),
        // The reader wrote the placeholders itself, and escaped what only looks like one.
        Parser::MsgPack => Payload::with_attachments(json, attachments),
    };
    payload.map_err(|error| ProtocolError::new("a binary packet whose placeholders do not fit").with_source(error))
}

/// Reads a name as JavaScript does: a string, or a number. Half a surrogate pair in it becomes U+FFFD.
fn event_name(json: &str) -> Result<Cow<'_, str>, ProtocolError> {
    match json.as_bytes()[0] {
        b'"' => Ok(unescape(&json[1..json.len() - 1])),
        b'-' | b'0'..=b'9' => Ok(number_name(json)),
        _ => Err(ProtocolError::new("an event must be an array that begins with a name")),
    }
}

fn number_name(json: &str) -> Cow<'_, str> {
    if json.parse::<u64>().is_ok() || json.parse::<i64>().is_ok_and(|number| number != 0) {
        return json.into();
    }
    let number: f64 = json.parse().expect("a JSON number is a float");
    match number.is_infinite() {
        true if number > 0.0 => "Infinity".into(),
        true => "-Infinity".into(),
        // JavaScript knows no negative zero in text.
        false => (number + 0.0).to_string().into(),
    }
}

/// The text from the beginning of one slice of `text` to the end of another.
fn between<'a>(text: &'a str, first: &str, last: &str) -> &'a str {
    let start = first.as_ptr() as usize - text.as_ptr() as usize;
    let end = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
    &text[start..end]
}

/// The JSON of a name, and the first and last of the arguments behind it.
struct Elements<'a> {
    name: &'a str,
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
        let name: &RawValue = elements
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let mut arguments = None;
        while let Some(argument) = elements.next_element::<&RawValue>()? {
            let (first, _) = arguments.unwrap_or((argument.get(), ""));
            arguments = Some((first, argument.get()));
        }
        let name = name.get();
        Ok(Elements { name, arguments })
    }
}
