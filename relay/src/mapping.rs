//! Mappings: from a record to an event, its rooms and its key.

mod config;

use std::fmt;
use std::sync::Arc;

use manager_api::payload::PayloadBuilder;
use manager_api::source::{Fault, Record};
use manager_api::{Broadcast, Emitter, EventName, IdempotencyKey, NamespaceName, Payload, Room, Sid};

use sha2::{Digest, Sha256};

pub use config::{BodyKind, MapConfig};

use crate::pointer::as_name;
use crate::template::{Part, Template, View};

/// The longest name that a template makes, in bytes.
pub const MAX_NAME_BYTES: usize = 1_024;
/// The longest idempotency key, in bytes. A record with a longer one is not mapped, so that nothing of it is sent.
pub const MAX_KEY_BYTES: usize = IdempotencyKey::MAX_LEN;
/// The most rooms, and the most excluded ones, of one record.
pub const MAX_ROOMS: usize = 1_000;
/// The most arguments of an event.
const MAX_ARGS: usize = 64;

/// Makes events of records.
///
/// [`Mapping`] does it by templates. A program of its own may do it by code:
///
/// ```
/// use manager_api::source::Record;
/// use manager_api::{EventName, Payload, Room};
/// use relay::{Map, Mapped, Unmapped};
///
/// struct ByLength;
///
/// impl Map for ByLength {
///     fn map(&self, record: &Record) -> Result<Mapped, Unmapped> {
///         let event = EventName::new("length").expect("a valid name");
///         let mut mapped = Mapped::new(event, Payload::new(&record.body.len()).expect("a number"));
///         mapped.rooms = vec![Room::from("lengths")];
///         Ok(mapped)
///     }
/// }
/// ```
pub trait Map: Send + Sync + 'static {
    /// Makes an event of a record. It must make the same one each time: it is called again for a record that is emitted
    /// again.
    ///
    /// # Errors
    ///
    /// [`Unmapped`] if the record cannot be mapped, by which it becomes a dead letter.
    fn map(&self, record: &Record) -> Result<Mapped, Unmapped>;
}

/// The reason why a record cannot be mapped. It never repeats the record's data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unmapped(Arc<str>);

impl Unmapped {
    /// Creates a reason, which completes the sentence "the record cannot be mapped: …".
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into().into())
    }

    /// Names the part of the event that the reason is about.
    fn of(self, part: &str) -> Self {
        Self::new(format!("{part}: {self}"))
    }
}

/// An event that was made of a record.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mapped {
    /// The namespace.
    pub namespace: NamespaceName,
    /// The rooms; without any the event is for all clients.
    pub rooms: Vec<Room>,
    /// Rooms whose members do not get it.
    pub except: Vec<Room>,
    /// Clients that do not get it.
    pub skip: Vec<Sid>,
    /// Whether slow clients may miss it.
    pub volatile: bool,
    /// The name of the event.
    pub event: EventName,
    /// Its arguments.
    pub payload: Payload,
    /// The key by which servers drop repetitions; `None`: the record's [stable
    /// id](manager_api::source::Position::stable_id), if it has one.
    pub key: Option<String>,
}

impl Mapped {
    /// Creates an event for all clients in `/`.
    pub fn new(event: EventName, payload: Payload) -> Self {
        Self {
            namespace: NamespaceName::root(),
            rooms: Vec::new(),
            except: Vec::new(),
            skip: Vec::new(),
            volatile: false,
            event,
            payload,
            key: None,
        }
    }

    /// Returns the key of the event: that of the mapping, or the place of the record if that is lasting.
    ///
    /// A place that is longer than a key may be becomes its SHA-256.
    pub fn key_for(&self, record: &Record) -> Option<String> {
        if let Some(key) = &self.key {
            return Some(key.clone());
        }
        let key = record.lasting_id()?;
        let is_usable = key.len() <= MAX_KEY_BYTES && !key.contains(char::is_control);
        Some(if is_usable { key } else { digest(&key) })
    }

    /// Returns the broadcast that waits to be emitted.
    pub(crate) fn broadcast(&self, record: &Record, emitter: &Emitter) -> Broadcast {
        let broadcast = emitter.of(&self.namespace).to_all(self.rooms.iter().cloned());
        let broadcast = self.skip.iter().cloned().fold(broadcast, Broadcast::skip);
        let broadcast = self.except.iter().cloned().fold(broadcast, Broadcast::except);
        let broadcast = self
            .key_for(record)
            .into_iter()
            .fold(broadcast, Broadcast::idempotency_key);
        if self.volatile { broadcast.volatile() } else { broadcast }
    }
}

/// A template of a [`MapConfig`] that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the template of {part} cannot be used: {what}")]
pub struct MapError {
    part: &'static str,
    what: String,
}

/// A mapping by templates, which were checked.
///
/// ```
/// use bytes::Bytes;
/// use manager_api::source::{Place, Position, Record};
/// use relay::{Map, MapConfig, Mapping};
///
/// let mut config = MapConfig::event("order {header:kind}");
/// config.rooms = vec!["user:{/user}".to_owned()];
/// config.args = vec!["{/id}".to_owned()];
/// let mapping = Mapping::new(&config)?;
///
/// let position = Position { name: "orders".into(), place: Place::Offset { partition: 0, offset: 5 } };
/// let mut record = Record::new(position, r#"{"id": 7, "user": "ann"}"#);
/// record.headers = vec![("kind".into(), Bytes::from("paid"))];
/// let mapped = mapping.map(&record)?;
/// assert_eq!((mapped.event.as_str(), mapped.payload.json()), ("order paid", "[7]"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mapping {
    namespace: Template,
    rooms: Vec<Template>,
    except: Vec<Template>,
    event: Template,
    args: Vec<Template>,
    body: BodyKind,
    key: Option<Template>,
}

impl Mapping {
    /// Checks the templates, and what is constant in them.
    ///
    /// # Errors
    ///
    /// [`MapError`], which names the first template that cannot be used.
    pub fn new(config: &MapConfig) -> Result<Self, MapError> {
        let mapping = Self {
            namespace: template("the namespace", &config.namespace)?,
            rooms: templates("a room", &config.rooms, MAX_ROOMS)?,
            except: templates("an excluded room", &config.except, MAX_ROOMS)?,
            event: template("the event", &config.event)?,
            args: templates("an argument", &config.args, MAX_ARGS)?,
            body: config.body,
            key: config
                .key
                .as_deref()
                .map(|text| template("the key", text))
                .transpose()?,
        };
        mapping.check_constants()?;
        Ok(mapping)
    }

    /// Checks what no record can change.
    fn check_constants(&self) -> Result<(), MapError> {
        let bad = |part, error: manager_api::Error| MapError {
            part,
            what: error.to_string(),
        };
        if let Some(name) = self.namespace.constant() {
            NamespaceName::new(name).map_err(|error| bad("the namespace", error))?;
        }
        if let Some(name) = self.event.constant() {
            EventName::new(name).map_err(|error| bad("the event", error))?;
        }
        let empty = |part| MapError {
            part,
            what: "it is empty".to_owned(),
        };
        let is_empty = |template: &Template| template.constant() == Some("");
        if self.rooms.iter().any(is_empty) {
            return Err(empty("a room"));
        }
        if self.except.iter().any(is_empty) {
            return Err(empty("an excluded room"));
        }
        if self.key.as_ref().is_some_and(is_empty) {
            return Err(empty("the key"));
        }
        Ok(())
    }

    fn payload(&self, view: &View<'_>) -> Result<Payload, Unmapped> {
        let mut builder = Payload::builder();
        for arg in &self.args {
            builder = match arg.only_part() {
                Some(Part::Body) => self.body(builder, view)?,
                Some(Part::Pointer(pointer)) => json(builder, view.find(pointer)?.get())?,
                _ => builder.text(&arg.long_text(view)?),
            };
        }
        Ok(builder.build())
    }

    fn body(&self, builder: PayloadBuilder, view: &View<'_>) -> Result<PayloadBuilder, Unmapped> {
        match self.body {
            BodyKind::Json => json(builder, view.json()?.get()),
            BodyKind::Text => Ok(builder.text(&Part::Body.text(view)?)),
            BodyKind::Binary => Ok(builder.binary(view.record.body.clone())),
        }
    }
}

impl Map for Mapping {
    fn map(&self, record: &Record) -> Result<Mapped, Unmapped> {
        check_whole(record)?;
        let view = View::new(record);
        let namespace = self.namespace.text(&view).map_err(|why| why.of("the namespace"))?;
        let event = self.event.text(&view).map_err(|why| why.of("the event"))?;
        let event =
            EventName::new(&event).map_err(|_| Unmapped::new("the event: it is empty, or reserved by Socket.IO"))?;
        let key = self.key.as_ref().map(|key| checked_key(key.text(&view))).transpose();
        Ok(Mapped {
            // The errors of the names repeat them.
            namespace: NamespaceName::new(&namespace)
                .map_err(|_| Unmapped::new("the namespace: it does not begin with '/', or has a comma"))?,
            rooms: rooms(&self.rooms, &view).map_err(|why| why.of("the rooms"))?,
            except: rooms(&self.except, &view).map_err(|why| why.of("the excluded rooms"))?,
            key: key.map_err(|why| why.of("the key"))?,
            payload: self.payload(&view).map_err(|why| why.of("the arguments"))?,
            ..Mapped::new(event, Payload::empty())
        })
    }
}

/// Returns the SHA-256 of text, in hexadecimal.
fn digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses a record that its source could not read as a whole.
///
/// # Errors
///
/// [`Unmapped`] with the reason.
pub fn check_whole(record: &Record) -> Result<(), Unmapped> {
    match record.fault {
        None => Ok(()),
        Some(Fault::TooLarge(len)) => Err(Unmapped::new(format!("it has {len} bytes, over the limit"))),
        Some(_) => Err(Unmapped::new("it has no field for the body")),
    }
}

/// Checks a key as servers would.
fn checked_key(key: Result<String, Unmapped>) -> Result<String, Unmapped> {
    let key = key?;
    match IdempotencyKey::new(&key) {
        Ok(_) => Ok(key),
        Err(_) if key.is_empty() => Err(Unmapped::new("it is empty")),
        Err(_) if key.len() > MAX_KEY_BYTES => Err(Unmapped::new(format!(
            "it has {} bytes, over the limit of {MAX_KEY_BYTES}",
            key.len()
        ))),
        // The error of the key repeats it.
        Err(_) => Err(Unmapped::new("it has control characters")),
    }
}

fn json(builder: PayloadBuilder, text: &str) -> Result<PayloadBuilder, Unmapped> {
    builder.json(text).map_err(|error| Unmapped::new(error.to_string()))
}

/// Returns the rooms of templates. Where there is a template there is a room: an event for none must not turn into one
/// for all clients.
fn rooms(templates: &[Template], view: &View<'_>) -> Result<Vec<Room>, Unmapped> {
    let mut names = Vec::new();
    for template in templates {
        match template.only_part() {
            Some(Part::Pointer(pointer)) => {
                let found = view.find(pointer)?.get();
                match found.starts_with('[') {
                    true => names.extend(listed(found, pointer)?),
                    false => names.push(template.text(view)?),
                }
            }
            _ => names.push(template.text(view)?),
        }
        if names.len() > MAX_ROOMS {
            return Err(Unmapped::new(format!("more than {MAX_ROOMS}")));
        }
    }
    match names.iter().any(String::is_empty) {
        true => Err(Unmapped::new("a name is empty")),
        false => Ok(names.into_iter().map(Room::from).collect()),
    }
}

/// Returns the names of a list in the body, of which there is at least one.
fn listed(list: &str, pointer: &impl fmt::Display) -> Result<Vec<String>, Unmapped> {
    let list: Vec<&serde_json::value::RawValue> =
        serde_json::from_str(list).map_err(|error| Unmapped::new(format!("at {pointer}: {error}")))?;
    let mut names = Vec::new();
    for each in list.into_iter().take(MAX_ROOMS + 1) {
        let name = as_name(each).filter(|name| name.len() <= MAX_NAME_BYTES);
        let name = name.ok_or_else(|| Unmapped::new(format!("the list at {pointer} has what is not a name")))?;
        names.push(name.into_owned());
    }
    match names.is_empty() {
        true => Err(Unmapped::new(format!("the list at {pointer} is empty"))),
        false => Ok(names),
    }
}

fn template(part: &'static str, text: &str) -> Result<Template, MapError> {
    Template::parse(text).map_err(|what| MapError { part, what })
}

fn templates(part: &'static str, texts: &[String], most: usize) -> Result<Vec<Template>, MapError> {
    if texts.len() > most {
        let what = format!("there are more than {most}");
        return Err(MapError { part, what });
    }
    texts.iter().map(|text| template(part, text)).collect()
}

#[cfg(test)]
mod tests;
