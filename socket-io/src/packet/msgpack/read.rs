//! The decoder: MessagePack to JSON text and attachments, in one pass and without a tree.

use bytes::Bytes;
use engine_io::ProtocolError;
use manager_api::json::{ESCAPED_PLACEHOLDER_KEY, PLACEHOLDER_KEY};
use rmp::Marker;
use rmp::decode::{RmpRead, read_marker};
use serde::Serialize;

use super::Limits;
use crate::date;

/// How deep values may nest: less than serde_json's own limit, so that what passes here can be parsed.
pub(super) const MAX_DEPTH: usize = 100;

/// The type that notepack.io gives its extensions: undefined in one byte, a date in eight, and on Node.js typed arrays with a length.
const NOTEPACK: i8 = 0;

/// What remains of a packet, and the attachments found so far.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    attachments: Vec<Bytes>,
    max_attachments: usize,
    attachment_bytes_left: usize,
}

/// A value, or the head of one that holds others.
enum Value<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    Date(i64),
    Array(u32),
    Map(u32),
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            rest: bytes,
            attachments: Vec::new(),
            max_attachments: limits.max_attachments,
            attachment_bytes_left: limits.max_attachment_bytes,
        }
    }

    pub(super) fn map_len(&mut self) -> Result<u32, ProtocolError> {
        match self.value()? {
            Value::Map(len) => Ok(len),
            _ => Err(ProtocolError::new("a packet must be a map")),
        }
    }

    pub(super) fn str(&mut self) -> Result<&'a str, ProtocolError> {
        match self.value()? {
            Value::Text(text) => Ok(text),
            _ => Err(ProtocolError::new("keys and namespaces must be text")),
        }
    }

    pub(super) fn uint(&mut self) -> Result<u64, ProtocolError> {
        self.optional_uint()?.ok_or(ProtocolError::new("no number"))
    }

    /// A number, or a word for nothing.
    pub(super) fn optional_uint(&mut self) -> Result<Option<u64>, ProtocolError> {
        match self.value()? {
            Value::Unsigned(number) => Ok(Some(number)),
            Value::Signed(number) => match u64::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(ProtocolError::new("a number out of range")),
            },
            Value::Nil | Value::Undefined => Ok(None),
            _ => Err(ProtocolError::new("not a number")),
        }
    }

    /// A value as JSON, or a word for nothing; its binary joins the attachments.
    pub(super) fn optional_json(&mut self) -> Result<Option<String>, ProtocolError> {
        let value = self.value()?;
        if matches!(value, Value::Nil | Value::Undefined) {
            return Ok(None);
        }
        let mut json = Vec::with_capacity(self.rest.len() + 16);
        self.transcode(value, &mut json, 0)?;
        Ok(Some(String::from_utf8(json).expect("JSON text is UTF-8")))
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self) -> Result<(), ProtocolError> {
        // As many as are still to come; what a packet counts and does not hold is found out at its end.
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            left += match self.value()? {
                Value::Array(len) => u64::from(len),
                Value::Map(len) => 2 * u64::from(len),
                _ => 0,
            };
        }
        Ok(())
    }

    /// Returns the attachments; the packet must end here.
    pub(super) fn finish(self) -> Result<Vec<Bytes>, ProtocolError> {
        match self.rest.is_empty() {
            true => Ok(self.attachments),
            false => Err(ProtocolError::new("something behind the end of a packet")),
        }
    }

    fn transcode(&mut self, value: Value<'a>, json: &mut Vec<u8>, depth: usize) -> Result<(), ProtocolError> {
        match value {
            Value::Nil | Value::Undefined => json.extend_from_slice(b"null"),
            Value::Bool(bool) => write(json, &bool),
            Value::Unsigned(number) => write(json, &number),
            Value::Signed(number) => write(json, &number),
            // NaN and the infinities become null, as in JavaScript.
            Value::Float(number) => write(json, &number),
            Value::Text(text) => write(json, text),
            Value::Date(milliseconds) => write(json, &date::iso(milliseconds)),
            Value::Binary(bytes) => self.attach(bytes, json)?,
            Value::Array(_) | Value::Map(_) if depth >= MAX_DEPTH => {
                return Err(ProtocolError::new("values nest too deep"));
            }
            Value::Array(len) => {
                json.push(b'[');
                for nth in 0..len {
                    if nth > 0 {
                        json.push(b',');
                    }
                    let element = self.value()?;
                    self.transcode(element, json, depth + 1)?;
                }
                json.push(b']');
            }
            Value::Map(len) => {
                json.push(b'{');
                for nth in 0..len {
                    if nth > 0 {
                        json.push(b',');
                    }
                    self.key(json)?;
                    json.push(b':');
                    let element = self.value()?;
                    self.transcode(element, json, depth + 1)?;
                }
                json.push(b'}');
            }
        }
        Ok(())
    }

    /// A key: text, or a number, which becomes text as in JavaScript.
    fn key(&mut self, json: &mut Vec<u8>) -> Result<(), ProtocolError> {
        match self.value()? {
            // A value of a client is never a placeholder.
            Value::Text(PLACEHOLDER_KEY) => {
                json.push(b'"');
                json.extend_from_slice(ESCAPED_PLACEHOLDER_KEY.as_bytes());
                json.push(b'"');
            }
            Value::Text(text) => write(json, text),
            Value::Unsigned(number) => write(json, &number.to_string()),
            Value::Signed(number) => write(json, &number.to_string()),
            _ => return Err(ProtocolError::new("a key that is not text")),
        }
        Ok(())
    }

    fn attach(&mut self, bytes: &[u8], json: &mut Vec<u8>) -> Result<(), ProtocolError> {
        if self.attachments.len() >= self.max_attachments {
            return Err(ProtocolError::new("too many attachments"));
        }
        let too_large = ProtocolError::new("the attachments of a packet are too large");
        self.attachment_bytes_left = self.attachment_bytes_left.checked_sub(bytes.len()).ok_or(too_large)?;
        json.extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        write(json, &self.attachments.len());
        json.push(b'}');
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn value(&mut self) -> Result<Value<'a>, ProtocolError> {
        let marker = read_marker(&mut self.rest).map_err(|_| truncated())?;
        Ok(match marker {
            Marker::Null => Value::Nil,
            Marker::True => Value::Bool(true),
            Marker::False => Value::Bool(false),
            Marker::FixStr(len) => self.text(len.into())?,
            Marker::Str8 | Marker::Str16 | Marker::Str32 => {
                let len = self.len(marker)?;
                self.text(len)?
            }
            Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => {
                let len = self.len(marker)?;
                Value::Binary(self.bytes(len)?)
            }
            Marker::FixArray(len) => Value::Array(len.into()),
            Marker::Array16 | Marker::Array32 => Value::Array(self.len(marker)?),
            Marker::FixMap(len) => Value::Map(len.into()),
            Marker::Map16 | Marker::Map32 => Value::Map(self.len(marker)?),
            Marker::FixExt1 => match (held(self.rest.read_data_i8())?, held(self.rest.read_data_u8())?) {
                (NOTEPACK, _) => Value::Undefined,
                _ => return Err(unknown_extension()),
            },
            Marker::FixExt8 => match (held(self.rest.read_data_i8())?, held(self.rest.read_data_i64())?) {
                (NOTEPACK, milliseconds) => Value::Date(milliseconds),
                _ => return Err(unknown_extension()),
            },
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let len = self.len(marker)?;
                self.typed_array(len)?
            }
            _ => self.number(marker)?,
        })
    }

    /// The length behind a marker that does not hold it.
    fn len(&mut self, marker: Marker) -> Result<u32, ProtocolError> {
        match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => held(self.rest.read_data_u8()).map(u32::from),
            Marker::Str16 | Marker::Bin16 | Marker::Array16 | Marker::Map16 | Marker::Ext16 => {
                held(self.rest.read_data_u16()).map(u32::from)
            }
            _ => held(self.rest.read_data_u32()),
        }
    }

    fn number(&mut self, marker: Marker) -> Result<Value<'a>, ProtocolError> {
        let rest = &mut self.rest;
        Ok(match marker {
            Marker::FixPos(number) => Value::Unsigned(number.into()),
            Marker::FixNeg(number) => Value::Signed(number.into()),
            Marker::U8 => Value::Unsigned(held(rest.read_data_u8())?.into()),
            Marker::U16 => Value::Unsigned(held(rest.read_data_u16())?.into()),
            Marker::U32 => Value::Unsigned(held(rest.read_data_u32())?.into()),
            Marker::U64 => Value::Unsigned(held(rest.read_data_u64())?),
            Marker::I8 => Value::Signed(held(rest.read_data_i8())?.into()),
            Marker::I16 => Value::Signed(held(rest.read_data_i16())?.into()),
            Marker::I32 => Value::Signed(held(rest.read_data_i32())?.into()),
            Marker::I64 => Value::Signed(held(rest.read_data_i64())?),
            Marker::F32 => Value::Float(held(rest.read_data_f32())?.into()),
            Marker::F64 => Value::Float(held(rest.read_data_f64())?),
            _ => return Err(unknown_extension()),
        })
    }

    fn text(&mut self, len: u32) -> Result<Value<'a>, ProtocolError> {
        match std::str::from_utf8(self.bytes(len)?) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) => Err(ProtocolError::new("text that is not UTF-8")),
        }
    }

    fn typed_array(&mut self, len: u32) -> Result<Value<'a>, ProtocolError> {
        match held(self.rest.read_data_i8())? {
            NOTEPACK => Ok(Value::Binary(self.bytes(len)?)),
            _ => Err(unknown_extension()),
        }
    }

    fn bytes(&mut self, len: u32) -> Result<&'a [u8], ProtocolError> {
        let (bytes, rest) = self.rest.split_at_checked(len as usize).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn write<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("numbers and text are JSON");
}

fn held<T, E>(read: Result<T, E>) -> Result<T, ProtocolError> {
    read.map_err(|_| truncated())
}

fn truncated() -> ProtocolError {
    ProtocolError::new("a packet that ends too early")
}

fn unknown_extension() -> ProtocolError {
    ProtocolError::new("an unknown MessagePack extension")
}
