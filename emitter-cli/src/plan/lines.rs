//! A line of `--lines` into an event.

use std::borrow::Cow;

use bytes::Bytes;
use manager_api::{Broadcast, Emitter, EventName, Namespace, Payload, Room, Sid};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Address;

/// What the lines of standard input are.
#[derive(Debug)]
pub(crate) enum LineFormat {
    /// One argument a line, for one event: JSON, or text.
    Payload {
        event: EventName,
        address: Address,
        text: bool,
    },
    /// An object a line; what it leaves out is taken from the command line.
    Object { address: Address },
}

/// An event that only waits to be emitted.
#[derive(Debug)]
pub(crate) struct ParsedLine {
    pub(crate) broadcast: Broadcast,
    pub(crate) event: EventName,
    pub(crate) payload: Payload,
}

impl LineFormat {
    /// Returns a parser that has prepared what all lines share.
    pub(crate) fn parser(
        self,
        emitter: &Emitter,
    ) -> impl FnMut(&[u8]) -> Result<Option<ParsedLine>, String> + Send + use<> {
        let emitter = emitter.clone();
        let (LineFormat::Payload { address, .. } | LineFormat::Object { address }) = &self;
        let prepared = address.broadcast(&emitter);
        move |line| match &self {
            LineFormat::Payload { event, text, .. } => {
                let payload = if *text {
                    text_argument(line)?
                } else {
                    json_argument(line)?
                };
                Ok(payload.map(|payload| ParsedLine {
                    broadcast: prepared.clone(),
                    event: event.clone(),
                    payload,
                }))
            }
            LineFormat::Object { address } => object(line, address, &emitter),
        }
    }
}

fn text_argument(line: &[u8]) -> Result<Option<Payload>, String> {
    let text = std::str::from_utf8(line).map_err(|error| format!("not UTF-8: {error}"))?;
    Ok(Some(Payload::builder().text(text).build()))
}

/// The line between brackets: checked to be JSON, kept as it is. A blank line is no event.
fn json_argument(line: &[u8]) -> Result<Option<Payload>, String> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    let _: &RawValue = serde_json::from_slice(line).map_err(not_json)?;
    let mut array = Vec::with_capacity(line.len() + 2);
    array.push(b'[');
    array.extend_from_slice(line);
    array.push(b']');
    Ok(Some(Payload::from_trusted(array.into(), Vec::new())))
}

fn object(line: &[u8], default: &Address, emitter: &Emitter) -> Result<Option<ParsedLine>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(not_json)?;
    if line.method.is_some_and(|method| method != "emit") {
        return Err("a \"method\" other than \"emit\" cannot be emitted".into());
    }
    let event = EventName::new(&line.event).map_err(|error| error.to_string())?;
    let payload = match (line.data, line.args) {
        (None, None) => Payload::empty(),
        (Some(data), None) => json_argument(data.get().as_bytes())?.unwrap_or_else(Payload::empty),
        (None, Some(args)) => {
            let args = Bytes::copy_from_slice(args.get().as_bytes());
            Payload::from_json_array(args).map_err(|error| format!("\"args\": {error}"))?
        }
        (Some(_), Some(_)) => return Err("either \"data\" or \"args\", not both".into()),
    };
    let address = Address {
        namespace: match line.namespace {
            Some(name) => Namespace::new(&name).map_err(|error| error.to_string())?,
            None => default.namespace.clone(),
        },
        rooms: line
            .room
            .map_or_else(|| default.rooms.clone(), |rooms| rooms.collect(RoomName::room)),
        except: line.except.map_or_else(
            || default.except.clone(),
            |ids| ids.collect(|id| Sid::from(id.as_ref())),
        ),
    };
    Ok(Some(ParsedLine {
        broadcast: address.broadcast(emitter),
        event,
        payload,
    }))
}

fn not_json(error: serde_json::Error) -> String {
    // There is one line only, and its number stands before this text.
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// The object of a line. An unknown field is an error: a misspelt `room` must not turn into an event for everybody.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    args: Option<&'a RawValue>,
    #[serde(borrow, default)]
    room: Option<OneOrMany<RoomName<'a>>>,
    #[serde(borrow, default)]
    namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    except: Option<OneOrMany<Cow<'a, str>>>,
    /// Written by `sio listen --json`, whose events can be emitted again.
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "time")]
    _time: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "host_id")]
    _host_id: Option<&'a RawValue>,
}

/// Keeps `null` apart from a field that is missing.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected one name, or a list of names")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    fn collect<U>(self, make: impl Fn(T) -> U) -> Vec<U> {
        match self {
            OneOrMany::One(one) => vec![make(one)],
            OneOrMany::Many(many) => many.into_iter().map(make).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RoomName<'a> {
    Number(i64),
    #[serde(borrow)]
    Text(Cow<'a, str>),
}

impl RoomName<'_> {
    fn room(self) -> Room {
        match self {
            RoomName::Number(number) => number.into(),
            RoomName::Text(name) => Room::from(name.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use manager_api::MemoryBus;

    fn object_parser() -> impl FnMut(&[u8]) -> Result<Option<ParsedLine>, String> {
        let emitter = Emitter::new(MemoryBus::new().manager("socketio"));
        LineFormat::Object {
            address: Address {
                rooms: vec!["default".into()],
                ..Address::default()
            },
        }
        .parser(&emitter)
    }

    #[test]
    fn objects_name_event_arguments_and_address() {
        let mut parse = object_parser();
        let line = br#"{"event":"n","args":[1, {"a":null}],"room":["a",7],"namespace":"/c","except":"id"}"#;
        let parsed = parse(line).unwrap().unwrap();
        assert_eq!(
            (parsed.event.as_str(), parsed.payload.json()),
            ("n", "[1, {\"a\":null}]")
        );
        let shown = format!("{:?}", parsed.broadcast);
        assert!(
            shown.contains("\"a\", 7") && shown.contains("/c") && shown.contains("id"),
            "{shown}"
        );
        let parsed = parse(br#"{"event":"n","data":null}"#).unwrap().unwrap();
        assert_eq!(parsed.payload.json(), "[null]");
        assert!(format!("{:?}", parsed.broadcast).contains("default"));
        assert_eq!(parse(br#"{"event":"n"}"#).unwrap().unwrap().payload.json(), "[]");
        assert!(parse(b" \r").unwrap().is_none());
    }

    #[test]
    fn bad_objects_say_why() {
        let mut parse = object_parser();
        for (line, reason) in [
            (&br#"{"event":"n","data":}"#[..], "column 21"),
            (br#"{"event":"n","rooms":"a"}"#, "unknown field `rooms`"),
            (br#"{"data":1}"#, "missing field `event`"),
            (br#"{"event":"connect"}"#, "reserved"),
            (br#"{"event":"n","data":1,"args":[]}"#, "not both"),
            (br#"{"event":"n","args":1}"#, "array"),
            (br#"{"event":"n","namespace":"c"}"#, "must begin with"),
            (br#"{"event":"n","room":{}}"#, "list of names"),
            (br#"{"method":"disconnect","event":"n"}"#, "method"),
            (b"[1", "column 2"),
            (b"\xff", "column 1"),
        ] {
            let said = parse(line).unwrap_err();
            assert!(
                said.contains(reason),
                "{} should say {reason:?}, says {said:?}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn payload_lines_are_kept_as_they_are() {
        let emitter = Emitter::new(MemoryBus::new().manager("socketio"));
        let format = |text| LineFormat::Payload {
            event: EventName::new("n").unwrap(),
            address: Address::default(),
            text,
        };
        let mut json = format(false).parser(&emitter);
        assert_eq!(
            json(b" {\"a\": 1.0}\r").unwrap().unwrap().payload.json(),
            "[{\"a\": 1.0}]"
        );
        assert!(json(b"").unwrap().is_none());
        assert!(json(b"1,2").unwrap_err().contains("column 2"));
        let mut text = format(true).parser(&emitter);
        assert_eq!(
            text(b"say \"hi\"").unwrap().unwrap().payload.json(),
            "[\"say \\\"hi\\\"\"]"
        );
        assert_eq!(text(b"").unwrap().unwrap().payload.json(), "[\"\"]");
        assert!(text(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
