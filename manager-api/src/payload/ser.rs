//! Serialization of a value into arguments.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use serde::ser::{self, Impossible, Serialize};
use serde_json::ser::{CompactFormatter, Formatter};

use super::Payload;
use super::placeholders::{NUM, as_literal};
use crate::json::{ESCAPED_PLACEHOLDER_KEY, PLACEHOLDER_KEY};

pub(super) fn to_payload<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<Payload> {
    let shape = shape_of(value);
    if shape == Shape::Unit {
        return Ok(Payload::empty());
    }
    let mut json = Vec::with_capacity(128);
    let mut attachments = Vec::new();
    if shape == Shape::One {
        json.push(b'[');
    }
    let formatter = Extracting {
        attachments: &mut attachments,
        is_key: false,
    };
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut json, formatter))?;
    if shape == Shape::One {
        json.push(b']');
    }
    Ok(Payload::from_trusted(json.into(), attachments))
}

pub(super) fn write_placeholder<W: Write + ?Sized>(writer: &mut W, num: usize) -> io::Result<()> {
    write!(writer, "{{\"{PLACEHOLDER_KEY}\":true,\"{NUM}\":{num}}}")
}

/// A JSON formatter that extracts byte arrays as attachments and writes placeholders for them. A user's own key of that
/// name is escaped.
struct Extracting<'a> {
    attachments: &'a mut Vec<Bytes>,
    is_key: bool,
}

impl Formatter for Extracting<'_> {
    fn write_byte_array<W: ?Sized + Write>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        write_placeholder(writer, self.attachments.len())?;
        self.attachments.push(Bytes::copy_from_slice(value));
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.is_key = true;
        CompactFormatter.begin_object_key(writer, first)
    }

    fn end_object_key<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_key = false;
        Ok(())
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if self.is_key && fragment == PLACEHOLDER_KEY {
            writer.write_all(ESCAPED_PLACEHOLDER_KEY.as_bytes())
        } else {
            writer.write_all(fragment.as_bytes())
        }
    }

    fn write_raw_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        writer.write_all(as_literal(fragment).as_bytes())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Shape {
    Unit,
    Tuple,
    One,
}

/// Determines the shape of a value by the first call it makes to a serializer; nothing is written.
fn shape_of<T: Serialize + ?Sized>(value: &T) -> Shape {
    match value.serialize(Probe) {
        Err(Probed(shape)) => shape,
        Ok(never) => match never {},
    }
}

struct Probe;

/// The result of the probe, as an error.
#[derive(Debug)]
struct Probed(Shape);

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Probed {}

impl ser::Error for Probed {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Probed(Shape::One)
    }
}

type Never = std::convert::Infallible;

macro_rules! one {
    ($($method:ident($($argument:ty),*) -> $output:ty;)*) => {
        $(fn $method(self, $(_: $argument),*) -> Result<$output, Probed> { Err(Probed(Shape::One)) })*
    };
}

impl ser::Serializer for Probe {
    type Ok = Never;
    type Error = Probed;
    type SerializeSeq = Impossible<Never, Probed>;
    type SerializeTuple = Impossible<Never, Probed>;
    type SerializeTupleStruct = Impossible<Never, Probed>;
    type SerializeTupleVariant = Impossible<Never, Probed>;
    type SerializeMap = Impossible<Never, Probed>;
    type SerializeStruct = Impossible<Never, Probed>;
    type SerializeStructVariant = Impossible<Never, Probed>;

    one! {
        serialize_bool(bool) -> Never;
        serialize_i8(i8) -> Never;
        serialize_i16(i16) -> Never;
        serialize_i32(i32) -> Never;
        serialize_i64(i64) -> Never;
        serialize_i128(i128) -> Never;
        serialize_u8(u8) -> Never;
        serialize_u16(u16) -> Never;
        serialize_u32(u32) -> Never;
        serialize_u64(u64) -> Never;
        serialize_u128(u128) -> Never;
        serialize_f32(f32) -> Never;
        serialize_f64(f64) -> Never;
        serialize_char(char) -> Never;
        serialize_str(&str) -> Never;
        serialize_bytes(&[u8]) -> Never;
        serialize_none() -> Never;
        serialize_unit_struct(&'static str) -> Never;
        serialize_unit_variant(&'static str, u32, &'static str) -> Never;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct(&'static str, usize) -> Self::SerializeStruct;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }

    fn serialize_unit(self) -> Result<Never, Probed> {
        Err(Probed(Shape::Unit))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Probed> {
        Err(Probed(Shape::Tuple))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Never, Probed> {
        Err(Probed(Shape::One))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<Never, Probed> {
        Err(Probed(Shape::One))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Never, Probed> {
        Err(Probed(Shape::One))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    fn json<T: Serialize>(value: T) -> String {
        to_payload(&value).unwrap().json().to_owned()
    }

    #[test]
    fn a_tuple_becomes_several_arguments_and_everything_else_one() {
        assert_eq!(json(("a", 1, true)), r#"["a",1,true]"#);
        assert_eq!(json("a"), r#"["a"]"#);
        assert_eq!(json(vec![1, 2]), "[[1,2]]");
        assert_eq!(json(None::<u8>), "[null]");
        assert_eq!(json(()), "[]");
        assert_eq!(json(serde_json::json!({"a": [1.5]})), r#"[{"a":[1.5]}]"#);
    }

    #[test]
    fn binary_anywhere_inside_becomes_an_attachment() {
        #[derive(Serialize)]
        struct Photo {
            name: &'static str,
            #[serde(with = "serde_bytes")]
            data: Vec<u8>,
            thumbs: Vec<Bytes>,
        }
        let photo = Photo {
            name: "me",
            data: vec![1, 2],
            thumbs: vec![Bytes::from_static(b"x"), Bytes::new()],
        };
        let payload = to_payload(&(photo, 7)).unwrap();
        assert_eq!(
            payload.json(),
            r#"[{"name":"me","data":{"_placeholder":true,"num":0},"thumbs":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]},7]"#
        );
        assert_eq!(payload.attachments(), [&[1, 2][..], b"x", b""]);
    }
}
