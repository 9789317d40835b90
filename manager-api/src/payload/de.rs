//! Deserialization of arguments into a value.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::value::{SeqAccessDeserializer, UnitDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Error;
use serde_json::value::RawValue;

use super::Payload;
use super::attached::{Attached, Node};

pub(super) fn from_payload<T: DeserializeOwned>(payload: &Payload) -> Result<T, Error> {
    if let Shape::Unit = shape_of::<T>() {
        return T::deserialize(UnitDeserializer::new());
    }
    if !payload.attachments.is_empty() {
        let nodes: Vec<Node<'_>> = serde_json::from_slice(&payload.json)?;
        let attachments = &payload.attachments;
        return from_arguments(nodes.into_iter().map(|node| Attached { node, attachments }));
    }
    if let Shape::One = shape_of::<T>() {
        return (&mut serde_json::Deserializer::from_slice(&payload.json)).deserialize_seq(First(PhantomData));
    }
    let arguments: Vec<&RawValue> = serde_json::from_slice(&payload.json)?;
    from_arguments(arguments.into_iter())
}

fn from_arguments<'de, T, I>(mut arguments: I) -> Result<T, Error>
where
    T: DeserializeOwned,
    I: Iterator<Item: Deserializer<'de, Error = Error>>,
{
    match shape_of::<T>() {
        Shape::Tuple(left) => T::deserialize(SeqAccessDeserializer::new(Padded { arguments, left })),
        Shape::One | Shape::Unit => match arguments.next() {
            Some(first) => T::deserialize(first),
            None => T::deserialize(UnitDeserializer::new()),
        },
    }
}

/// Reads the first element without parsing the others; a missing one is `null`.
struct First<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for First<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of arguments")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut arguments: A) -> Result<T, A::Error> {
        let first = match arguments.next_element::<T>()? {
            Some(first) => first,
            None => T::deserialize(UnitDeserializer::new())?,
        };
        while arguments.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }
}

/// As many arguments as a tuple has elements: missing ones are `null`, surplus ones are ignored.
struct Padded<I> {
    arguments: I,
    left: usize,
}

impl<'de, I> SeqAccess<'de> for Padded<I>
where
    I: Iterator<Item: Deserializer<'de, Error = Error>>,
{
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let value = match self.arguments.next() {
            Some(argument) => seed.deserialize(argument)?,
            None => seed.deserialize(UnitDeserializer::<Error>::new())?,
        };
        Ok(Some(value))
    }
}

enum Shape {
    Unit,
    Tuple(usize),
    One,
}

/// Determines the shape of a type by the first call it makes to a deserializer; nothing is read.
fn shape_of<T: DeserializeOwned>() -> Shape {
    match T::deserialize(Probe) {
        Err(Probed(shape)) => shape,
        Ok(_) => Shape::One,
    }
}

struct Probe;

/// The result of the probe, as an error.
struct Probed(Shape);

impl fmt::Debug for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probed")
    }
}

impl fmt::Display for Probed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shape of a type")
    }
}

impl std::error::Error for Probed {}

impl de::Error for Probed {
    fn custom<M: fmt::Display>(_: M) -> Self {
        Probed(Shape::One)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Probed;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Probed> {
        Err(Probed(Shape::One))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Probed> {
        Err(Probed(Shape::Unit))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, _: V) -> Result<V::Value, Probed> {
        Err(Probed(Shape::Tuple(len)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit_struct newtype_struct seq tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use serde::Deserialize;
    use serde_json::Value;

    fn payload(json: &'static str, attachments: &[&'static [u8]]) -> Payload {
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        Payload::from_trusted(json.into(), attachments)
    }

    #[test]
    fn a_tuple_reads_several_arguments_and_any_other_type_the_first() {
        let three = payload(r#"["a",{"b":1},[2,3]]"#, &[]);
        let (a, b, c): (String, Value, Vec<u8>) = three.parse().unwrap();
        assert_eq!((a.as_str(), b["b"].as_u64(), c), ("a", Some(1), vec![2, 3]));
        assert_eq!(three.parse::<String>().unwrap(), "a");
        assert_eq!(payload("[[1,2]]", &[]).parse::<Vec<u8>>().unwrap(), [1, 2]);
        three.parse::<()>().unwrap();
    }

    #[test]
    fn a_missing_argument_is_null() {
        let none = payload("[]", &[]);
        assert_eq!(none.parse::<Option<u8>>().unwrap(), None);
        assert!(none.parse::<u8>().is_err());
        let one = payload("[1]", &[]);
        assert_eq!(one.parse::<(u8, Option<u8>)>().unwrap(), (1, None));
    }

    #[test]
    fn a_placeholder_reads_as_its_attachment_anywhere() {
        #[derive(Deserialize)]
        struct Photo {
            name: Option<String>,
            data: Bytes,
        }
        let photo = r#"[{"name":"me","data":{"_placeholder":true,"num":1}},{"_placeholder":true,"num":0}]"#;
        let photo = payload(photo, &[b"zero", b"one"]);
        let (photo, zero): (Photo, Bytes) = photo.parse().unwrap();
        assert_eq!(
            (photo.name.as_deref(), &photo.data[..], &zero[..]),
            (Some("me"), &b"one"[..], &b"zero"[..])
        );
    }

    #[test]
    fn a_placeholder_for_nothing_is_an_error() {
        let bad = payload(r#"[{"_placeholder":true,"num":9}]"#, &[b"x"]);
        assert!(bad.parse::<Bytes>().is_err());
    }
}
