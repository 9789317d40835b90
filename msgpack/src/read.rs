//! The decoder: MessagePack to JSON text and attachments, in one pass and without a tree.

use std::fmt;

use bytes::Bytes;
use manager_api::json::{ESCAPED_PLACEHOLDER_KEY, PLACEHOLDER_KEY};
use serde::Serialize;

use crate::input::{Input, Value};
use crate::{Error, Limits, date};

/// Takes the values of a message, in the order of its bytes, and collects their binary as
/// attachments.
///
/// # Behaviour
///
/// - A method reads one value; [`map_len`](Self::map_len) and [`array_len`](Self::array_len) read
///   only its head: the keys and values behind it are to be read next.
/// - Binary is copied. An object `{"_placeholder":true,"num":n}` in the JSON stands for the
///   attachment `n` of [`finish`](Self::finish), counted over all values of the message. A map that
///   looks like one is written with an escaped key.
/// - Nothing is allocated for lengths that the bytes only claim to have.
/// - After an error the position is unspecified.
///
/// # Errors
///
/// Each method fails where the bytes end too early or are not MessagePack, and on a value of
/// another type than it names.
pub struct Reader<'a> {
    input: Input<'a>,
    attachments: Vec<Bytes>,
    max_attachments: usize,
    attachment_bytes_left: usize,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of a message.
    pub fn new(bytes: &'a [u8], limits: Limits) -> Self {
        Self {
            input: Input { rest: bytes },
            attachments: Vec::new(),
            max_attachments: limits.max_attachments,
            attachment_bytes_left: limits.max_attachment_bytes,
            max_depth: limits.max_depth.min(Limits::MAX_DEPTH),
        }
    }

    /// Reads the head of a map: the number of its keys, each of which precedes its value. It may
    /// exceed what follows.
    pub fn map_len(&mut self) -> Result<u32, Error> {
        match self.input.value()? {
            Value::Map(len) => Ok(len),
            _ => Err(Error::new("a value that must be a map")),
        }
    }

    /// Reads the head of an array: the number of its elements. It may exceed what follows.
    pub fn array_len(&mut self) -> Result<u32, Error> {
        match self.input.value()? {
            Value::Array(len) => Ok(len),
            _ => Err(Error::new("a value that must be an array")),
        }
    }

    /// Reads text.
    pub fn str(&mut self) -> Result<&'a str, Error> {
        match self.input.value()? {
            Value::Text(text) => Ok(text),
            _ => Err(Error::new("a key or a value that must be text")),
        }
    }

    /// Reads a boolean.
    pub fn bool(&mut self) -> Result<bool, Error> {
        match self.input.value()? {
            Value::Bool(bool) => Ok(bool),
            _ => Err(Error::new("a value that must be true or false")),
        }
    }

    /// Reads an integer that is not negative.
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.optional_uint()?.ok_or(Error::new("no number"))
    }

    /// Reads an integer that is not negative; nil and `undefined` are `None`.
    pub fn optional_uint(&mut self) -> Result<Option<u64>, Error> {
        match self.input.value()? {
            Value::Unsigned(number) => Ok(Some(number)),
            Value::Signed(number) => match u64::try_from(number) {
                Ok(number) => Ok(Some(number)),
                Err(_) => Err(Error::new("a number out of range")),
            },
            Value::Nil | Value::Undefined => Ok(None),
            _ => Err(Error::new("not a number")),
        }
    }

    /// Reads any value as JSON; its binary joins the attachments. Nil and `undefined` are `None`.
    ///
    /// # Errors
    ///
    /// As all methods, and where the value exceeds a limit, has an extension that no library of
    /// JavaScript writes, or a key that is neither text nor an integer.
    pub fn optional_json(&mut self) -> Result<Option<String>, Error> {
        let value = self.input.value()?;
        if matches!(value, Value::Nil | Value::Undefined) {
            return Ok(None);
        }
        let mut json = Vec::with_capacity(self.input.rest.len() + 16);
        self.transcode(value, &mut json, 0)?;
        Ok(Some(String::from_utf8(json).expect("JSON text is UTF-8")))
    }

    /// Passes over a value, of any depth; its binary does not join the attachments.
    pub fn skip(&mut self) -> Result<(), Error> {
        // As many as are still to come; what a message counts and does not hold is found out at its
        // end.
        let mut left = 1_u64;
        while left > 0 {
            left -= 1;
            left += match self.input.value()? {
                Value::Array(len) => u64::from(len),
                Value::Map(len) => 2 * u64::from(len),
                _ => 0,
            };
        }
        Ok(())
    }

    /// Returns the attachments.
    ///
    /// # Errors
    ///
    /// If bytes are left.
    pub fn finish(self) -> Result<Vec<Bytes>, Error> {
        match self.input.rest.is_empty() {
            true => Ok(self.attachments),
            false => Err(Error::new("bytes behind the end of the MessagePack")),
        }
    }

    /// Writes a value as JSON.
    fn transcode(&mut self, value: Value<'a>, json: &mut Vec<u8>, depth: usize) -> Result<(), Error> {
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
            Value::Array(_) | Value::Map(_) if depth >= self.max_depth => {
                return Err(Error::new("values nest too deep"));
            }
            Value::Array(len) => {
                json.push(b'[');
                for nth in 0..len {
                    if nth > 0 {
                        json.push(b',');
                    }
                    let element = self.input.value()?;
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
                    let element = self.input.value()?;
                    self.transcode(element, json, depth + 1)?;
                }
                json.push(b'}');
            }
        }
        Ok(())
    }

    /// A key: text, or a number, which becomes text as in JavaScript.
    fn key(&mut self, json: &mut Vec<u8>) -> Result<(), Error> {
        match self.input.value()? {
            // A value of a client is never a placeholder.
            Value::Text(PLACEHOLDER_KEY) => {
                json.push(b'"');
                json.extend_from_slice(ESCAPED_PLACEHOLDER_KEY.as_bytes());
                json.push(b'"');
            }
            Value::Text(text) => write(json, text),
            Value::Unsigned(number) => write(json, &number.to_string()),
            Value::Signed(number) => write(json, &number.to_string()),
            _ => return Err(Error::new("a key that is not text")),
        }
        Ok(())
    }

    /// Keeps binary, and writes its placeholder.
    fn attach(&mut self, bytes: &[u8], json: &mut Vec<u8>) -> Result<(), Error> {
        if self.attachments.len() >= self.max_attachments {
            return Err(Error::new("too many attachments"));
        }
        let too_large = Error::new("the attachments are too large");
        self.attachment_bytes_left = self.attachment_bytes_left.checked_sub(bytes.len()).ok_or(too_large)?;
        json.extend_from_slice(b"{\"_placeholder\":true,\"num\":");
        write(json, &self.attachments.len());
        json.push(b'}');
        self.attachments.push(Bytes::copy_from_slice(bytes));
        Ok(())
    }
}

/// Without the bytes, which are a client's data.
impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("bytes_left", &self.input.rest.len())
            .field("num_attachments", &self.attachments.len())
            .finish_non_exhaustive()
    }
}

/// Writes what JSON has a form for.
fn write<T: Serialize + ?Sized>(json: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(json, value).expect("numbers and text are JSON");
}
