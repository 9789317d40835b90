//! Lists of untrusted length, read directly into the required type and up to a limit.

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{DecodeError, DecodeLimits, missing};
use crate::{Room, Sid};

/// The remaining numbers of names and attachments of a message. Lists stay JSON text until they are read, so that a
/// list over the limit needs no memory.
pub(super) struct Budget {
    limits: DecodeLimits,
    names: Cell<usize>,
    attachments: Cell<usize>,
    exceeded: Cell<Option<DecodeError>>,
}

/// An element of a list.
pub(super) trait Item: Sized {
    /// Reads the element; `None` if it is invalid and is to be ignored.
    fn read(text: &RawValue) -> Result<Option<Self>, Unfit>;
}

/// An invalid element that makes the whole message invalid.
pub(super) struct Unfit;

impl Item for Room {
    fn read(text: &RawValue) -> Result<Option<Self>, Unfit> {
        room_of(text).map(Some).ok_or(Unfit)
    }
}

impl Item for Sid {
    fn read(text: &RawValue) -> Result<Option<Self>, Unfit> {
        Ok(string_of(text).map(Self::from))
    }
}

/// A client's id; any other element makes the message invalid.
pub(super) struct Strict(pub(super) Sid);

impl Item for Strict {
    fn read(text: &RawValue) -> Result<Option<Self>, Unfit> {
        string_of(text).map(|sid| Some(Self(sid.into()))).ok_or(Unfit)
    }
}

impl Budget {
    pub(super) fn new(limits: DecodeLimits) -> Self {
        Self {
            limits,
            names: Cell::new(limits.max_names),
            attachments: Cell::new(limits.max_attachments),
            exceeded: Cell::new(None),
        }
    }

    /// Reads a list of names.
    pub(super) fn names<T: Item>(&self, list: &RawValue, field: &'static str) -> Result<Vec<T>, DecodeError> {
        self.list(list, field, |text| {
            self.spend(&self.names, "names", self.limits.max_names)?;
            T::read(text).map_err(|Unfit| missing(field))
        })
    }

    /// Reads a list of attachments in base64.
    pub(super) fn attachments(
        &self,
        list: &RawValue,
        field: &'static str,
        mut read: impl FnMut(&RawValue) -> Result<Option<Bytes>, DecodeError>,
    ) -> Result<Vec<Bytes>, DecodeError> {
        self.list(list, field, |text| {
            // The first part is the arguments.
            let attachment = read(text)?;
            if attachment.is_some() {
                self.spend(&self.attachments, "attachments", self.limits.max_attachments)?;
            }
            Ok(attachment)
        })
    }

    /// Reads a list with a function that is called for each element.
    pub(super) fn list<T>(
        &self,
        list: &RawValue,
        field: &'static str,
        read: impl FnMut(&RawValue) -> Result<Option<T>, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        if !list.get().starts_with('[') {
            return Err(missing(field));
        }
        let seed = List {
            exceeded: &self.exceeded,
            read,
            item: PhantomData,
        };
        let read = seed.deserialize(&mut serde_json::Deserializer::from_str(list.get()));
        read.map_err(|error| self.exceeded.take().unwrap_or(DecodeError::Json(error)))
    }

    /// Counts one client of a list as a name.
    pub(super) fn spend_name(&self) -> Result<(), DecodeError> {
        self.spend(&self.names, "names", self.limits.max_names)
    }

    fn spend(&self, left: &Cell<usize>, what: &'static str, limit: usize) -> Result<(), DecodeError> {
        match left.get().checked_sub(1) {
            Some(fewer) => {
                left.set(fewer);
                Ok(())
            }
            None => Err(DecodeError::TooMany { what, limit }),
        }
    }
}

struct List<'a, T, F> {
    /// Why reading was stopped: an error of serde can only hold text.
    exceeded: &'a Cell<Option<DecodeError>>,
    read: F,
    item: PhantomData<T>,
}

impl<'de, T, F> DeserializeSeed<'de> for List<'_, T, F>
where
    F: FnMut(&RawValue) -> Result<Option<T>, DecodeError>,
{
    type Value = Vec<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F> Visitor<'de> for List<'_, T, F>
where
    F: FnMut(&RawValue) -> Result<Option<T>, DecodeError>,
{
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut items = Vec::new();
        while let Some(text) = list.next_element::<&RawValue>()? {
            match (self.read)(text) {
                Ok(item) => items.extend(item),
                Err(error) => {
                    self.exceeded.set(Some(error));
                    return Err(A::Error::custom("stopped"));
                }
            }
        }
        Ok(items)
    }
}

/// Reads a room's name: text or a number.
pub(super) fn room_of(text: &RawValue) -> Option<Room> {
    Room::from_json(text.get())
}

pub(super) fn string_of(text: &RawValue) -> Option<String> {
    serde_json::from_str(text.get()).ok()
}
