//! The tokens of JSON text that is known to be valid. No recursion: JSON that only passes through may nest without bound.

use std::borrow::Cow;

/// A token; commas and colons are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    OpenArray,
    OpenMap,
    Close,
    /// With its escapes, without its quotes.
    Text(&'a str),
    Number(&'a str),
    True,
    False,
    Null,
}

/// Goes through the tokens.
#[derive(Clone)]
pub(super) struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(json: &'a str) -> Self {
        Self { rest: json }
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
        Token::Text(text)
    }

    fn number(&mut self) -> Token<'a> {
        let is_over = |c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E');
        let len = self.rest.find(is_over).unwrap_or(self.rest.len());
        Token::Number(self.take(len))
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let between = [' ', '\t', '\n', '\r', ',', ':'];
        self.rest = self.rest.trim_start_matches(between);
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

/// Takes the escapes out of a text; half a surrogate pair, which no UTF-8 text can hold, becomes U+FFFD.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
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

/// Takes `uXXXX`, and all `\uXXXX` right behind it, because two of them may be one character; returns the rest.
fn unescape_units<'a>(escape: &'a str, plain: &mut String) -> &'a str {
    let mut units = Vec::new();
    let mut rest = escape;
    loop {
        units.push(u16::from_str_radix(&rest[1..5], 16).expect("checked JSON has four hex digits here"));
        rest = &rest[5..];
        match rest.strip_prefix('\\') {
            Some(next) if next.starts_with('u') => rest = next,
            _ => break,
        }
    }
    plain.extend(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
    rest
}
