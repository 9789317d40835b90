//! The placeholders of attachments in the JSON text of arguments.
//!
//! In a payload, an object is a placeholder if its text is exactly `{"_placeholder":true,"num":k}` and there are
//! attachments. An object of a user that looks like one has an escape in its key, which is equivalent JSON: values of
//! users are never placeholders.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use bytes::Bytes;

use crate::json::{ESCAPED_PLACEHOLDER_KEY, PLACEHOLDER_KEY, Token, Tokens, unescape};
use crate::{Error, ErrorKind};

/// The key of the attachment's number.
pub(super) const NUM: &str = "num";
/// The spellings of the key that make an object a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Without an escape only.
    Plain,
    /// With or without escapes.
    Any,
}

/// Checks that every placeholder stands for an existing attachment, and no two for the same one; `json` must be valid.
///
/// Returns the text with its placeholders in canonical form; without a copy if they already are.
pub(super) fn checked(json: Bytes, num_attachments: usize, keys: Spelling) -> Result<Bytes, Error> {
    let text = std::str::from_utf8(&json).expect("JSON text is UTF-8");
    let mut is_taken = vec![false; num_attachments];
    let mut out = Vec::new();
    let mut copied = 0;
    for found in Placeholders::of(text, keys) {
        let Placeholder { range, num } = found?;
        let is_taken = is_taken
            .get_mut(num)
            .ok_or_else(|| malformed("a placeholder for an attachment that does not exist"))?;
        if mem::replace(is_taken, true) {
            return Err(malformed("two placeholders for the same attachment"));
        }
        let canonical = format!("{{\"{PLACEHOLDER_KEY}\":true,\"{NUM}\":{num}}}");
        if text[range.clone()] != canonical {
            out.extend_from_slice(&json[copied..range.start]);
            out.extend_from_slice(canonical.as_bytes());
            copied = range.end;
        }
    }
    if copied == 0 {
        return Ok(json);
    }
    out.extend_from_slice(&json[copied..]);
    Ok(out.into())
}

/// Escapes the key of all objects that could be read as placeholders; `json` must be valid.
pub(super) fn as_literal(json: &str) -> Cow<'_, str> {
    if !json.contains(PLACEHOLDER_KEY) {
        return json.into();
    }
    let mut out = String::with_capacity(json.len() + ESCAPED_PLACEHOLDER_KEY.len());
    let mut copied = 0;
    let mut tokens = Tokens::of(json);
    while let Some(token) = tokens.next() {
        if token == Token::Key(PLACEHOLDER_KEY) {
            let end = tokens.position() - 1;
            out.push_str(&json[copied..end - PLACEHOLDER_KEY.len()]);
            out.push_str(ESCAPED_PLACEHOLDER_KEY);
            copied = end;
        }
    }
    out.push_str(&json[copied..]);
    out.into()
}

/// Returns whether an object that is not one of our placeholders has their key, so that a client could read it as one;
/// `json` must be valid. Clients differ in what they accept: some accept every value of the key except `false` and
/// `null`.
pub(super) fn has_lookalike(json: &str) -> bool {
    let written = format!("{{\"{PLACEHOLDER_KEY}\":true,\"{NUM}\":");
    let is_plain = json.matches(PLACEHOLDER_KEY).count() == json.matches(&written).count();
    // Another spelling of the key needs an escape, and none of its letters has a short one.
    if is_plain && !json.contains("\\u") {
        return false;
    }
    let mut tokens = Tokens::of(json);
    while let Some(token) = tokens.next() {
        let Token::Key(key) = token else { continue };
        if unescape(key) != PLACEHOLDER_KEY {
            continue;
        }
        let value = tokens.clone().next();
        let is_ours = key == PLACEHOLDER_KEY && value == Some(Token::True);
        if !is_ours && !matches!(value, Some(Token::False | Token::Null)) {
            return true;
        }
    }
    false
}

/// A placeholder in a text.
struct Placeholder {
    range: Range<usize>,
    num: usize,
}

/// An iterator over the placeholders of a text. An object with missing or further members, which other parsers may read
/// as a placeholder, is an error.
struct Placeholders<'a> {
    tokens: Tokens<'a>,
    keys: Spelling,
    /// The key whose value comes next.
    key: Cow<'a, str>,
    /// The open object, as long as it has contained neither an object nor an array; otherwise it is not a placeholder.
    object: Option<Object>,
}

struct Object {
    start: usize,
    num_members: usize,
    is_placeholder: bool,
    num: Option<usize>,
}

impl<'a> Placeholders<'a> {
    fn of(json: &'a str, keys: Spelling) -> Self {
        Self {
            tokens: Tokens::of(json),
            keys,
            key: Cow::Borrowed(""),
            object: None,
        }
    }

    /// Processes a token; returns the placeholder that ends with it.
    fn advance(&mut self, token: Token<'a>) -> Result<Option<Placeholder>, Error> {
        let key = mem::take(&mut self.key);
        match (token, &mut self.object) {
            (Token::Key(key), object) => {
                self.key = match self.keys {
                    Spelling::Plain => Cow::Borrowed(key),
                    Spelling::Any => unescape(key),
                };
                if let Some(object) = object {
                    object.num_members += 1;
                }
            }
            (Token::True, object) if key == PLACEHOLDER_KEY => object.as_mut().ok_or_else(odd)?.is_placeholder = true,
            (Token::Number(number), Some(object)) if key == NUM => object.num = number.parse().ok(),
            (Token::OpenMap | Token::OpenArray, object) => {
                if object.as_ref().is_some_and(|outer| outer.is_placeholder) {
                    return Err(odd());
                }
                let start = self.tokens.position() - 1;
                *object = (token == Token::OpenMap).then_some(Object {
                    start,
                    num_members: 0,
                    is_placeholder: false,
                    num: None,
                });
            }
            (Token::Close, _) => return self.close(),
            _ => {}
        }
        Ok(None)
    }

    fn close(&mut self) -> Result<Option<Placeholder>, Error> {
        let Some(object) = self.object.take().filter(|object| object.is_placeholder) else {
            return Ok(None);
        };
        let num = object.num.filter(|_| object.num_members == 2).ok_or_else(odd)?;
        let range = object.start..self.tokens.position();
        Ok(Some(Placeholder { range, num }))
    }
}

impl Iterator for Placeholders<'_> {
    type Item = Result<Placeholder, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(token) = self.tokens.next() {
            if let Some(found) = self.advance(token).transpose() {
                return Some(found);
            }
        }
        None
    }
}

fn odd() -> Error {
    malformed("a placeholder with members other than the number of an attachment")
}

fn malformed(text: &'static str) -> Error {
    Error::new(ErrorKind::Malformed, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &'static str, num_attachments: usize) -> Option<String> {
        let json = checked(Bytes::from_static(json.as_bytes()), num_attachments, Spelling::Any).ok()?;
        Some(String::from_utf8(json.to_vec()).unwrap())
    }

    #[test]
    fn placeholders_in_any_spelling_become_one_spelling() {
        let canonical = r#"[{"_placeholder":true,"num":0},[{"a":{"_placeholder":true,"num":1}}]]"#;
        assert_eq!(check(canonical, 2).as_deref(), Some(canonical));
        let other = r#"[{"num":0 , "_placeholder" :true},[{"a":{"\u005fplaceholder": true,"num":1}}]]"#;
        assert_eq!(check(other, 2).as_deref(), Some(canonical));
        let none =
            r#"["_placeholder",{"_placeholder":false,"num":7},{"_placeholder":1},{"a":true,"num":9},{"num":1e400}]"#;
        assert_eq!(check(none, 1).as_deref(), Some(none));
    }

    #[test]
    fn placeholders_that_repeat_or_lead_nowhere_or_are_odd_are_refused() {
        for json in [
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":true,"num":0},{"\u005fplaceholder":true,"num":0}]"#,
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true}]"#,
            r#"[{"_placeholder":true,"num":0,"more":1}]"#,
            r#"[{"_placeholder":true,"num":0,"more":[]}]"#,
            r#"[{"_placeholder":true,"more":{"num":0}}]"#,
            r#"[{"more":[1],"_placeholder":true,"num":0}]"#,
        ] {
            assert_eq!(check(json, 2), None, "{json}");
        }
    }

    #[test]
    fn text_of_any_depth_is_checked_without_recursion() {
        let json = "[".repeat(300_000) + &"]".repeat(300_000);
        assert_eq!(checked(json.clone().into(), 1, Spelling::Any).unwrap(), json);
    }

    #[test]
    fn what_a_client_might_take_for_a_placeholder_is_found_however_it_is_written() {
        for json in [
            r#"[{"\u005fplaceholder":true,"num":0}]"#,
            r#"[{"_pl\u0061ceholder":true}]"#,
            r#"[[{"a":{"_placeholder":1,"num":0}}]]"#,
            r#"[{"_placeholder":"true","num":9},{"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":{}}]"#,
        ] {
            assert!(has_lookalike(json), "{json}");
        }
        for json in [
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            r#"["_placeholder","\u005fplaceholder",{"_placeholder":true,"num":0}]"#,
            r#"[{"_placeholder":false,"num":0},{"\u005fplaceholder":null},{"a":"_placeholder"}]"#,
            r#"["{\"_placeholder\":true,\"num\":",{"placeholder":true}]"#,
        ] {
            assert!(!has_lookalike(json), "{json}");
        }
    }

    #[test]
    fn keys_of_users_are_escaped_and_nothing_else_is() {
        let json = r#"{"_placeholder":true,"a":"_placeholder","_placeholders":[{"_placeholder" : 1}]}"#;
        let escaped = as_literal(json);
        assert_eq!(
            escaped,
            r#"{"\u005fplaceholder":true,"a":"_placeholder","_placeholders":[{"\u005fplaceholder" : 1}]}"#
        );
        let value = |json| serde_json::from_str::<serde_json::Value>(json).unwrap();
        assert_eq!(value(&escaped), value(json));
    }
}
