//! A deserializer of arguments with attachments: a placeholder reads as the bytes that it stands for.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::value::{MapAccessDeserializer, MapDeserializer, SeqDeserializer, StrDeserializer};
use serde::de::{self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

use super::placeholders::NUM;
use crate::json::PLACEHOLDER_KEY;

/// JSON in which placeholders are distinguished from objects of users, whose key has an escape.
pub(super) enum Node<'a> {
    Attachment(u64),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, str>, Node<'a>)>),
    /// Neither array nor object.
    Scalar(Value),
}

/// A key of an object; borrowed if it has no escape.
struct Key<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Node<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node<'de>, E> {
        Ok(Node::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Node<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element()? {
            array.push(element);
        }
        Ok(Node::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Node<'de>, A::Error> {
        let mut object = Vec::new();
        while let Some((Key(key), value)) = members.next_entry()? {
            object.push((key, value));
        }
        let num = match object.as_slice() {
            [
                (Cow::Borrowed(PLACEHOLDER_KEY), Node::Scalar(Value::Bool(true))),
                (Cow::Borrowed(NUM), Node::Scalar(Value::Number(num))),
            ] => num.as_u64(),
            _ => None,
        };
        Ok(num.map_or(Node::Object(object), Node::Attachment))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Key<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(key)))
    }

    fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(key.to_owned())))
    }
}

/// A node with the attachments that its placeholders stand for.
pub(super) struct Attached<'a> {
    pub(super) node: Node<'a>,
    pub(super) attachments: &'a [Bytes],
}

impl<'a> Attached<'a> {
    fn members(
        object: Vec<(Cow<'a, str>, Node<'a>)>,
        attachments: &'a [Bytes],
    ) -> MapDeserializer<'a, impl Iterator<Item = (Cow<'a, str>, Attached<'a>)>, Error> {
        MapDeserializer::new(
            object
                .into_iter()
                .map(move |(key, node)| (key, Attached { node, attachments })),
        )
    }
}

impl<'de> IntoDeserializer<'de, Error> for Attached<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Attached<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let attachments = self.attachments;
        match self.node {
            Node::Attachment(num) => {
                let bytes = usize::try_from(num).ok().and_then(|num| attachments.get(num));
                visitor.visit_bytes(bytes.ok_or_else(missing)?)
            }
            Node::Array(nodes) => {
                let elements = nodes.into_iter().map(|node| Attached { node, attachments });
                visitor.visit_seq(SeqDeserializer::new(elements))
            }
            Node::Object(object) => visitor.visit_map(Self::members(object, attachments)),
            Node::Scalar(value) => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.node {
            Node::Scalar(Value::Null) => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.node {
            Node::Scalar(Value::String(variant)) => visitor.visit_enum(StrDeserializer::new(&variant)),
            Node::Object(object) => {
                visitor.visit_enum(MapAccessDeserializer::new(Self::members(object, self.attachments)))
            }
            _ => Err(de::Error::custom("expected a variant's name or an object")),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn missing() -> Error {
    de::Error::custom("a placeholder stands for an attachment that does not exist")
}
