//! The encoder: JSON text and attachments to MessagePack, in two passes: lengths stand in front there, and behind the last element here.

use std::mem;

use bytes::Bytes;
use manager_api::json::{PLACEHOLDER_KEY, Token, Tokens, unescape};
use rmp::encode::{
    write_array_len, write_bin, write_bool, write_f64, write_map_len, write_nil, write_sint, write_uint,
};

use super::{infallible, write_text};

/// What is to be known of an array or map before it is written.
#[derive(Default)]
struct Container {
    /// Elements; keys count too.
    len: u32,
    /// A placeholder, which stands for this attachment.
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
    let mut open: Vec<usize> = Vec::new();
    let mut is_written = vec![false; num_attachments];
    let mut tokens = Tokens::of(json);
    while let Some(token) = tokens.next() {
        if token == Token::Close {
            open.pop();
            continue;
        }
        if let Some(parent) = open.last() {
            containers[*parent].len += 1;
        }
        if !matches!(token, Token::OpenArray | Token::OpenMap) {
            continue;
        }
        let attachment = attachment(token, &tokens, &mut is_written);
        match attachment {
            Some(_) => pass_over(&mut tokens),
            None => open.push(containers.len()),
        }
        containers.push(Container { len: 0, attachment });
    }
    containers
}

/// The attachment that an object stands for; none stands for one that is written already, so that nothing grows beyond its parts.
fn attachment(opened: Token<'_>, behind: &Tokens<'_>, is_written: &mut [bool]) -> Option<usize> {
    if opened != Token::OpenMap || is_written.is_empty() {
        return None;
    }
    let mut tokens = behind.clone();
    let mut next = || tokens.next();
    let (Some(Token::Key(PLACEHOLDER_KEY)), Some(Token::True)) = (next(), next()) else {
        return None;
    };
    let (Some(Token::Key("num")), Some(Token::Number(num)), Some(Token::Close)) = (next(), next(), next()) else {
        return None;
    };
    let num = num.parse().ok()?;
    let is_written = is_written.get_mut(num)?;
    (!mem::replace(is_written, true)).then_some(num)
}

/// Passes over the rest of a placeholder: two keys, two values, and its end.
fn pass_over(tokens: &mut Tokens<'_>) {
    tokens.nth(4);
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
                        pass_over(&mut tokens);
                    }
                    None if token == Token::OpenArray => infallible(write_array_len(out, container.len).map(drop)),
                    None => infallible(write_map_len(out, container.len / 2).map(drop)),
                }
            }
            Token::Close => {}
            Token::Key(text) | Token::Text(text) => write_text(out, &unescape(text)),
            Token::Number(number) => write_number(out, number),
            Token::True => infallible(write_bool(out, true)),
            Token::False => infallible(write_bool(out, false)),
            Token::Null => infallible(write_nil(out)),
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
