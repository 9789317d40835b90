//! Entries of a stream as records.

use std::sync::Arc;

use bytes::Bytes;
use manager_api::Payload;
use manager_api::source::{Fault, Place, Position, Record};

use crate::error::Failure;
use crate::topics::position::{Id, id_of};
use crate::topics::reader::{Head, Reader};

/// The maximum number of fields and values of an entry.
const MAX_WORDS: usize = 16_384;
/// The maximum length, in bytes, of an id.
const MAX_ID_LEN: usize = 64;

/// An entry that was read.
#[derive(Debug)]
pub(super) enum Entry {
    Record(Record),
    /// It is pending, and not in the stream any more.
    Gone(Option<Id>),
}

/// Reads a list of entries whose head was read.
pub(super) async fn read_all(
    reader: &mut Reader,
    num_entries: usize,
    name: &Arc<str>,
    body_field: Option<&str>,
) -> Result<Vec<Entry>, Failure> {
    let mut entries = Vec::new();
    for _ in 0..num_entries {
        entries.push(read(reader, name, body_field).await?);
    }
    Ok(entries)
}

/// Reads one entry: its id, and its fields and values. No more of it is kept than the limit allows.
async fn read(reader: &mut Reader, name: &Arc<str>, body_field: Option<&str>) -> Result<Entry, Failure> {
    match reader.head().await? {
        Head::List(2) => {}
        // A claimed entry that is gone, before Redis 7.
        Head::Nil => return Ok(Entry::Gone(None)),
        _ => return Err(reader.connection.not_redis()),
    }
    let id = reader.text(MAX_ID_LEN).await?.unwrap_or_default();
    let id = id_of(&id).ok_or_else(|| reader.connection.not_redis())?;
    let num_words = match reader.head().await? {
        Head::List(len) => len,
        Head::Nil => return Ok(Entry::Gone(Some(id))),
        _ => return Err(reader.connection.not_redis()),
    };
    let limit = reader.options.common.max_message_bytes;
    let (mut words, mut size) = (Vec::new(), 0_usize);
    for _ in 0..num_words {
        let left = limit.saturating_sub(size);
        let is_whole = num_words <= MAX_WORDS && size <= limit;
        match reader.text(if is_whole { left } else { 0 }).await? {
            Ok(word) => {
                size = size.saturating_add(word.len());
                words.push(word);
            }
            Err(len) => {
                size = size.saturating_add(len).max(limit.saturating_add(1));
                words.clear();
            }
        }
    }
    let name = name.clone();
    let place = Place::Entry {
        time: id.0,
        number: id.1,
    };
    let mut record = Record::new(Position { name, place }, Bytes::new());
    match size > limit || num_words > MAX_WORDS {
        true => record.fault = Some(Fault::TooLarge(size)),
        false => fill(&mut record, &words, body_field),
    }
    Ok(Entry::Record(record))
}

/// Fills headers and body from the words of an entry.
fn fill(record: &mut Record, words: &[Bytes], body_field: Option<&str>) {
    let pairs = words.chunks_exact(2);
    record.headers = pairs
        .map(|pair| (String::from_utf8_lossy(&pair[0]).into(), pair[1].clone()))
        .collect();
    match (body_field, &record.headers[..]) {
        (Some(field), _) => match record.header(field).cloned() {
            Some(body) => record.body = body,
            None => record.fault = Some(Fault::BodyMissing),
        },
        (None, [(_, value)]) => record.body = value.clone(),
        (None, _) => record.body = object_of(&record.headers),
    }
}

/// Writes the fields whose values are text as a JSON object.
fn object_of(headers: &[(Arc<str>, Bytes)]) -> Bytes {
    let texts = headers
        .iter()
        .filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)));
    let mut object = String::from("{");
    for (at, (name, value)) in texts.enumerate() {
        if at > 0 {
            object.push(',');
        }
        object.push_str(&format!("{}:{}", quoted(name), quoted(value)));
    }
    object.push('}');
    object.into()
}

/// Writes text as a JSON string.
fn quoted(text: &str) -> String {
    let payload = Payload::builder().text(text).build();
    String::from_utf8_lossy(payload.inner_json()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(words: &[&str], body_field: Option<&str>) -> Record {
        let place = Place::Entry { time: 1, number: 2 };
        let name = "s".into();
        let mut record = Record::new(Position { name, place }, "");
        let words: Vec<_> = words
            .iter()
            .map(|word| Bytes::copy_from_slice(word.as_bytes()))
            .collect();
        fill(&mut record, &words, body_field);
        record
    }

    #[test]
    fn the_body_is_a_field_the_only_one_or_an_object_of_all() {
        assert_eq!(filled(&["a", "x"], None).body, "x");
        assert_eq!(filled(&["a", "x", "b", "\"\n"], None).body, r#"{"a":"x","b":"\"\n"}"#);
        assert_eq!(filled(&["a", "x", "b", "y"], Some("b")).body, "y");
        let without = filled(&["a", "x"], Some("b"));
        assert_eq!((without.fault, without.headers.len()), (Some(Fault::BodyMissing), 1));
    }
}
