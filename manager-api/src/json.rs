//! A tokenizer of JSON text that is known to be valid. It does not recurse: forwarded JSON may be nested to any depth.

use std::borrow::Cow;

/// The key that makes an object in the JSON text of a [`Payload`](crate::Payload) the placeholder of an attachment.
pub const PLACEHOLDER_KEY: &str = "_placeholder";
/// The same key with an escape: its spelling in an object of a user, which is never a placeholder.
pub const ESCAPED_PLACEHOLDER_KEY: &str = "\\u005fplaceholder";

/// A token; commas and colons are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `[`
    OpenArray,
    /// `{`
    OpenMap,
    /// `]` or `}`
    Close,
    /// A key of an object, with its escapes, without its quotes.
    Key(&'a str),
    /// A string, with its escapes, without its quotes.
    Text(&'a str),
    /// A number as it is written.
    Number(&'a str),
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// An iterator over the tokens of valid JSON.
///
/// # Panics
///
/// May panic or return nonsense where the text is not valid JSON.
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    json: &'a str,
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Starts at the first token.
    pub fn of(json: &'a str) -> Self {
        Self { json, rest: json }
    }

    /// Returns the position after the latest token, in bytes.
    pub fn position(&self) -> usize {
        self.json.len() - self.rest.len()
    }

    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        taken
    }

    fn text(&mut self) -> Token<'a> {
        self.take(1);
        let mut end = 0;
        let bytes = self.rest.as_bytes();
        while bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        let text = self.take(end);
        self.take(1);
        if self.rest.trim_start_matches(SPACE).starts_with(':') {
            Token::Key(text)
        } else {
            Token::Text(text)
        }
    }

    fn number(&mut self) -> Token<'a> {
        let is_over = |c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let len = self.rest.find(is_over).unwrap_or(self.rest.len());
        Token::Number(self.take(len))
    }
}

/// White space of JSON.
const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];
/// Characters between two tokens.
const BETWEEN: [char; 6] = [' ', '\t', '\n', '\r', ',', ':'];

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.rest = self.rest.trim_start_matches(BETWEEN);
        let (len, token) = match self.rest.as_bytes().first()? {
            b'[' => (1, Token::OpenArray),
            b'{' => (1, Token::OpenMap),
            b']' | b'}' => (1, Token::Close),
            b't' => (4, Token::True),
            b'f' => (5, Token::False),
            b'n' => (4, Token::Null),
            b'"' => return Some(self.text()),
            _ => return Some(self.number()),
        };
        self.take(len);
        Some(token)
    }
}

/// Decodes the escapes of a text; an unpaired surrogate, which UTF-8 cannot represent, becomes U+FFFD.
///
/// # Panics
///
/// May panic where the text is not that of a valid JSON string without its quotes.
pub fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        plain.push_str(before);
        rest = match escape.as_bytes()[0] {
            b'u' => unescape_units(escape, &mut plain),
            other => {
                plain.push(match other {
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'n' => '\n',
                    b'r' => '\r',
                    b't' => '\t',
                    same => same.into(),
                });
                &escape[1..]
            }
        };
    }
    plain.push_str(rest);
    plain.into()
}

/// Decodes `uXXXX` and all `\uXXXX` directly after it, because two of them may be one character; returns the rest.
fn unescape_units<'a>(escape: &'a str, plain: &mut String) -> &'a str {
    let mut units = Vec::new();
    let mut rest = escape;
    loop {
        units.push(u16::from_str_radix(&rest[1..5], 16).expect("valid JSON has four hex digits after \\u"));
        rest = &rest[5..];
        match rest.strip_prefix('\\') {
            Some(next) if next.starts_with('u') => rest = next,
            _ => break,
        }
    }
    plain.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    rest
}
