//! Responses about many clients, split into parts.

use std::iter::Peekable;

use manager_api::Sid;
use manager_api::cluster::{ResponsePart, RoomInfo, SocketInfo};

/// Names of clients and rooms, and their bytes, in one part of a response, unless a single client has more.
const PART_NAMES: usize = 4_096;
const PART_BYTES: usize = 128 * 1024;

/// Splits a list of clients into parts; at least one, which may be empty.
pub(super) fn sockets_in_parts(sockets: Vec<SocketInfo>) -> impl Iterator<Item = ResponsePart> {
    let size = |socket: &SocketInfo| (1 + socket.rooms.len(), socket.size());
    InParts::new(sockets.into_iter(), size).map(ResponsePart::Sockets)
}

/// Splits a list of rooms into parts; at least one, which may be empty.
pub(super) fn rooms_in_parts(rooms: Vec<RoomInfo>) -> impl Iterator<Item = ResponsePart> {
    let size = |room: &RoomInfo| (1, room.size());
    InParts::new(rooms.into_iter(), size).map(ResponsePart::Rooms)
}

/// Splits the recipients of an event into parts; at least one, which may be empty.
pub(super) fn recipients_in_parts(sids: Vec<Sid>) -> impl Iterator<Item = ResponsePart> {
    let size = |sid: &Sid| (1, sid.as_str().len() + 3);
    InParts::new(sids.into_iter(), size).map(ResponsePart::Recipients)
}

/// Splits a list into parts of bounded size; `size` returns the names and bytes of an item.
struct InParts<I: Iterator, F> {
    items: Peekable<I>,
    size: F,
    is_first: bool,
}

impl<I: Iterator, F> InParts<I, F> {
    fn new(items: I, size: F) -> Self {
        Self {
            items: items.peekable(),
            size,
            is_first: true,
        }
    }
}

impl<I: Iterator, F: Fn(&I::Item) -> (usize, usize)> Iterator for InParts<I, F> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Self::Item> {
        let is_first = std::mem::replace(&mut self.is_first, false);
        let (mut part, mut names, mut bytes) = (Vec::new(), 0, 0);
        while let Some(item) = self.items.peek() {
            let (item_names, item_bytes) = (self.size)(item);
            let is_full = names + item_names > PART_NAMES || bytes + item_bytes > PART_BYTES;
            if is_full && !part.is_empty() {
                break;
            }
            names += item_names;
            bytes += item_bytes;
            part.extend(self.items.next());
        }
        (is_first || !part.is_empty()).then_some(part)
    }
}
