//! JSON pointers (RFC 6901) into text that is not parsed into a tree: what they lead to keeps its spelling.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The most steps of a pointer.
const MAX_STEPS: usize = 32;

/// A JSON pointer, such as `/order/lines/0`. The empty one leads to the whole text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pointer {
    text: String,
    steps: Vec<String>,
}

impl Pointer {
    /// Reads a pointer; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut steps = Vec::new();
        if !text.is_empty() {
            let rest = text.strip_prefix('/').ok_or("a JSON pointer begins with /")?;
            for step in rest.split('/') {
                steps.push(unescaped(step)?);
            }
        }
        if steps.len() > MAX_STEPS {
            return Err("a JSON pointer has at most 32 steps");
        }
        let text = text.to_owned();
        Ok(Self { text, steps })
    }

    /// Returns what it leads to in JSON text that was checked; `None` if there is nothing.
    pub(crate) fn find<'a>(&self, body: &'a RawValue) -> Option<&'a RawValue> {
        let mut found = body;
        for step in &self.steps {
            let mut reader = serde_json::Deserializer::from_str(found.get());
            found = reader.deserialize_any(Member(step)).ok().flatten()?;
        }
        Some(found)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Replaces `~1` by `/` and `~0` by `~`.
fn unescaped(step: &str) -> Result<String, &'static str> {
    let mut text = String::with_capacity(step.len());
    let mut letters = step.chars();
    while let Some(letter) = letters.next() {
        text.push(match (letter, letter == '~') {
            (_, true) => match letters.next() {
                Some('0') => '~',
                Some('1') => '/',
                _ => return Err("in a JSON pointer ~ is written ~0, and / within a name ~1"),
            },
            (letter, false) => letter,
        });
    }
    Ok(text)
}

/// Visits an object or an array, and takes the member with this name or index.
#[derive(Clone, Copy)]
struct Member<'s>(&'s str);

impl Member<'_> {
    /// Returns the index of an element; leading zeros make it none.
    fn index(self) -> Option<usize> {
        let is_plain = self.0 == "0" || !self.0.starts_with('0');
        let has_digits = self.0.bytes().all(|byte| byte.is_ascii_digit());
        (is_plain && has_digits).then(|| self.0.parse().ok()).flatten()
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    /// Of members with the same name the last counts, as in other readers of JSON.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = map.next_key_seed(Named(self.0))? {
            match is_wanted {
                true => found = Some(map.next_value::<&'de RawValue>()?),
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        let wanted = self.index();
        let mut index = 0;
        while let Some(element) = list.next_element::<&'de RawValue>()? {
            if wanted == Some(index) {
                found = Some(element);
            }
            index += 1;
        }
        Ok(found)
    }
}

/// Compares a name of an object with the one that is looked for.
struct Named<'s>(&'s str);

impl<'de> DeserializeSeed<'de> for Named<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<bool, D::Error> {
        reader.deserialize_str(self)
    }
}

impl Visitor<'_> for Named<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Returns the text of a value that can be a name: a string, a number or a boolean.
pub(crate) fn as_name(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The object of RFC 6901, section 5.
    const RFC: &str = r#"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"#;

    fn find(pointer: &str, body: &str) -> Option<String> {
        let body: &RawValue = serde_json::from_str(body).unwrap();
        let found = Pointer::parse(pointer).unwrap().find(body)?;
        Some(found.get().to_owned())
    }

    #[test]
    fn pointers_lead_where_the_rfc_says() {
        assert_eq!(find("", RFC).as_deref(), Some(RFC));
        for (pointer, value) in [
            ("/foo", r#"["bar","baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ] {
            assert_eq!(find(pointer, RFC).as_deref(), Some(value), "{pointer}");
        }
        for nothing in ["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/x", "/foo/0/0", "//x"] {
            assert_eq!(find(nothing, RFC), None, "{nothing}");
        }
    }

    #[test]
    fn what_is_found_keeps_its_spelling() {
        let body = r#"{"n": 123456789012345678901234567890.10, "a\u0062": {"x" : null}, "d":1, "d":2}"#;
        assert_eq!(find("/n", body).as_deref(), Some("123456789012345678901234567890.10"));
        assert_eq!(find("/ab", body).as_deref(), Some("{\"x\" : null}"));
        assert_eq!(find("/d", body).as_deref(), Some("2"));
    }

    #[test]
    fn pointers_that_are_none_are_refused() {
        for bad in ["a", "/~", "/~2", "/a/~"] {
            assert!(Pointer::parse(bad).is_err(), "{bad}");
        }
        assert!(Pointer::parse(&"/a".repeat(33)).is_err());
        assert!(Pointer::parse(&"/a".repeat(32)).is_ok());
    }

    #[test]
    fn pointers_agree_with_those_of_another_reader_on_random_values() {
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let value = random_value(&mut random, 4);
            let text = value.to_string();
            let names = ["", "a", "~", "/", "0", "1", "01", "-"];
            let steps = (0..random.usize(..4)).map(|_| {
                let name = names[random.usize(..names.len())];
                format!("/{}", name.replace('~', "~0").replace('/', "~1"))
            });
            let pointer: String = steps.collect();
            let expected = value.pointer(&pointer).map(ToString::to_string);
            assert_eq!(find(&pointer, &text), expected, "{pointer} in {text}");
        }
    }

    fn random_value(random: &mut fastrand::Rng, depth: usize) -> serde_json::Value {
        let names = ["", "a", "~", "/", "0", "1", "01", "-"];
        let count = random.usize(..3);
        match (random.usize(..5), depth) {
            (0, 1..) => (0..count).map(|_| random_value(random, depth - 1)).collect(),
            (1 | 2, 1..) => {
                let members = (0..count).map(|_| {
                    let name = names[random.usize(..names.len())].to_owned();
                    (name, random_value(random, depth - 1))
                });
                serde_json::Value::Object(members.collect())
            }
            (3, _) => random.i32(..).into(),
            _ => names[random.usize(..names.len())].into(),
        }
    }
}
