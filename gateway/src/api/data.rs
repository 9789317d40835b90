//! The arguments of an event, as they stand in a body: JSON, with binary as `{"$base64": "…"}`.
//!
//! Values without binary are passed on as the text that came, so that numbers of any length and the
//! order of members stay. Values with binary are read down to it, and no further.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::Payload;
use serde::ser::{SerializeMap, SerializeSeq, SerializeTuple};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::fields::invalid;
use super::members::Members;
use super::problem::Problem;

/// The only key of an object that stands for bytes.
const BASE64: &str = "$base64";
/// How deep values beside binary may nest. Each level reads the text below it once more.
const MAX_DEPTH: usize = 16;

/// Makes the arguments of an event: those of the list `args`, or the one in `data`, or none. JSON
/// is passed on as it stands.
pub(super) fn payload(args: Option<&RawValue>, data: Option<&RawValue>) -> Result<Payload, Problem> {
    match (args, data) {
        (Some(_), Some(_)) => Err(invalid(
            "data",
            "an event has either args, a list, or data, a single argument",
        )),
        (None, None) => Ok(Payload::empty()),
        (Some(args), None) => list(args),
        (None, Some(data)) => single(data),
    }
}

/// Reads a list of arguments.
fn list(args: &RawValue) -> Result<Payload, Problem> {
    let refused = |_| invalid("args", "expected a list");
    if !has_binary(args) {
        let json = Bytes::copy_from_slice(args.get().as_bytes());
        return Payload::from_json_array(json).map_err(refused);
    }
    let args: Vec<&RawValue> = serde_json::from_str(args.get()).map_err(|_| invalid("args", "expected a list"))?;
    let args: Result<_, Problem> = args.into_iter().map(|value| Node::read(value, "args", 0)).collect();
    Payload::new(&Arguments(args?)).map_err(refused)
}

/// Reads a single argument.
fn single(data: &RawValue) -> Result<Payload, Problem> {
    let refused = |_| invalid("data", "expected a value");
    match has_binary(data) {
        false => Ok(Payload::builder().json(data.get()).map_err(refused)?.build()),
        true => Payload::new(&Arguments(vec![Node::read(data, "data", 0)?])).map_err(refused),
    }
}

/// Tells whether there may be binary in a value, without reading it.
fn has_binary(value: &RawValue) -> bool {
    value.get().contains(BASE64)
}

/// A value with binary in it; parts without stay text.
enum Node<'a> {
    Json(&'a RawValue),
    Binary(Vec<u8>),
    List(Vec<Node<'a>>),
    Object(Vec<(String, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Reads a value down to its binary.
    fn read(value: &'a RawValue, field: &'static str, depth: usize) -> Result<Self, Problem> {
        let unreadable = |_| invalid(field, "not JSON");
        if !has_binary(value) {
            return Ok(Self::Json(value));
        }
        if depth > MAX_DEPTH {
            return Err(invalid(
                field,
                "binary must not stand deeper than in 16 lists or objects",
            ));
        }
        if value.get().starts_with('[') {
            let entries: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(unreadable)?;
            let entries = entries.into_iter().map(|entry| Self::read(entry, field, depth + 1));
            return Ok(Self::List(entries.collect::<Result<_, _>>()?));
        }
        if !value.get().starts_with('{') {
            return Ok(Self::Json(value));
        }
        let Members(members) = serde_json::from_str(value.get()).map_err(unreadable)?;
        if let [(key, base64)] = members.as_slice()
            && key == BASE64
        {
            return bytes(base64, field).map(Self::Binary);
        }
        let members = members
            .into_iter()
            .map(|(key, value)| Ok((key, Self::read(value, field, depth + 1)?)));
        Ok(Self::Object(members.collect::<Result<_, Problem>>()?))
    }
}

/// Reads the bytes that an object stands for.
fn bytes(value: &RawValue, field: &'static str) -> Result<Vec<u8>, Problem> {
    let text: Option<String> = serde_json::from_str(value.get()).ok();
    let bytes = text.and_then(|text| BASE64_STANDARD.decode(text).ok());
    bytes.ok_or_else(|| {
        invalid(
            field,
            "what stands at $base64 is not base64, of the alphabet with + and / and with padding",
        )
    })
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Json(value) => value.serialize(serializer),
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
            Self::List(entries) => {
                let mut list = serializer.serialize_seq(Some(entries.len()))?;
                entries.iter().try_for_each(|entry| list.serialize_element(entry))?;
                list.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                members
                    .iter()
                    .try_for_each(|(key, value)| object.serialize_entry(key, value))?;
                object.end()
            }
        }
    }
}

/// Several arguments, which to a payload are a tuple.
struct Arguments<'a>(Vec<Node<'a>>);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0
            .iter()
            .try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: Option<&str>, data: Option<&str>) -> Result<Payload, Problem> {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).unwrap();
        let (args, data) = (args.map(raw), data.map(raw));
        payload(args.as_deref(), data.as_deref())
    }

    #[test]
    fn json_is_passed_on_as_it_stands() {
        for (args, data, json) in [
            (None, None, "[]"),
            (Some("[]"), None, "[]"),
            (
                Some("[1, {\"b\": 1.0, \"a\": 12345678901234567890123}]"),
                None,
                "[1, {\"b\": 1.0, \"a\": 12345678901234567890123}]",
            ),
            (None, Some("[1]"), "[[1]]"),
            (None, Some("\"a\""), "[\"a\"]"),
        ] {
            let payload = read(args, data).unwrap();
            assert_eq!((payload.json(), payload.attachments().len()), (json, 0));
        }
    }

    #[test]
    fn bytes_stand_anywhere_as_base64() {
        let payload = read(
            Some(r#"[{"$base64":"AAEC"},{"b":[7,{"$base64":""}],"a":12345678901234567890123}]"#),
            None,
        )
        .unwrap();
        let json =
            r#"[{"_placeholder":true,"num":0},{"b":[7,{"_placeholder":true,"num":1}],"a":12345678901234567890123}]"#;
        assert_eq!(payload.json(), json);
        assert_eq!(payload.attachments(), [&[0, 1, 2][..], &[]]);
        let payload = read(None, Some(r#"{"$base64":"/+8="}"#)).unwrap();
        assert_eq!(
            (payload.json(), payload.attachments().len()),
            (r#"[{"_placeholder":true,"num":0}]"#, 1)
        );
        // Not an object of this one key.
        let literal = read(None, Some(r#"{"$base64":"AA==","more":1}"#)).unwrap();
        assert_eq!(
            (literal.json(), literal.attachments().len()),
            (r#"[{"$base64":"AA==","more":1}]"#, 0)
        );
    }

    #[test]
    fn what_cannot_be_arguments_names_its_field() {
        let deep = format!("{}{{\"$base64\":\"\"}}{}", "[".repeat(120), "]".repeat(120));
        for (args, data, field) in [
            (Some("[]"), Some("1"), "data"),
            (Some("{}"), None, "args"),
            (Some("{\"$base64\":\"\"}"), None, "args"),
            (Some("[{\"$base64\":\"*\"}]"), None, "args"),
            (None, Some("{\"$base64\":7}"), "data"),
            (None, Some(deep.as_str()), "data"),
        ] {
            let problem = serde_json::to_value(read(args, data).unwrap_err()).unwrap();
            assert_eq!((&problem["field"], &problem["status"]), (&field.into(), &400.into()));
        }
    }
}
