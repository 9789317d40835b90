//! The fields of messages of Node's servers, and what is made of them.

use std::borrow::Cow;

use bytes::Bytes;
use manager_api::message::Mark;
use manager_api::{EventName, Payload, Room};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The cause why a message cannot be used.
#[derive(Debug)]
pub(crate) struct Unreadable(Cow<'static, str>);

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

impl From<&'static str> for Unreadable {
    fn from(text: &'static str) -> Self {
        Self(text.into())
    }
}

impl From<serde_json::Error> for Unreadable {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string().into())
    }
}

impl From<manager_api::Error> for Unreadable {
    fn from(error: manager_api::Error) -> Self {
        Self(error.to_string().into())
    }
}

/// `[uid, packet, options]` of the classic adapter, and the mark of a bridge behind them.
#[derive(Deserialize)]
pub(super) struct Broadcast<'a>(
    #[serde(borrow)] pub(super) Cow<'a, str>,
    #[serde(borrow)] pub(super) Packet<'a>,
    #[serde(borrow)] pub(super) Options<'a>,
    #[serde(borrow, default)] pub(super) Option<&'a RawValue>,
);

/// Reads the mark of a bridge; one of any other form counts, too.
pub(super) fn mark_of(mark: &RawValue) -> Mark {
    let text = serde_json::from_str::<Cow<'_, str>>(mark.get());
    text.map_or(Mark::UNKNOWN, |text| Mark::read(&text))
}

#[derive(Deserialize)]
pub(super) struct Packet<'a> {
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    #[serde(borrow)]
    pub(super) nsp: Option<Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Options<'a> {
    #[serde(borrow)]
    pub(super) rooms: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) except: Vec<&'a RawValue>,
    pub(super) flags: Option<Flags>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Flags {
    pub(super) volatile: Option<bool>,
    pub(super) compress: Option<bool>,
    pub(super) timeout: Option<f64>,
}

/// The fields of a classic request, and those of `data` of the other adapters, in one.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Fields<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<u64>,
    #[serde(borrow)]
    pub(super) uid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) request_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) packet: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) opts: Option<Options<'a>>,
    #[serde(borrow)]
    pub(super) rooms: Vec<&'a RawValue>,
    pub(super) close: bool,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    /// Of requests before version 6 of the adapter: one client.
    #[serde(borrow)]
    pub(super) sid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) room: Option<&'a RawValue>,
    #[serde(borrow)]
    /// The mark of a bridge.
    pub(super) sio_bridge: Option<&'a RawValue>,
}

/// A whole message of the other adapters.
#[derive(Deserialize)]
pub(super) struct ClusterFields<'a> {
    #[serde(rename = "type")]
    pub(super) kind: u64,
    #[serde(borrow)]
    pub(super) uid: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) nsp: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    /// The mark of a bridge, of every type of message.
    #[serde(borrow, rename = "sioBridge")]
    pub(super) mark: Option<&'a RawValue>,
}

pub(super) fn rooms(names: &[&RawValue]) -> Result<Vec<Room>, Unreadable> {
    let rooms = names.iter().map(|name| Room::from_json(name.get()));
    let rooms: Option<Vec<_>> = rooms.collect();
    rooms.ok_or_else(|| "a room that is neither text nor a number".into())
}

/// Splits `[event, argument, …]`.
pub(super) fn event_of(data: &str, attachments: Vec<Bytes>) -> Result<(EventName, Payload), Unreadable> {
    let parts: Vec<&RawValue> = serde_json::from_str(data)?;
    let name = parts.first().ok_or("an event without a name")?.get();
    let event = match name.starts_with('"') {
        true => EventName::new(&serde_json::from_str::<Cow<'_, str>>(name)?)?,
        // Numbers are names in JavaScript.
        false => EventName::new(name)?,
    };
    let arguments = match parts.get(1) {
        Some(first) => {
            let begins = first.get().as_ptr() as usize - data.as_ptr() as usize;
            data[begins..]
                .trim_end()
                .strip_suffix(']')
                .ok_or("data that is not a list")?
        }
        None => "",
    };
    let json = Bytes::from(format!("[{}]", arguments.trim_end()));
    Ok((event, Payload::with_attachments(json, attachments)?))
}
