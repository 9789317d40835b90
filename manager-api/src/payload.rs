//! The arguments of an event: JSON text plus binary attachments.

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

const LOOKALIKE: &str = "beside binary, clients would read an object with the key \"_placeholder\" as binary, or close their connection: \
    send it as text, or in an event without binary";

/// The arguments of an event or of an acknowledgement.
///
/// They are kept as the JSON text of an array plus the attachments that `{"_placeholder":true,"num":k}` objects in it
/// stand for. Both the queue and the packets of clients use this form, so that forwarding needs no parsing.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// JSON array, trimmed: begins with `[`, ends with `]`. Always valid UTF-8.
    json: Bytes,
    attachments: Vec<Bytes>,
}

impl Payload {
    /// Converts a value into arguments: a tuple becomes several, `()` none, everything else one.
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

    /// Creates a payload without arguments.
    pub fn empty() -> Self {
        Self {
            json: Bytes::from_static(b"[]"),
            attachments: Vec::new(),
        }
    }

    /// Creates a payload from the JSON text of an array of arguments.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if it is not a JSON array; the source names the position.
    pub fn from_json_array(text: impl Into<Bytes>) -> Result<Self, Error> {
        let text: Bytes = text.into();
        let raw: &RawValue = serde_json::from_slice(&text).map_err(not_json)?;
        if !raw.get().starts_with('[') {
            return Err(Error::new(ErrorKind::Malformed, "arguments must be a JSON array"));
        }
        let json = text.slice_ref(raw.get().as_bytes());
        Ok(Self::from_trusted(json, Vec::new()))
    }

    /// Returns a builder to which arguments are added one by one.
    pub fn builder() -> PayloadBuilder {
        PayloadBuilder::default()
    }

    /// Combines JSON text known to be an array with its attachments, without checks. Not for applications:
    /// [`from_json_array`](Self::from_json_array) and [`with_attachments`](Self::with_attachments) check.
    ///
    /// For the decoders of this project: `json` must be the UTF-8 text of a JSON array without white space around it. Where there are
    /// attachments its placeholders must have the form that [`with_attachments`](Self::with_attachments) checks;
    /// untrusted text goes through that.
    #[doc(hidden)]
    pub fn from_trusted(json: Bytes, attachments: Vec<Bytes>) -> Self {
        debug_assert!(json.starts_with(b"[") && json.ends_with(b"]"));
        Self { json, attachments }
    }

    /// Combines JSON text known to be an array with its attachments, and checks its placeholders.
    ///
    /// Where there are attachments, an object `{"_placeholder":true,"num":k}` stands for attachment `k`. The attachment
    /// must exist, and no two placeholders may stand for the same one, so that the parsed value is never larger than
    /// the message. An object whose key is written with an escape
    /// ([`ESCAPED_PLACEHOLDER_KEY`](crate::json::ESCAPED_PLACEHOLDER_KEY)) is an object of a user. Otherwise `json`
    /// must be the UTF-8 text of a JSON array without white space around it. It may nest to any depth.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if a placeholder stands for an attachment that does not exist or for the same as
    /// another, or has other members.
    pub fn with_attachments(json: Bytes, attachments: Vec<Bytes>) -> Result<Self, Error> {
        Self::checked(json, attachments, Spelling::Plain)
    }

    /// As [`with_attachments`](Self::with_attachments), for the packet of a client. A key with an escape makes a
    /// placeholder there, too, because other clients would read it as one.
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

    /// Reads the arguments into a type: a tuple reads several, any other type the first one.
    ///
    /// A missing argument reads as `null`, surplus ones are ignored. Attachments read into `Bytes` and `serde_bytes`
    /// types.
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

    /// Returns the bytes of [`json`](Self::json), which takes them for text only after it has read all of them.
    pub fn json_bytes(&self) -> &[u8] {
        &self.json
    }

    /// Returns the arguments' JSON text without the brackets around it, as it follows the event name in a packet.
    pub fn inner_json(&self) -> &[u8] {
        self.json[1..self.json.len() - 1].trim_ascii()
    }

    /// Returns the binary attachments, in the order of their placeholders.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Returns whether there are no arguments.
    pub fn is_empty(&self) -> bool {
        self.inner_json().is_empty()
    }

    /// Returns whether the only argument is a null, which is how python-socketio writes an event without arguments.
    pub(crate) fn is_null(&self) -> bool {
        self.attachments.is_empty() && self.inner_json() == b"null"
    }

    /// Returns the JSON text of each argument.
    pub fn arguments(&self) -> Vec<&RawValue> {
        serde_json::from_slice(&self.json).expect("a payload holds a JSON array")
    }

    /// Checks that clients can distinguish binary from objects, which in JSON packets they do by a key:
    /// `"_placeholder"`.
    ///
    /// An object with that key cannot be written in another way beside binary; clients would read it as binary, or
    /// close their connection. Costs nothing without binary.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`] if there are attachments and an object has that key, with another value than `false` or
    /// `null`.
    pub fn check_for_json(&self) -> Result<(), Error> {
        if !self.attachments.is_empty() && placeholders::has_lookalike(self.json()) {
            Err(Error::new(ErrorKind::Config, LOOKALIKE))
        } else {
            Ok(())
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

/// Builder of a [`Payload`], to which arguments are added one by one.
#[derive(Debug, Default)]
pub struct PayloadBuilder {
    inner: Vec<u8>,
    attachments: Vec<Bytes>,
}

impl PayloadBuilder {
    /// Adds one argument given as JSON text, kept unchanged; an object in it that looks like a placeholder of an
    /// attachment is not one.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Malformed`] if the text is not one JSON value; the source names the position.
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

    /// Returns the payload.
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
