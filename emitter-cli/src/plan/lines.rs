//! A line of `--lines` into an event.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use manager_api::{Broadcast, Emitter, EventName, IdempotencyKey, NamespaceName, Payload, Room, Sid};
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
    /// That of the line, by which its result can be found.
    pub(crate) key: Option<IdempotencyKey>,
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
                    json_argument(line).map_err(or_text)?
                };
                Ok(payload.map(|payload| ParsedLine {
                    broadcast: prepared.clone(),
                    event: event.clone(),
                    payload,
                    key: None,
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

/// The line between brackets: checked to be JSON, kept as it is. A blank line is not an event.
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
    let Some((address, event, payload)) = addressed(line, default)? else {
        return Ok(None);
    };
    Ok(Some(ParsedLine {
        broadcast: address.broadcast(emitter),
        event,
        payload,
        key: address.key,
    }))
}

/// Reads the object of a line: to whom the event goes, its name and its arguments. A blank line is not an event.
pub(super) fn addressed(line: &[u8], default: &Address) -> Result<Option<(Address, EventName, Payload)>, String> {
    if line.trim_ascii().is_empty() {
        return Ok(None);
    }
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(NOT_AN_OBJECT.into());
    }
    let line: Line<'_> = serde_json::from_slice(line).map_err(not_json)?;
    if line.method.as_ref().is_some_and(|method| method != "emit") {
        return Err("a \"method\" other than \"emit\" cannot be emitted".into());
    }
    let event = EventName::new(&line.event).map_err(|error| error.to_string())?;
    let payload = line.payload()?;
    let address = line.address(default)?;
    Ok(Some((address, event, payload)))
}

/// What a line is without an event on the command line.
const NOT_AN_OBJECT: &str =
    "not an object such as {\"event\":\"news\",\"data\":1}; with an event on the command line, lines are its data";

/// Says what a line must be.
fn or_text(error: String) -> String {
    // Of text the parser says which letter of `true`, `false` or `null` it misses, which tells its author nothing.
    let error = error.replace("expected ident at ", "at ");
    format!("not a JSON value such as 7, \"text\" or {{\"a\":1}} ({error}); with --text lines are taken as text")
}

fn not_json(error: serde_json::Error) -> String {
    // There is one line only, and its number stands before this text.
    error.to_string().replace(" at line 1 column ", " at column ")
}

/// The object of a line. An unknown field is an error: a misspelt `room` must not turn into an event for all clients.
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
    /// From here on: written by `sio listen --json`, whose events can be emitted again.
    #[serde(borrow, default)]
    except_rooms: Option<OneOrMany<RoomName<'a>>>,
    /// In base64, in the order of their placeholders.
    #[serde(borrow, default)]
    attachments: Vec<Cow<'a, str>>,
    #[serde(default)]
    volatile: Option<bool>,
    /// By which servers drop repeats.
    #[serde(borrow, default)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, rename = "time")]
    _time: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "host_id")]
    _host_id: Option<&'a RawValue>,
}

impl Line<'_> {
    fn payload(&self) -> Result<Payload, String> {
        let payload = match (self.data, self.args) {
            (None, None) => Payload::empty(),
            (Some(data), None) => json_argument(data.get().as_bytes())?.unwrap_or_else(Payload::empty),
            (None, Some(args)) => {
                let args = Bytes::copy_from_slice(args.get().as_bytes());
                Payload::from_json_array(args).map_err(|error| format!("\"args\": {error}"))?
            }
            (Some(_), Some(_)) => return Err("either \"data\" or \"args\", not both".into()),
        };
        if self.attachments.is_empty() {
            return Ok(payload);
        }
        let decode = |text: &Cow<'_, str>| BASE64_STANDARD.decode(text.as_bytes()).map(Bytes::from);
        let attachments: Result<Vec<Bytes>, _> = self.attachments.iter().map(decode).collect();
        let attachments = attachments.map_err(|error| format!("\"attachments\": {error}"))?;
        if payload.json().matches("\"_placeholder\"").count() != attachments.len() {
            return Err("\"attachments\" must be as many as there are placeholders".into());
        }
        let json = Bytes::copy_from_slice(payload.json().as_bytes());
        Payload::with_attachments(json, attachments).map_err(|error| format!("\"attachments\": {error}"))
    }

    /// What the line leaves out is taken from the default.
    fn address(self, default: &Address) -> Result<Address, String> {
        let namespace = match self.namespace {
            Some(name) => NamespaceName::new(&name).map_err(|error| error.to_string())?,
            None => default.namespace.clone(),
        };
        let rooms = match self.room {
            Some(OneOrMany::Many(none)) if none.is_empty() => {
                return Err("an empty list of rooms reaches no client; leave \"room\" out to reach all".into());
            }
            Some(rooms) => rooms.collect(RoomName::room),
            None => default.rooms.clone(),
        };
        let except = match self.except {
            Some(ids) => ids.collect(|id| Sid::from(id.as_ref())),
            None => default.except.clone(),
        };
        let except_rooms = match self.except_rooms {
            Some(rooms) => rooms.collect(RoomName::room),
            None => default.except_rooms.clone(),
        };
        let key = self.key.map(|key| IdempotencyKey::new(&key)).transpose();
        let key = key.map_err(|error| format!("\"key\": {error}"))?;
        // An empty room means all clients for servers of python-socketio.
        if rooms.iter().chain(&except_rooms).any(|room| room.as_str().is_empty()) {
            return Err("the name of a room must not be empty".into());
        }
        if except.iter().any(|id| id.as_str().is_empty()) {
            return Err("the id of a client must not be empty".into());
        }
        Ok(Address {
            namespace,
            rooms,
            except,
            except_rooms,
            volatile: self.volatile.unwrap_or(default.volatile),
            trace: default.trace,
            key,
        })
    }
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
    use manager_api::memory::MemoryBus;

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
    fn what_was_listened_to_is_emitted_with_attachments_and_exclusions() {
        let line = br#"{"time":1.5,"method":"emit","event":"n","args":[{"_placeholder":true,"num":0}],"attachments":["AQID"],"except_rooms":["muted"],"key":"job 7","namespace":"/","host_id":"x"}"#;
        let parsed = object_parser()(line).unwrap().unwrap();
        assert_eq!(parsed.payload.attachments(), [Bytes::from_static(&[1, 2, 3])]);
        let shown = format!("{:?}", parsed.broadcast);
        assert!(shown.contains("muted") && shown.contains("job 7"), "{shown}");
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
            (br#"{"event":"n","room":[]}"#, "reaches no client"),
            (br#"{"event":"n","room":["a",""]}"#, "room must not be empty"),
            (br#"{"event":"n","room":""}"#, "room must not be empty"),
            (br#"{"event":"n","except_rooms":""}"#, "room must not be empty"),
            (br#"{"event":"n","except":[""]}"#, "client must not be empty"),
            (
                br#"{"event":"n","key":""}"#,
                "\"key\": an idempotency key must not be empty",
            ),
            (br#"{"event":"n","key":"a\u0000"}"#, "control characters"),
            (br#"{"event":"n","key":7}"#, "invalid type"),
            (br#"{"event":"","room":"a"}"#, "event name must not be empty"),
            (br#"{"event":"n","namespace":""}"#, "must begin with"),
            (br#"{"event":"n","attachments":["AA=="]}"#, "as many"),
            (
                br#"{"event":"n","data":{"_placeholder":true,"num":0},"attachments":["?"]}"#,
                "attachments",
            ),
            (b"{\"event\":1", "column"),
            (b"hello there", "with an event on the command line"),
            (br#"["n"]"#, "not an object"),
            (b"\xff", "not an object"),
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
        for text in [&b"hello there"[..], b"true fact", b"tail"] {
            let said = json(text).unwrap_err();
            let says = said.starts_with("not a JSON value such as") && said.contains("with --text");
            assert!(says && !said.contains("ident"), "{said}");
        }
        let mut text = format(true).parser(&emitter);
        assert_eq!(
            text(b"say \"hi\"").unwrap().unwrap().payload.json(),
            "[\"say \\\"hi\\\"\"]"
        );
        assert_eq!(text(b"").unwrap().unwrap().payload.json(), "[\"\"]");
        assert!(text(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
