//! Arguments of an event: JSON text plus binary attachments.

mod attached;
mod de;
mod placeholders;
mod ser;

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::{Error, ErrorKind};
use placeholders::Spelling;

const LOOKALIKE: &str = "beside binary, clients would take an object with the key \"_placeholder\" for binary, or close their connection: \
    send it as text, or in an event without binary";

/// The arguments of an event or of an acknowledgement.
///
/// They are kept as the JSON text of an array plus the attachments that `{"_placeholder":true,"num":k}` objects in it stand for,
/// which is how both the queue and the browser want them: passing them on needs no parsing.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// JSON array, trimmed: begins with `[`, ends with `]`. Always valid UTF-8.
    json: Bytes,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// Turns a value into arguments: a tuple becomes several, `()` none, everything else one.
    ///
    /// `Bytes` and `serde_bytes` values anywhere inside become attachments. Fixed-size arrays are tuples to serde.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if the value cannot be written as JSON (a map whose keys are not strings, say).
    pub fn new<T: Serialize + ?Sized>(value: &T) -> Result<Self, Error> {
        ser::to_payload(value)
            .map_err(|error| Error::new(ErrorKind::Config, "the payload cannot be written as JSON").with_source(error))
    }

    /// Returns no arguments at all.
    pub fn empty() -> Self {
        Self {
            json: Bytes::from_static(b"[]"),
            attachments: Vec::new(),
        }
    }

    /// Takes the JSON text of an array of arguments.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it is not a JSON array; the source says where.
    pub fn from_json_array(text: impl Into<Bytes>) -> Result<Self, Error> {
        let text: Bytes = text.into();
        let raw: &RawValue = serde_json::from_slice(&text).map_err(not_json)?;
        if !raw.get().starts_with('[') {
            return Err(Error::new(ErrorKind::Malformed, "arguments must be a JSON array"));
        }
        let json = text.slice_ref(raw.get().as_bytes());
        Ok(Self::from_trusted(json, Vec::new()))
    }

    /// Starts arguments that are added one by one.
    pub fn builder() -> PayloadBuilder {
        PayloadBuilder::default()
    }

    /// Joins JSON text known to be an array with its attachments, without looking at it again.
    ///
    /// For decoders: `json` must be the UTF-8 text of a JSON array without white space around it. Where there are attachments its
    /// placeholders must be those of [`with_attachments`](Self::with_attachments); what comes from elsewhere goes through that.
    pub fn from_trusted(json: Bytes, attachments: Vec<Bytes>) -> Self {
        debug_assert!(json.starts_with(b"[") && json.ends_with(b"]"));
        Self { json, attachments }
    }

    /// Joins JSON text known to be an array with its attachments, and checks its placeholders.
    ///
    /// Where there are attachments, an object `{"_placeholder":true,"num":k}` stands for attachment `k`: one that is there, and no two for
    /// the same one, so that what is read can never be larger than what came. One whose key is written with an escape
    /// ([`ESCAPED_PLACEHOLDER_KEY`](crate::json::ESCAPED_PLACEHOLDER_KEY)) is an object of a user. Otherwise `json` is as in
    /// [`from_trusted`](Self::from_trusted). It may nest to any depth.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if a placeholder stands for an attachment that is not there or for the same as another, or has other
    /// members.
    pub fn with_attachments(json: Bytes, attachments: Vec<Bytes>) -> Result<Self, Error> {
        Self::checked(json, attachments, Spelling::Plain)
    }

    /// The same for the packet of a client, where a key with an escape makes a placeholder, too: other clients would take it for one.
    ///
    /// # Errors
    ///
    /// As [`with_attachments`](Self::with_attachments).
    pub fn with_attachments_of_client(json: Bytes, attachments: Vec<Bytes>) -> Result<Self, Error> {
        Self::checked(json, attachments, Spelling::Any)
    }

    fn checked(json: Bytes, attachments: Vec<Bytes>, keys: Spelling) -> Result<Self, Error> {
        let json = match attachments.len() {
            0 => json,
            count => placeholders::checked(json, count, keys)?,
        };
        Ok(Self::from_trusted(json, attachments))
    }

    /// Reads the arguments into a type: a tuple takes several, everything else the first one.
    ///
    /// A missing argument reads as `null`, surplus ones are ignored. Attachments read into `Bytes` and `serde_bytes` types.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if the arguments do not fit `T`.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        de::from_payload(self).map_err(|error| {
            Error::new(ErrorKind::Malformed, "the arguments have another form than expected").with_source(error)
        })
    }

    /// Returns the JSON text of the array of arguments, with placeholders for attachments.
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.json).expect("JSON text is UTF-8")
    }

    /// Returns the arguments' JSON text without the brackets around it: what stands behind the event name in a packet.
    pub fn inner_json(&self) -> &[u8] {
        self.json[1..self.json.len() - 1].trim_ascii()
    }

    /// Returns the binary attachments, in the order of their placeholders.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Tells whether there is no argument.
    pub fn is_empty(&self) -> bool {
        self.inner_json().is_empty()
    }

    /// Tells whether the only argument is a null, which is how python-socketio writes an event without arguments.
    pub(crate) fn is_null(&self) -> bool {
        self.attachments.is_empty() && self.inner_json() == b"null"
    }

    /// Returns the JSON text of each argument.
    pub fn arguments(&self) -> Vec<&RawValue> {
        serde_json::from_slice(&self.json).expect("a payload holds a JSON array")
    }

    /// Checks that clients can tell binary from objects, which with packets in JSON they do by a key: `"_placeholder"`.
    ///
    /// There is no other way to write an object with that key beside binary; clients would take it for binary, or close their connection.
    /// Costs nothing where there is no binary.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there are attachments and an object has that key, with another value than `false` or `null`.
    pub fn check_for_json(&self) -> Result<(), Error> {
        match !self.attachments.is_empty() && placeholders::has_lookalike(self.json()) {
            true => Err(Error::new(ErrorKind::Config, LOOKALIKE)),
            false => Ok(()),
        }
    }

    /// Returns the size in bytes: JSON text plus attachments.
    pub fn size(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())?;
        match self.attachments.len() {
            0 => Ok(()),
            count => write!(f, " + {count} attachments"),
        }
    }
}

/// Collects arguments one by one.
#[derive(Debug, Default)]
pub struct PayloadBuilder {
    inner: Vec<u8>,
    attachments: Vec<Bytes>,
}

impl PayloadBuilder {
    /// Adds one argument given as JSON text, kept as it is; an object in it that looks like a placeholder of an attachment is not one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if the text is not one JSON value; the source says where.
    pub fn json(mut self, text: &str) -> Result<Self, Error> {
        let raw: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        self.separate();
        let literal = placeholders::as_literal(raw.get());
        self.inner.extend_from_slice(literal.as_bytes());
        Ok(self)
    }

    /// Adds one argument that is a string.
    #[must_use]
    pub fn text(mut self, text: &str) -> Self {
        self.separate();
        serde_json::to_writer(&mut self.inner, text).expect("a string is JSON");
        self
    }

    /// Adds one argument that is binary.
    #[must_use]
    pub fn binary(mut self, bytes: impl Into<Bytes>) -> Self {
        self.separate();
        ser::write_placeholder(&mut self.inner, self.attachments.len()).expect("writing to memory");
        self.attachments.push(bytes.into());
        self
    }

    /// Returns what was collected.
    pub fn build(mut self) -> Payload {
        self.inner.insert(0, b'[');
        self.inner.push(b']');
        Payload::from_trusted(self.inner.into(), self.attachments)
    }

    fn separate(&mut self) {
        if !self.inner.is_empty() {
            self.inner.push(b',');
        }
    }
}

fn not_json(error: serde_json::Error) -> Error {
    Error::new(ErrorKind::Malformed, "not valid JSON").with_source(error)
}
