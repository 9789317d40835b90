//! Messages of the channel as lines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use manager_api::message::{Envelope, Message, Target};
use manager_api::{NamespaceName, Payload, Room, wire};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::output::printable;

/// Characters of the arguments that a line for people shows.
const SHOWN_ARGUMENTS: usize = 200;

/// A message as a line of JSON, with the field names of `--lines`.
pub(super) fn json(envelope: &Envelope) -> String {
    let mut line = Line {
        time: since_epoch().as_secs_f64(),
        host_id: envelope.host_id.as_ref().map(|id| id.as_str()),
        ..Line::default()
    };
    match &envelope.message {
        Message::Emit(emit) => {
            line.method = "emit";
            line.event = Some(emit.event.as_str());
            line.arguments(&emit.payload);
            line.room = match &emit.target {
                Target::Everyone => None,
                Target::Rooms(rooms) => Some(rooms.iter().map(room_value).collect()),
            };
            line.except = emit.skip.iter().map(|sid| sid.as_str()).collect();
            line.except_rooms = emit.except.iter().map(room_value).collect();
            line.volatile = emit.volatile;
            line.key = emit.key.as_ref().map(|key| key.as_str());
            line.namespace = Some(emit.namespace.as_str());
        }
        Message::Callback(callback) => {
            line.method = "callback";
            line.id = Some(callback.address.id);
            line.arguments(&callback.payload);
            line.room = callback.address.room.as_ref().map(|room| vec![room_value(room)]);
            line.namespace = Some(callback.address.namespace.as_str());
        }
        Message::Disconnect { sid, namespace } => line.control("disconnect", Some(sid.as_str()), None, namespace),
        Message::EnterRoom { sid, room, namespace } => {
            line.control("enter_room", Some(sid.as_str()), Some(room), namespace);
        }
        Message::LeaveRoom { sid, room, namespace } => {
            line.control("leave_room", Some(sid.as_str()), Some(room), namespace);
        }
        Message::CloseRoom { room, namespace } => line.control("close_room", None, Some(room), namespace),
        other => line.method = other.method(),
    }
    serde_json::to_string(&line).expect("strings and JSON are JSON")
}

/// A message as a line for people.
pub(super) fn text(envelope: &Envelope) -> String {
    let what = match &envelope.message {
        Message::Emit(emit) => {
            let except = match emit.skip.len() {
                0 => String::new(),
                count => format!(" except {count}"),
            };
            let ack = if emit.callback.is_some() {
                " (expects acknowledgements)"
            } else {
                ""
            };
            let key = emit
                .key
                .as_ref()
                .map(|key| format!(" (key {key:?})"))
                .unwrap_or_default();
            let to = target(&emit.target);
            let (event, arguments) = (emit.event.as_str(), arguments(&emit.payload));
            format!(
                "emit {event:?} to {to}{except}{}{ack}{key}  {arguments}",
                within(&emit.namespace)
            )
        }
        Message::Callback(callback) => {
            format!(
                "acknowledgement{}  {}",
                within(&callback.address.namespace),
                arguments(&callback.payload)
            )
        }
        Message::Disconnect { sid, namespace } => format!("disconnect {sid}{}", within(namespace)),
        Message::EnterRoom { sid, room, namespace } => format!("{sid} enters {room:?}{}", within(namespace)),
        Message::LeaveRoom { sid, room, namespace } => format!("{sid} leaves {room:?}{}", within(namespace)),
        Message::CloseRoom { room, namespace } => format!("close {room:?}{}", within(namespace)),
        other => format!("{}, for servers", other.method()),
    };
    printable(&format!("{}  {what}", clock()))
}

pub(super) fn undecodable_json(error: &wire::python::DecodeError, num_bytes: usize) -> String {
    json!({"time": since_epoch().as_secs_f64(), "undecodable": error.to_string(), "bytes": num_bytes}).to_string()
}

pub(super) fn undecodable_text(error: &wire::python::DecodeError, num_bytes: usize) -> String {
    printable(&format!(
        "{}  undecodable message of {num_bytes} bytes: {error}",
        clock()
    ))
}

pub(super) fn gap_json(reason: &str) -> String {
    json!({"time": since_epoch().as_secs_f64(), "gap": reason}).to_string()
}

pub(super) fn gap_text(reason: &str) -> String {
    printable(&format!("{}  messages may have been missed: {reason}", clock()))
}

#[derive(Default, Serialize)]
struct Line<'a> {
    /// Seconds since 1970.
    time: f64,
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Vec<&'a RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    /// All clients, if there is none; no client, if it is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except_rooms: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    volatile: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn arguments(&mut self, payload: &'a Payload) {
        self.args = Some(payload.arguments());
        self.attachments = payload
            .attachments()
            .iter()
            .map(|bytes| BASE64_STANDARD.encode(bytes))
            .collect();
    }

    fn control(
        &mut self,
        method: &'static str,
        sid: Option<&'a str>,
        room: Option<&Room>,
        namespace: &'a NamespaceName,
    ) {
        self.method = method;
        self.sid = sid;
        self.room = room.map(|room| vec![room_value(room)]);
        self.namespace = Some(namespace.as_str());
    }
}

/// A number stays one: python-socketio keeps room 7 apart from room "7".
fn room_value(room: &Room) -> Box<RawValue> {
    let value = match room.is_number() {
        true => room
            .as_str()
            .parse()
            .map_or_else(|_| room.as_str().into(), Value::Number),
        false => room.as_str().into(),
    };
    to_raw_value(&value).expect("a string or number is JSON")
}

fn target(target: &Target) -> String {
    match target {
        Target::Everyone => "all clients".into(),
        Target::Rooms(rooms) if rooms.is_empty() => "no client".into(),
        Target::Rooms(rooms) => rooms
            .iter()
            .map(|room| format!("{room:?}"))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn within(namespace: &NamespaceName) -> String {
    if namespace.is_root() {
        String::new()
    } else {
        format!(" in {}", namespace.as_str())
    }
}

fn arguments(payload: &Payload) -> String {
    let inner = String::from_utf8_lossy(payload.inner_json());
    let mut shown: String = inner.chars().take(SHOWN_ARGUMENTS).collect();
    if shown.len() < inner.len() {
        shown.push('…');
    }
    match payload.attachments().iter().map(|bytes| bytes.len()).sum::<usize>() {
        0 => shown,
        num_bytes => format!("{shown} + {num_bytes} bytes"),
    }
}

/// The time of day, in UTC and saying so.
fn clock() -> String {
    let now = since_epoch();
    let seconds = now.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3_600,
        seconds / 60 % 60,
        seconds % 60,
        now.subsec_millis()
    )
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn decoded(text: &'static str) -> Envelope {
        wire::python::decode(&Bytes::from_static(text.as_bytes())).unwrap()
    }

    #[test]
    fn an_emit_is_shown_with_the_fields_of_lines() {
        let envelope = decoded(
            r#"{"method":"emit","event":"n","data":[1,{"a": 2}],"binary":false,"namespace":"/c","room":["a",7],"skip_sid":["x"]}"#,
        );
        let line: Value = serde_json::from_str(&json(&envelope)).unwrap();
        assert!(line["time"].as_f64().unwrap() > 1.5e9);
        let expected = json!({"method": "emit", "event": "n", "args": [1, {"a": 2}], "room": ["a", 7], "namespace": "/c", "except": ["x"]});
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&line[field], value, "{field}");
        }
        let text = text(&envelope);
        assert!(
            text.contains("emit \"n\" to \"a\", 7 except 1 in /c  1,{\"a\": 2}"),
            "{text}"
        );
    }

    #[test]
    fn what_an_event_has_beside_its_arguments_is_not_lost() {
        let envelope = decoded(
            r#"{"method":"emit","event":"n","data":[[{"_placeholder":true,"num":0}],"AQID"],"binary":true,"namespace":"/","room":[],"sio":{"v":1,"except":["b"],"volatile":true,"key":"job 7"}}"#,
        );
        let line: Value = serde_json::from_str(&json(&envelope)).unwrap();
        assert_eq!(line["attachments"], json!(["AQID"]));
        assert_eq!(
            (&line["room"], &line["except_rooms"], &line["volatile"]),
            (&json!([]), &json!(["b"]), &json!(true))
        );
        assert_eq!(line["key"], "job 7");
        assert!(text(&envelope).contains("(key \"job 7\")"));
    }

    #[test]
    fn nothing_from_the_channel_reaches_the_terminal_as_control() {
        let envelope = decoded(r#"{"method":"close_room","room":"\u001b[2J","namespace":"/\u0007"}"#);
        let text = text(&envelope);
        assert!(!text.contains(char::is_control), "{text:?}");
    }
}
