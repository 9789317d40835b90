//! The values that MessagePack is made of, and the extensions of the libraries of JavaScript.

use rmp::Marker;
use rmp::decode::{RmpRead, read_marker};

use crate::Error;

/// The type of extensions of notepack.io 2: undefined in one byte, a date in eight, and on Node.js
/// typed arrays with a length.
const NOTEPACK: i8 = 0;

/// The type of the timestamps of MessagePack, which notepack.io 3 and @msgpack/msgpack write dates
/// as.
const TIMESTAMP: i8 = -1;

/// A value, or the head of one that holds others.
pub(crate) enum Value<'a> {
    Nil,
    Undefined,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(&'a str),
    Binary(&'a [u8]),
    /// Milliseconds since 1970.
    Date(i64),
    Array(u32),
    Map(u32),
}

/// The bytes that are not read yet.
pub(crate) struct Input<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Input<'a> {
    /// Reads a value, of an array or map only its head.
    pub(crate) fn value(&mut self) -> Result<Value<'a>, Error> {
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
            Marker::FixExt4 => match held(self.rest.read_data_i8())? {
                TIMESTAMP => self.timestamp(4)?,
                _ => return Err(unknown_extension()),
            },
            Marker::FixExt8 => match held(self.rest.read_data_i8())? {
                NOTEPACK => Value::Date(held(self.rest.read_data_i64())?),
                TIMESTAMP => self.timestamp(8)?,
                _ => return Err(unknown_extension()),
            },
            Marker::Ext8 | Marker::Ext16 | Marker::Ext32 => {
                let len = self.len(marker)?;
                self.extension(len)?
            }
            _ => self.number(marker)?,
        })
    }

    /// The length behind a marker that does not hold it.
    fn len(&mut self, marker: Marker) -> Result<u32, Error> {
        match marker {
            Marker::Str8 | Marker::Bin8 | Marker::Ext8 => held(self.rest.read_data_u8()).map(u32::from),
            Marker::Str16 | Marker::Bin16 | Marker::Array16 | Marker::Map16 | Marker::Ext16 => {
                held(self.rest.read_data_u16()).map(u32::from)
            }
            _ => held(self.rest.read_data_u32()),
        }
    }

    /// A number of any size.
    fn number(&mut self, marker: Marker) -> Result<Value<'a>, Error> {
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

    /// Text of that many bytes.
    fn text(&mut self, len: u32) -> Result<Value<'a>, Error> {
        match std::str::from_utf8(self.bytes(len)?) {
            Ok(text) => Ok(Value::Text(text)),
            Err(_) => Err(Error::new("text that is not UTF-8")),
        }
    }

    /// An extension that has a length.
    fn extension(&mut self, len: u32) -> Result<Value<'a>, Error> {
        match held(self.rest.read_data_i8())? {
            NOTEPACK => Ok(Value::Binary(self.bytes(len)?)),
            TIMESTAMP => self.timestamp(len),
            _ => Err(unknown_extension()),
        }
    }

    /// A date in each of the lengths of "Timestamp extension type" of the specification.
    fn timestamp(&mut self, len: u32) -> Result<Value<'a>, Error> {
        let rest = &mut self.rest;
        let (seconds, nanoseconds) = match len {
            4 => (i64::from(held(rest.read_data_u32())?), 0),
            8 => {
                let both = held(rest.read_data_u64())?;
                ((both & 0x3_ffff_ffff) as i64, (both >> 34) as u32)
            }
            12 => {
                let nanoseconds = held(rest.read_data_u32())?;
                (held(rest.read_data_i64())?, nanoseconds)
            }
            _ => return Err(unknown_extension()),
        };
        Ok(Value::Date(milliseconds(seconds, nanoseconds)))
    }

    /// That many bytes.
    fn bytes(&mut self, len: u32) -> Result<&'a [u8], Error> {
        let (bytes, rest) = self.rest.split_at_checked(len as usize).ok_or_else(truncated)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// Milliseconds without a fraction, as JavaScript's `Date` takes them: rounded towards zero.
fn milliseconds(seconds: i64, nanoseconds: u32) -> i64 {
    let milliseconds = (i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds)) / 1_000_000;
    // Farther away than any date.
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

/// What was read, if the bytes sufficed.
fn held<T, E>(read: Result<T, E>) -> Result<T, Error> {
    read.map_err(|_| truncated())
}

fn truncated() -> Error {
    Error::new("MessagePack that ends too early")
}

fn unknown_extension() -> Error {
    Error::new("an unknown MessagePack extension")
}
