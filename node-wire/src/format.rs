//! JSON and MessagePack behind one trait, so that each message is written once.

mod json;
mod msgpack;

pub(crate) use json::Json;
pub(crate) use msgpack::MsgPack;

use bytes::Bytes;
use manager_api::message::Mark;
use manager_api::{Payload, Room};

/// The member of messages, and the field of entries of streams, that holds the mark of a bridge.
///
/// Node's adapters take the members and fields that they know, and pass over all others. The classic adapter's events are
/// lists, of which it takes the first three elements: the mark is the fourth.
pub(crate) const MARK: &str = "sioBridge";

/// A text or binary form of JavaScript's values, which is appended to a buffer.
pub(crate) trait Format: Default {
    /// Writes a map of `len` members, each of them with [`key`](Self::key) and a value.
    fn map(&mut self, len: u32, write: impl FnOnce(&mut Self));

    /// Writes a list of `len` elements, each of them after [`element`](Self::element).
    fn list(&mut self, len: u32, write: impl FnOnce(&mut Self));

    /// Begins a member of a map.
    fn key(&mut self, name: &str);

    /// Begins an element of a list.
    fn element(&mut self);

    fn text(&mut self, text: &str);

    fn uint(&mut self, number: u64);

    fn bool(&mut self, bool: bool);

    /// Writes a name of a room that is a number.
    fn number(&mut self, digits: &str);

    /// Writes a list of an event's name and its arguments.
    fn event(&mut self, event: &str, payload: &Payload);

    /// Writes a value given as JSON text; its placeholders stand for the attachments.
    fn json(&mut self, json: &str, attachments: &[Bytes]);

    fn into_vec(self) -> Vec<u8>;

    fn member_text(&mut self, key: &str, text: &str) {
        self.key(key);
        self.text(text);
    }

    /// Writes the mark of a bridge as a member of a map, if there is one; the length of the map is to count it.
    fn member_mark(&mut self, mark: Option<Mark>) {
        if let Some(mark) = mark {
            self.member_text(MARK, &mark.to_string());
        }
    }

    fn member_uint(&mut self, key: &str, number: u64) {
        self.key(key);
        self.uint(number);
    }

    fn member_rooms<'a>(&mut self, key: &str, rooms: impl ExactSizeIterator<Item = &'a Room>) {
        self.key(key);
        let len = u32::try_from(rooms.len()).unwrap_or(u32::MAX);
        self.list(len, |out| {
            for room in rooms {
                out.element();
                match room.is_number() {
                    true => out.number(room.as_str()),
                    false => out.text(room.as_str()),
                }
            }
        });
    }
}
