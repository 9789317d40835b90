//! Templates of mapped values: text with placeholders for parts of a record.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;
use manager_api::source::Record;
use serde_json::value::RawValue;

use crate::mapping::{MAX_NAME_BYTES, Unmapped};
use crate::pointer::{Pointer, as_name};

/// The longest template, in bytes, and its most placeholders.
const MAX_BYTES: usize = 1_024;
const MAX_PARTS: usize = 64;

/// A template that was checked: constants, and placeholders in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Text as it stands.
    Text(String),
    /// `{body}`.
    Body,
    /// `{/a/b}`: what a JSON pointer leads to in the body.
    Pointer(Pointer),
    /// `{header:name}`.
    Header(String),
    /// `{key}`: the record's own.
    Key,
    /// `{source}`: the name of the topic, queue or stream.
    Source,
    /// `{id}`: the record's place, if it outlives a connection.
    Id,
}

impl Template {
    /// Reads a template; the error says what is wrong, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("longer than {MAX_BYTES} bytes"));
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, tail) = rest.split_at(at);
            literal.push_str(before);
            if tail.starts_with("{{") || tail.starts_with("}}") {
                literal.push_str(&tail[..1]);
                rest = &tail[2..];
                continue;
            }
            let place = text.len() - tail.len() + 1;
            let inner = tail.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (inner, after) =
                inner.ok_or_else(|| format!("a brace without its pair at {place}; a literal one is doubled"))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::parse(inner).map_err(|what| format!("{what}, at {place}"))?);
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        match parts.len() > MAX_PARTS {
            true => Err(format!("more than {MAX_PARTS} parts")),
            false => Ok(Self { parts }),
        }
    }

    /// Returns its text if it has no placeholder.
    pub(crate) fn constant(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns its placeholder if it is nothing else.
    pub(crate) fn only_part(&self) -> Option<&Part> {
        match &self.parts[..] {
            [Part::Text(_)] => None,
            [part] => Some(part),
            _ => None,
        }
    }

    /// Returns the name that it makes of a record, of at most [`MAX_NAME_BYTES`].
    pub(crate) fn text(&self, view: &View<'_>) -> Result<String, Unmapped> {
        self.text_up_to(MAX_NAME_BYTES, view)
    }

    /// Returns the argument that it makes of a record: at most ten times the bytes of the record, and of a name.
    pub(crate) fn long_text(&self, view: &View<'_>) -> Result<String, Unmapped> {
        let most = view.record.size().saturating_add(MAX_NAME_BYTES).saturating_mul(10);
        self.text_up_to(most, view)
    }

    fn text_up_to(&self, most: usize, view: &View<'_>) -> Result<String, Unmapped> {
        let mut text = String::new();
        for part in &self.parts {
            let part = part.text(view)?;
            if text.len() + part.len() > most {
                return Err(Unmapped::new(format!("longer than {most} bytes")));
            }
            text.push_str(&part);
        }
        Ok(text)
    }
}

impl Part {
    fn parse(inner: &str) -> Result<Self, String> {
        if inner.starts_with('/') {
            return Ok(Self::Pointer(Pointer::parse(inner)?));
        }
        match inner.split_once(':') {
            Some(("header", name)) if !name.is_empty() => return Ok(Self::Header(name.to_owned())),
            _ => {}
        }
        match inner {
            "body" => Ok(Self::Body),
            "key" => Ok(Self::Key),
            "source" => Ok(Self::Source),
            "id" => Ok(Self::Id),
            _ => Err(
                "a placeholder is a JSON pointer such as {/id}, {header:NAME}, {key}, {source}, {id} or {body}"
                    .to_owned(),
            ),
        }
    }

    /// Returns its text for a record.
    pub(crate) fn text<'r>(&'r self, view: &'r View<'_>) -> Result<Cow<'r, str>, Unmapped> {
        match self {
            Self::Text(text) => Ok(text.into()),
            Self::Body => utf8(&view.record.body, "the body").map(Cow::Borrowed),
            Self::Pointer(pointer) => {
                let what = || Unmapped::new(format!("at {pointer} of the body is not a text or a number"));
                as_name(view.find(pointer)?).ok_or_else(what)
            }
            Self::Header(name) => {
                let value = view.record.header(name);
                let value = value.ok_or_else(|| Unmapped::new(format!("it has no header {name:?}")))?;
                utf8(value, "a header").map(Cow::Borrowed)
            }
            Self::Key => {
                let key = view.record.key.as_ref();
                utf8(key.ok_or_else(|| Unmapped::new("it has no key"))?, "the key").map(Cow::Borrowed)
            }
            Self::Source => Ok(Cow::Borrowed(&*view.record.position.name)),
            Self::Id => {
                let id = view.record.position.stable_id();
                id.map(Cow::Owned)
                    .ok_or_else(|| Unmapped::new("its source has no lasting place: {id}"))
            }
        }
    }
}

fn utf8<'a>(bytes: &'a Bytes, what: &str) -> Result<&'a str, Unmapped> {
    std::str::from_utf8(bytes).map_err(|_| Unmapped::new(format!("{what} is not UTF-8")))
}

/// A record, whose body is checked to be JSON once, when that is needed.
pub(crate) struct View<'a> {
    pub(crate) record: &'a Record,
    json: OnceCell<Result<&'a RawValue, Unmapped>>,
}

impl<'a> View<'a> {
    /// Looks at a record.
    pub(crate) fn new(record: &'a Record) -> Self {
        let json = OnceCell::new();
        Self { record, json }
    }

    /// Returns the body as JSON text.
    pub(crate) fn json(&self) -> Result<&'a RawValue, Unmapped> {
        let read = || {
            serde_json::from_slice(&self.record.body)
                .map_err(|error| Unmapped::new(format!("the body is not JSON: {error}")))
        };
        self.json.get_or_init(read).clone()
    }

    /// Returns what a pointer leads to in the body.
    pub(crate) fn find(&self, pointer: &Pointer) -> Result<&'a RawValue, Unmapped> {
        let found = pointer.find(self.json()?);
        found.ok_or_else(|| Unmapped::new(format!("the body has nothing at {pointer}")))
    }
}

#[cfg(test)]
mod tests {
    use manager_api::source::{Place, Position};

    use super::*;

    fn record() -> Record {
        let place = Place::Offset {
            partition: 1,
            offset: 9,
        };
        let name = "orders".into();
        let mut record = Record::new(Position { name, place }, r#"{"id":7,"who":{"name":"é"},"no":null}"#);
        record.headers = vec![("kind".into(), "new".into())];
        record.key = Some("k".into());
        record
    }

    fn text(template: &str) -> Result<String, String> {
        let record = record();
        let template = Template::parse(template).unwrap();
        template.text(&View::new(&record)).map_err(|error| error.to_string())
    }

    #[test]
    fn placeholders_are_replaced_and_doubled_braces_are_literal() {
        for (template, expected) in [
            ("plain", "plain"),
            ("", ""),
            ("user:{/id}", "user:7"),
            ("{/who/name}-{header:kind}-{key}", "é-new-k"),
            ("{source}/{id}", "orders/orders/1/9"),
            ("{{{/id}}}", "{7}"),
        ] {
            assert_eq!(text(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn what_a_record_lacks_is_named() {
        for (template, reason) in [
            ("{/other}", "nothing at /other"),
            ("{/no}", "at /no of the body is not a text"),
            ("{/who}", "not a text or a number"),
            ("{header:x}", "no header \"x\""),
        ] {
            let said = text(template).unwrap_err();
            assert!(said.contains(reason), "{template}: {said}");
        }
    }

    #[test]
    fn templates_that_are_none_say_where() {
        for (bad, reason) in [
            ("a{/id", "at 2"),
            ("}", "at 1"),
            ("ab{name}", "at 3"),
            ("{}", "placeholder"),
            ("{header:}", "placeholder"),
            ("{/~}", "~0"),
        ] {
            let said = Template::parse(bad).unwrap_err();
            assert!(said.contains(reason), "{bad}: {said}");
        }
        assert!(Template::parse(&"x".repeat(1_025)).is_err());
        assert!(Template::parse(&"{key}a".repeat(40)).is_err());
    }

    #[test]
    fn no_text_makes_the_reader_panic_and_what_is_a_template_is_bounded() {
        let mut random = fastrand::Rng::with_seed(3);
        let pieces = [
            "{", "}", "{{", "}}", "/", "~", "~1", "header:", "key", "id", "é", "\u{0}", "body", "0",
        ];
        let record = record();
        for _ in 0..20_000 {
            let count = random.usize(..12);
            let text: String = (0..count).map(|_| pieces[random.usize(..pieces.len())]).collect();
            if let Ok(template) = Template::parse(&text) {
                let made = template.text(&View::new(&record));
                assert!(made.is_ok_and(|text| text.len() <= MAX_NAME_BYTES) || !template.parts.is_empty());
            }
        }
    }
}
