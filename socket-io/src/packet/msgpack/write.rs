//! JSON text and attachments to MessagePack, in two passes: lengths stand in front there, and behind the last element here.

use std::borrow::Cow;

use bytes::Bytes;
use rmp::encode::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_sint, write_uint,
};

use super::tokens::{Token, Tokens, unescape};
use super::{infallible, write_text};

/// What is to be known of an array or map before it is written.
#[derive(Default)]
struct Container {
    /// Elements; keys count too.
    len: u32,
    /// It is no map, but stands for this attachment.
    attachment: Option<usize>,
}

/// Writes JSON known to be valid.
pub(super) fn json(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    let containers = containers(json, attachments.len());
    write(out, Tokens::of(json), &mut containers.into_iter(), attachments);
}

/// Writes a JSON array known to be valid, with a text before its first element.
pub(super) fn array_behind(out: &mut Vec<u8>, first: &str, json: &str, attachments: &[Bytes]) {
    let mut containers = containers(json, attachments.len()).into_iter();
    let len = containers.next().map_or(0, |array| array.len);
    infallible(write_array_len(out, len + 1).map(drop));
    write_text(out, first);
    let mut tokens = Tokens::of(json);
    tokens.next();
    write(out, tokens, &mut containers, attachments);
}

/// Counts the elements of every array and map, in the order in which these begin.
fn containers(json: &str, num_attachments: usize) -> Vec<Container> {
    let mut containers: Vec<Container> = Vec::new();
    let mut open: Vec<Open<'_>> = Vec::new();
    for token in Tokens::of(json) {
        if token == Token::Close {
            let closed = open.pop().expect("valid JSON closes what it has opened");
            let num = closed.num.filter(|num| closed.is_placeholder && *num < num_attachments);
            containers[closed.nth].attachment = num;
            continue;
        }
        if let Some(parent) = open.last_mut() {
            let len = &mut containers[parent.nth].len;
            parent.see(token, *len);
            *len += 1;
        }
        if matches!(token, Token::OpenArray | Token::OpenMap) {
            open.push(Open::new(containers.len(), token == Token::OpenMap));
            containers.push(Container::default());
        }
    }
    containers
}

/// An array or map whose end has not come yet.
struct Open<'a> {
    nth: usize,
    is_map: bool,
    key: Cow<'a, str>,
    is_placeholder: bool,
    num: Option<usize>,
}

impl<'a> Open<'a> {
    fn new(nth: usize, is_map: bool) -> Self {
        Self {
            nth,
            is_map,
            key: Cow::Borrowed(""),
            is_placeholder: false,
            num: None,
        }
    }

    /// Looks whether it is `{"_placeholder":true,"num":…}`.
    fn see(&mut self, token: Token<'a>, position: u32) {
        match token {
            Token::Text(key) if self.is_map && position.is_multiple_of(2) => self.key = unescape(key),
            Token::True if self.is_map && self.key == "_placeholder" => self.is_placeholder = true,
            Token::Number(number) if self.is_map && self.key == "num" => self.num = number.parse().ok(),
            _ => {}
        }
    }
}

fn write(
    out: &mut Vec<u8>,
    mut tokens: Tokens<'_>,
    containers: &mut impl Iterator<Item = Container>,
    attachments: &[Bytes],
) {
    while let Some(token) = tokens.next() {
        match token {
            Token::OpenArray | Token::OpenMap => {
                let container = containers.next().expect("all were counted");
                match container.attachment {
                    Some(num) => {
                        infallible(write_bin(out, &attachments[num]));
                        pass_over(&mut tokens, containers);
                    }
                    None if token == Token::OpenArray => infallible(write_array_len(out, container.len).map(drop)),
                    None => infallible(write_map_len(out, container.len / 2).map(drop)),
                }
            }
            Token::Close => {}
            Token::Text(text) => write_text(out, &unescape(text)),
            Token::Number(number) => write_number(out, number),
            Token::True => infallible(write_bool(out, true)),
            Token::False => infallible(write_bool(out, false)),
            Token::Null => infallible(write_nil(out)),
        }
    }
}

/// Passes over the rest of a placeholder, and whatever somebody put into it.
fn pass_over(tokens: &mut Tokens<'_>, containers: &mut impl Iterator<Item = Container>) {
    let mut depth = 1;
    while depth > 0 {
        match tokens.next().expect("valid JSON closes what it has opened") {
            Token::OpenArray | Token::OpenMap => {
                containers.next();
                depth += 1;
            }
            Token::Close => depth -= 1,
            _ => {}
        }
    }
}

fn write_number(out: &mut Vec<u8>, number: &str) {
    if let Ok(number) = number.parse::<u64>() {
        infallible(write_uint(out, number).map(drop));
    } else if let Ok(number) = number.parse::<i64>() {
        infallible(write_sint(out, number).map(drop));
    } else {
        // JSON numbers without bound are what a float makes of them, as in JavaScript.
        let number = number.parse().expect("a JSON number is a float");
        infallible(write_f64(out, number));
    }
}
