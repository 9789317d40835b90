//! The encoder: JSON text and attachments to MessagePack, in two passes, because MessagePack has
//! lengths in front.

use std::mem;

use bytes::Bytes;
use manager_api::json::{PLACEHOLDER_KEY, Token, Tokens, unescape};
use rmp::encode;

/// Writes a value that is given as JSON.
///
/// # Behaviour
///
/// - An object `{"_placeholder":true,"num":n}` becomes the attachment `n`; one that names no
///   attachment, or one that another object has named before, stays a map: no attachment is written
///   twice.
/// - Numbers take the shortest form. What is neither `u64` nor `i64` becomes a 64-bit float, as in
///   JavaScript.
/// - Depth is not limited, and takes no stack.
///
/// # Panics
///
/// May panic where the JSON is not valid.
///
/// # Examples
///
/// ```
/// let mut bytes = Vec::new();
/// msgpack::write_json(&mut bytes, "[1,null]", &[]);
/// assert_eq!(bytes, [0x92, 0x01, 0xc0]);
/// ```
pub fn write_json(out: &mut Vec<u8>, json: &str, attachments: &[Bytes]) {
    let containers = containers(json, attachments.len());
    write(out, Tokens::of(json), &mut containers.into_iter(), attachments);
}

/// Writes an array that is given as JSON, with a text before its first element: the arguments of an
/// event behind its name. Otherwise as [`write_json`].
///
/// # Panics
///
/// May panic where the JSON is not a valid array.
///
/// # Examples
///
/// ```
/// let mut bytes = Vec::new();
/// msgpack::write_array_behind(&mut bytes, "e", "[1]", &[]);
/// assert_eq!(bytes, [0x92, 0xa1, b'e', 0x01]);
/// ```
pub fn write_array_behind(out: &mut Vec<u8>, first: &str, json: &str, attachments: &[Bytes]) {
    let mut containers = containers(json, attachments.len()).into_iter();
    let len = containers.next().map_or(0, |array| array.len);
    write_array_len(out, len + 1);
    write_text(out, first);
    let mut tokens = Tokens::of(json);
    tokens.next();
    write(out, tokens, &mut containers, attachments);
}

/// Writes the head of a map; its keys follow, each before its value.
pub fn write_map_len(out: &mut Vec<u8>, len: u32) {
    infallible(encode::write_map_len(out, len).map(drop));
}

/// Writes the head of an array; its elements follow.
pub fn write_array_len(out: &mut Vec<u8>, len: u32) {
    infallible(encode::write_array_len(out, len).map(drop));
}

/// Writes text.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    infallible(encode::write_str(out, text));
}

/// Writes an integer in its shortest form.
pub fn write_uint(out: &mut Vec<u8>, number: u64) {
    infallible(encode::write_uint(out, number).map(drop));
}

/// Writes a boolean.
pub fn write_bool(out: &mut Vec<u8>, bool: bool) {
    infallible(encode::write_bool(out, bool));
}

/// Writes nil, which is `null` in JSON.
pub fn write_nil(out: &mut Vec<u8>) {
    infallible(encode::write_nil(out));
}

/// What is to be known of an array or map before it is written.
#[derive(Default)]
struct Container {
    /// Elements; keys count too.
    len: u32,
    /// A placeholder, which stands for this attachment.
    attachment: Option<usize>,
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

/// The attachment that an object stands for; none stands for one that is written already, so that
/// nothing grows beyond its parts.
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

/// Writes the tokens, with what was counted of each array and map.
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
                        infallible(encode::write_bin(out, &attachments[num]));
                        pass_over(&mut tokens);
                    }
                    None if token == Token::OpenArray => write_array_len(out, container.len),
                    None => write_map_len(out, container.len / 2),
                }
            }
            Token::Close => {}
            Token::Key(text) | Token::Text(text) => write_text(out, &unescape(text)),
            Token::Number(number) => write_number(out, number),
            Token::True => write_bool(out, true),
            Token::False => write_bool(out, false),
            Token::Null => write_nil(out),
        }
    }
}

/// Writes a number of JSON.
fn write_number(out: &mut Vec<u8>, number: &str) {
    if let Ok(number) = number.parse::<u64>() {
        write_uint(out, number);
    } else if let Ok(number) = number.parse::<i64>() {
        infallible(encode::write_sint(out, number).map(drop));
    } else {
        // JSON numbers without bound are what a float makes of them, as in JavaScript.
        let number = number.parse().expect("a JSON number is a float");
        infallible(encode::write_f64(out, number));
    }
}

fn infallible<E: std::fmt::Debug>(written: Result<(), E>) {
    written.expect("writing to memory cannot fail");
}
